"""Checks the deployed stack: ports, images, containers, database, Redis, alerts, certificate, and one real request."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Literal

from tollgate.config.env.alerts import AlertSettings
from tollgate.errors import TollgateError
from tollgate.render.receivers import Receivers
from tollgate.render.watchers import GRAFANA_SET, OFF, ON_REQUEST, WATCHERS
from tollgate.site import Site
from tollgate.stack.certificates import acme as fetched
from tollgate.stack.certificates import serve as certificates
from tollgate.stack.configuration import Configuration
from tollgate.stack.containers import optional
from tollgate.stack.containers.compose import BACKEND, MIGRATE, Compose, is_optional
from tollgate.stack.deploy import first_request, left_out, preflight
from tollgate.stack.deployment import PUBLIC, Deployment
from tollgate.stack.doctor import drained, gateways
from tollgate.stack.doctor.backups import backups
from tollgate.stack.doctor.finding import Finding
from tollgate.stack.host.commands import ask
from tollgate.stack.host.engine import engine_version
from tollgate.stack.host.run import run
from tollgate.stack.secrets.publish import WEBHOOK

REDIS_QUESTION = "REDISCLI_AUTH=$(cat /run/secrets/redis_password) redis-cli config get maxmemory-policy"


def examine(site: Site, configuration: Configuration) -> Iterator[Finding]:
    deployment = Deployment.of(site, configuration.settings)
    compose = deployment.compose
    if engine_version() is None:
        yield Finding.skip("containers", "no engine answers")
        return
    try:
        deployed = compose.rendered and bool(compose.containers())
    except TollgateError as error:
        yield Finding.fail("containers", error.message, "run `make deploy`, which renders everything again")
        return
    yield from _ports(deployment, deployed)
    yield from _images(compose)
    if not deployed:
        yield Finding.skip("containers", "nothing is deployed here yet; run `make deploy`")
        return
    healthy = set()
    for finding, service in _containers(compose):
        if service:
            healthy.add(service)
        yield finding
    yield from drained.examine(compose)
    yield from _left_out(site)
    yield from _database(compose, "postgres" in healthy)
    yield from _redis(compose, "redis" in healthy)
    yield from gateways.examine(compose)
    yield from _request(deployment, configuration)
    yield from _alerts(site, configuration.settings)
    yield from _certificate(deployment, configuration)
    yield from backups(deployment, healthy="postgres" in healthy)


def _certificate(deployment: Deployment, configuration: Configuration) -> Iterator[Finding]:
    """Also reads the certificate from nginx: otherwise a renewal that nginx did not load is noticed too late."""
    wanted = configuration.certificate
    if wanted is None:
        yield Finding.skip("certificate", "TLS is off")
        return
    if configuration.settings.tls == "acme":
        try:
            wanted = fetched.wanted(deployment.compose)
            reason = fetched.why_not(deployment.compose)
        except TollgateError as error:
            yield Finding.fail("certificate", error.message, error.hint)
            return
        if reason:
            yield Finding.warn("certificate", f"it cannot be renewed: {reason}", fetched.RUNBOOK)
    for line in certificates.odd(wanted, configuration.settings):
        yield Finding.warn("certificate", line, "docs/runbooks/certificate.md")
    try:
        served = certificates.served(deployment)
    except TollgateError as error:
        yield Finding.fail("certificate", error.message, error.hint)
        return
    if served != wanted.fingerprint:
        acme = configuration.settings.tls == "acme"
        expected = "the fetched one" if acme else "the one on disk"
        hint = "`make logs S=nginx` shows why" if acme else "run `tollgate certificate reload`; it cuts no connection"
        yield Finding.fail("certificate", f"nginx serves another certificate than {expected}", hint)
    else:
        yield Finding.ok("certificate", f"ends on {wanted.not_after:%Y-%m-%d}, for {', '.join(wanted.names)}")


def _alerts(site: Site, settings: AlertSettings) -> Iterator[Finding]:
    receivers = Receivers.of(settings, webhook=site.secret(WEBHOOK).is_file())
    if receivers.names:
        yield Finding.ok("alerts", f"go out by {', '.join(receivers.names)}")
    else:
        hint = "set ALERT_EMAIL_TO or ALERT_SLACK_URL in .env and run `make deploy` (docs/guides/alerts.md)"
        yield Finding.warn("alerts", "no receiver is configured", hint)
    if not receivers.watchdog:
        hint = "set ALERT_WATCHDOG_URL in .env to the address of a service that notices missing calls"
        yield Finding.skip("watchdog", f"nobody notices if alerting itself stops; {hint}")


def _ports(deployment: Deployment, deployed: bool) -> Iterator[Finding]:
    if deployed:
        try:
            host, port = deployment.address(PUBLIC)
        except TollgateError as error:
            yield Finding.fail("ports", error.message, "run `make start`")
            return
        yield Finding.ok("ports", f"nginx answers on {host}:{port}")
        return
    for port_ in preflight.ports(deployment.settings):
        if not preflight.is_free(port_):
            hint = f"stop the program that listens there, or set another {port_.setting} in .env"
            level: Literal["WARN", "FAIL"] = "WARN" if port_.optional else "FAIL"
            yield Finding(level, "ports", f"{port_.host}:{port_.number} is in use", hint)
        else:
            yield Finding.ok("ports", f"{port_.host}:{port_.number} is free")


def _images(compose: Compose) -> Iterator[Finding]:
    if not compose.rendered:
        yield Finding.skip("images", "not resolved yet; run `make deploy`")
        return
    services = json.loads(compose.ask("config", "--format", "json"))["services"]
    wanted = {service["image"]: set[str]() for service in services.values()}
    for name, service in services.items():
        wanted[service["image"]].add(name)
    # `docker image inspect` resolves a name as Compose does. `docker image ls` prints docker.io/library/redis as redis.
    missing = [image for image in sorted(wanted) if ask("docker", "image", "inspect", "-f", "{{.Id}}", image) is None]
    for image in missing:
        level: Literal["WARN", "FAIL"] = "WARN" if all(map(is_optional, wanted[image])) else "FAIL"
        used = ", ".join(sorted(wanted[image]))
        yield Finding(level, "images", f"missing: {image} ({used})", "run `make deploy`, which pulls or builds it")
    if not missing:
        yield Finding.ok("images", f"all {len(wanted)} are on this machine")


def _left_out(site: Site) -> Iterator[Finding]:
    left = left_out.read(site)
    for service, (reason, hint) in left.backends.items():
        yield Finding.warn(service, f"left out: {reason}", hint)
    for service, reason in left.watchers.items():
        hint = "correct the cause and run `make deploy`"
        if service in GRAFANA_SET:
            hint += "; GRAFANA=off in .env leaves it out permanently"
        message = f"left out: {reason}"
        if service in ON_REQUEST:  # without backups or a certificate, data or clients are no longer safe
            yield Finding.fail(service, message, hint)
            continue
        yield Finding.skip(service, message) if reason == OFF else Finding.warn(service, message, hint)


def _containers(compose: Compose) -> Iterator[tuple[Finding, str]]:
    rows = {row.service: row for row in compose.containers()}
    services = [service for service in compose.services() if service != MIGRATE]
    down = {part.service: part for part in optional.not_up(compose, services, rows)}
    for service in services:
        row = rows.get(service)
        if row is not None and row.ready:
            yield Finding.ok(service, f"{row.health or row.state}"), service
        elif service in down:
            yield _optional(down[service]), ""
        else:
            state = "not created" if row is None else row.health if row.state == "running" else row.state
            yield Finding.fail(service, f"expected healthy, found {state}", f"`make logs S={service}` shows why"), ""


def _optional(part: optional.NotUp) -> Finding:
    """WARN for a watcher or a local backend: the gateway is safe without it. FAIL for backups and the certificate."""
    level: Literal["WARN", "FAIL"] = "WARN" if part.service in WATCHERS or part.service.startswith(BACKEND) else "FAIL"
    last = f": {part.log[-1]}" if part.log else ""
    return Finding(level, part.service, f"not up: {part.why}{last}; {part.loss}", part.hint)


def _database(compose: Compose, healthy: bool) -> Iterator[Finding]:
    """Run the migrate job with --check. It connects as the replicas do, so it also checks the password."""
    if not healthy:
        yield Finding.skip("database", "postgres is not healthy")
        return
    job = compose.argv("run", "--rm", "-T", "--no-deps", MIGRATE, "python", "-m", "tollgate.migrate", "--check")
    done = run(job, timeout=120)
    last = (done.out.strip().splitlines() or done.err.strip().splitlines() or [done.why])[-1]
    if done.ok:
        yield Finding.ok("database", f"reachable; {last}")
    elif done.status == 2:
        yield Finding.fail("database", f"reachable, schema behind: {last}", "run `make deploy`, which migrates it")
    else:
        yield Finding.fail("database", last or "not reachable", "`make logs S=postgres` shows more")


def _redis(compose: Compose, healthy: bool) -> Iterator[Finding]:
    if not healthy:
        yield Finding.skip("redis", "redis is not healthy")
        return
    answer = ask(*compose.argv("exec", "-T", "redis", "sh", "-c", REDIS_QUESTION))
    if answer is None or "noeviction" not in answer:
        hint = "an evicting Redis forgets spend and limits; config/redis/redis.conf sets maxmemory-policy noeviction"
        yield Finding.fail("redis", f"expected policy noeviction, found {answer or 'no answer'}", hint)
    else:
        yield Finding.ok("redis", "answers, never evicts")


def _request(deployment: Deployment, configuration: Configuration) -> Iterator[Finding]:
    try:
        yield Finding.ok("request", first_request.send(deployment, configuration))
    except TollgateError as error:
        yield Finding.fail("request", error.message, error.hint)
