"""The deployed stack: ports, images, containers, database, Redis, and one request as a tenant would send it."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

from tollgate.errors import TollgateError
from tollgate.site import Site
from tollgate.stack import certificates, fetched, first_request, preflight
from tollgate.stack.commands import ask
from tollgate.stack.compose import MIGRATE, Compose
from tollgate.stack.configuration import Configuration
from tollgate.stack.doctor.backups import backups
from tollgate.stack.doctor.finding import Finding
from tollgate.stack.engine import engine_version
from tollgate.stack.publish import WEBHOOK

REDIS_QUESTION = "REDISCLI_AUTH=$(cat /run/secrets/redis_password) redis-cli config get maxmemory-policy"


def examine(site: Site, configuration: Configuration) -> Iterator[Finding]:
    compose = Compose.core(site, configuration.settings.compose_project_name)
    if engine_version() is None:
        yield Finding.skip("containers", "no engine answers")
        return
    try:
        deployed = compose.rendered and bool(compose.containers())
    except TollgateError as error:
        yield Finding.fail("containers", error.message, "run `make deploy`, which renders everything anew")
        return
    yield from _ports(compose, configuration, deployed)
    yield from _images(compose)
    if not deployed:
        yield Finding.skip("containers", "nothing is deployed here yet; run `make deploy`")
        return
    healthy = set()
    for finding, service in _containers(compose):
        if service:
            healthy.add(service)
        yield finding
    yield from _database(compose, "postgres" in healthy)
    yield from _redis(compose, "redis" in healthy)
    yield from _request(site, compose, configuration)
    yield _alerts(site)
    yield from _certificate(compose, configuration)
    yield from backups(site, compose, configuration.settings, healthy="postgres" in healthy)


def _certificate(compose: Compose, configuration: Configuration) -> Iterator[Finding]:
    """What nginx serves, and not only what lies on disk: a renewal that never reached it looks well until it ends."""
    wanted = configuration.certificate
    if wanted is None:
        yield Finding.skip("certificate", "TLS is off")
        return
    if configuration.settings.tls == "acme":
        try:
            wanted = fetched.wanted(compose)
            reason = fetched.why_not(compose)
        except TollgateError as error:
            yield Finding.fail("certificate", error.message, error.hint)
            return
        if reason:
            yield Finding.warn("certificate", f"it cannot be renewed: {reason}", fetched.RUNBOOK)
    for line in certificates.odd(wanted, configuration.settings):
        yield Finding.warn("certificate", line, "docs/runbooks/certificate.md")
    try:
        served = certificates.served(compose)
    except TollgateError as error:
        yield Finding.fail("certificate", error.message, error.hint)
        return
    if served != wanted.fingerprint:
        acme = configuration.settings.tls == "acme"
        where = "was fetched" if acme else "lies on disk"
        hint = "`make logs S=nginx`" if acme else "run `tollgate certificate reload`; it cuts no connection"
        yield Finding.fail("certificate", f"nginx serves another one than {where}", hint)
    else:
        yield Finding.ok("certificate", f"ends on {wanted.not_after:%Y-%m-%d}, for {', '.join(wanted.names)}")


def _alerts(site: Site) -> Finding:
    if (site.secrets_dir / WEBHOOK).is_file():
        return Finding.ok("alerts", "go to the address in secrets/" + WEBHOOK)
    hint = f"put the address of a webhook into {site.secrets_dir / WEBHOOK} (mode 0600) and run `make deploy`"
    return Finding.warn("alerts", "nobody is told of them", hint)


def _ports(compose: Compose, configuration: Configuration, deployed: bool) -> Iterator[Finding]:
    if deployed:
        host, port = ("", 0)
        try:
            host, port = compose.address("nginx", 4000)
        except TollgateError as error:
            yield Finding.fail("ports", error.message, "run `make start`")
            return
        yield Finding.ok("ports", f"nginx answers on {host}:{port}")
        return
    for port_ in preflight.ports(configuration.settings):
        if not preflight.is_free(port_):
            hint = f"stop what listens there, or set {port_.setting} in .env"
            yield Finding.fail("ports", f"{port_.host}:{port_.number} is in use", hint)
        else:
            yield Finding.ok("ports", f"{port_.host}:{port_.number} is free")


def _images(compose: Compose) -> Iterator[Finding]:
    if not compose.rendered:
        yield Finding.skip("images", "not resolved yet; run `make deploy`")
        return
    wanted = sorted(set(compose.ask("config", "--images").split()))
    # The engine resolves a name as Compose will: `docker image ls` writes docker.io/library/redis as redis.
    missing = [image for image in wanted if ask("docker", "image", "inspect", "--format", "{{.Id}}", image) is None]
    if missing:
        yield Finding.fail("images", f"missing: {', '.join(missing)}", "run `make deploy`, which pulls or builds them")
    else:
        yield Finding.ok("images", f"all {len(wanted)} are on this machine")


def _containers(compose: Compose) -> Iterator[tuple[Finding, str]]:
    rows = {row.service: row for row in compose.containers()}
    for service in compose.services():
        if service == MIGRATE:
            continue
        row = rows.get(service)
        if row is not None and row.ready:
            yield Finding.ok(service, f"{row.health or row.state}"), service
        else:
            state = "not created" if row is None else row.health if row.state == "running" else row.state
            yield Finding.fail(service, f"expected healthy, found {state}", f"`make logs S={service}` tells why"), ""


def _database(compose: Compose, healthy: bool) -> Iterator[Finding]:
    """The migrate job in its checking mode: it connects as the replicas do, so it also proves the password."""
    if not healthy:
        yield Finding.skip("database", "postgres is not healthy")
        return
    job = compose.argv("run", "--rm", "-T", "--no-deps", MIGRATE, "python", "-m", "tollgate.litellm.migrate", "--check")
    done = subprocess.run(job, capture_output=True, text=True, timeout=120)
    last = (done.stdout.strip().splitlines() or done.stderr.strip().splitlines() or [""])[-1]
    if done.returncode == 0:
        yield Finding.ok("database", f"reachable; {last}")
    elif done.returncode == 2:
        yield Finding.fail("database", f"reachable, schema behind: {last}", "run `make deploy`, which migrates it")
    else:
        yield Finding.fail("database", last or "not reachable", "`make logs S=postgres` tells more")


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


def _request(site: Site, compose: Compose, configuration: Configuration) -> Iterator[Finding]:
    try:
        yield Finding.ok("request", first_request.send(site, compose, configuration))
    except TollgateError as error:
        yield Finding.fail("request", error.message, error.hint)
