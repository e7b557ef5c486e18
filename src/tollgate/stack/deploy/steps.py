"""The steps of `make deploy`. Each step can run again, reports what it changed, and names itself in its error.

Checks; the running stack stays as it is:   settings → configuration → engine → images
These change the running stack:             rendering → volumes → databases → schema → services → tenants → request
The gateway works; warnings only:           optional
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from tollgate.errors import InputError, StepError, TollgateError
from tollgate.migrate.applied import Migrated
from tollgate.render.watchers import LATE
from tollgate.site import Site
from tollgate.stack import configuration
from tollgate.stack.backup.repository import Repository
from tollgate.stack.certificates import acme, self_signed
from tollgate.stack.certificates import serve as certificates
from tollgate.stack.configuration import Configuration
from tollgate.stack.configuration import left_out as models_left_out
from tollgate.stack.containers import optional, volumes
from tollgate.stack.containers.bring_up import bring_up
from tollgate.stack.containers.compose import DATABASES, MIGRATE, Compose, needed
from tollgate.stack.containers.optional import NotUp
from tollgate.stack.deploy import first_request, late, left_out, local_models, preflight, price_list, render
from tollgate.stack.deployment import Deployment
from tollgate.stack.host.engine import ensure_engine
from tollgate.stack.host.progress import Display
from tollgate.stack.images import data_source
from tollgate.stack.images import litellm as litellm_versions
from tollgate.stack.images.resolve import Images, ImageSet, present
from tollgate.stack.secrets import store as secrets
from tollgate.stack.secrets.nginx_read import nginx_has_read_it, nginx_to_reload
from tollgate.stack.tenants import tenancy


@dataclass
class Deploy:
    """One run: values that the steps share, the changes, and the duration of each step (seconds).

    `replace_replicas` also replaces the container of an unchanged replica. `keep_litellm` refuses a LiteLLM other than
    the deployed one, because only `upgrade` and `restore` change it.
    """

    site: Site
    display: Display
    allow_engine_install: bool = True
    replace_replicas: bool = False
    keep_litellm: bool = False
    changes: list[str] = field(default_factory=list)
    timings: dict[str, float] = field(default_factory=dict)

    configuration: Configuration = field(init=False)
    images: ImageSet = field(init=False)
    not_up: list[NotUp] = field(default_factory=list)
    deployment: Deployment = field(init=False)

    def run(self, until: str = "") -> None:
        """Run the steps in order, up to and including `until`. Raises the TollgateError of a step that fails."""
        for name, step in STEPS.items():
            began = time.monotonic()
            with self.display.step(name):
                result = step(self)
            self.timings[name] = time.monotonic() - began
            self.display.done(name, self.timings[name], result)
            if name == until:
                return

    @property
    def compose(self) -> Compose:
        return self.deployment.compose

    def note(self, changes: Collection[str], nothing: str = "unchanged") -> str:
        """Record what a step changed; return the text for its line."""
        self.changes += changes
        return f"{len(changes)} changed" if changes else nothing


def _settings(run: Deploy) -> str:
    changes = [f"wrote {run.site.env_file.name}"] if configuration.ensure_env(run.site) else []
    try:
        chosen = configuration.settings(run.site)
    except InputError:
        return run.note(changes)  # the next step reports it, together with the problems of every other file
    deployment = Deployment.of(run.site, chosen)
    preflight.check_secrets(deployment)
    if version := litellm_versions.record(deployment):
        changes.append(f"set LITELLM_VERSION={version} in {run.site.env_file.name}")
    changes += [f"generated secrets/{name}" for name in secrets.ensure(run.site)]
    if self_signed.ensure(run.site, chosen) and chosen.tls == "self-signed":
        changes.append("made a certificate: clients must trust it now (docs/runbooks/certificate.md)")
    return run.note(changes)


def _configuration(run: Deploy) -> str:
    run.configuration = configuration.load(run.site)
    configured = run.configuration
    run.deployment = Deployment.of(run.site, configured.settings)
    if run.keep_litellm:
        litellm_versions.check_unchanged(run.deployment)
    warnings = [
        *models_left_out(configured.catalogue),
        *certificates.warnings(configured),
        *map(str, configured.tenants.warnings),
    ]
    for line in warnings:
        run.display.say(line)
    return f"{len(run.configuration.catalogue.models)} model(s), {len(run.configuration.tenants)} tenant(s)"


def _engine(run: Deploy) -> str:
    settings = run.configuration.settings
    engine = ensure_engine(run.display, allow_install=run.allow_engine_install, mirror=settings.debian_mirror or "")
    preflight.check_owner(run.compose)
    run.changes += [f"set {line} in .env" for line in data_source.check(run.deployment)]
    for warning in preflight.check_host(run.deployment):
        run.display.say(warning)
    return f"Docker {engine.version}"


def _images(run: Deploy) -> str:
    settings = run.configuration.settings
    before = present()
    unfit = local_models.unfit(run.site, run.configuration.gateway.backends)
    for problem in unfit.values():
        run.display.say(f"warning: {problem.message}\nhint:  {problem.hint}")
    images = Images(settings, run.site, run.display)
    late_ones = late.wanted(run.configuration, images.core, unfit)
    run.images = images.provide(images.core - LATE) | ImageSet({}, unfit=unfit)
    run.images |= late.expected(run.site, images, late_ones)
    price_list.check(run.site, run.configuration, run.images.images["LITELLM_IMAGE"])
    return run.note([f"image {image}" for image in sorted(set(run.images.images.values()) - set(before))])


def _rendering(run: Deploy) -> str:
    return run.note([f"rendered {path}" for path in render.render(run.site, run.configuration, run.images)])


def _volumes(run: Deploy) -> str:
    return run.note([f"gave {name} to its user" for name in volumes.settle(run.site, run.compose, run.display)])


def _databases(run: Deploy) -> str:
    started = bring_up("databases", run.compose, DATABASES, run.display)
    if run.configuration.settings.backup_schedule:
        try:
            Repository.of(run.compose).ensure()
        except TollgateError as error:  # requests need no backups; `make doctor` fails without them
            hint = "correct the cause, then run `make deploy` again"
            run.not_up.append(NotUp("backup", f"its repository cannot be prepared: {error.message}", hint))
    return run.note(started)


def _schema(run: Deploy) -> str:
    hint = "correct the cause and run `make deploy` again: it does not repeat finished migrations"
    output = run.compose.run("schema", run.display, "run", "--rm", "-T", "--no-deps", MIGRATE, hint=hint)
    try:
        done = Migrated.read(output)
    except ValueError as error:
        raise StepError("schema", str(error), hint) from None
    return run.note([f"migrate: done: {done}"] if done.changed else [])


def _services(run: Deploy) -> str:
    services = needed(run.compose.services())
    started = bring_up("services", run.compose, services, run.display, replace_replicas=run.replace_replicas)
    if nginx_to_reload(run.site) and "started nginx" not in started:
        # A reload keeps its connections. To recreate nginx for a changed limit would cut every stream, or wait for it.
        run.compose.run("services", run.display, "kill", "--signal", "SIGHUP", "nginx")
        started.append("reloaded nginx")
    nginx_has_read_it(run.site)
    return run.note(started)


def _tenants(run: Deploy) -> str:
    done = tenancy.apply(run.deployment, run.configuration, run.display)
    for change in done.left:
        run.display.say(f"left alone: {change.action} {change.kind} {change.name}; `make plan` shows it")
    return run.note(done.changes)


def _request(run: Deploy) -> str:
    return first_request.send(run.deployment, run.configuration)


def _optional(run: Deploy) -> str:
    fetched = _late(run)
    changes, problems = optional.bring_up("optional", run.compose, run.display)
    run.not_up += problems + late.not_up(run.configuration, run.images)
    for part in run.not_up:
        run.display.say(str(part))
    if run.configuration.settings.tls == "acme" and (line := acme.state(run.compose)):
        run.display.say(line)
    missing = ", ".join(part.service for part in run.not_up)
    return run.note([*fetched, *changes]) + (f"; not up: {missing}" if missing else "")


def _late(run: Deploy) -> list[str]:
    """Get the images that no request needs. If one came or is missing now, render again. Returns the changes."""
    settings, before = run.configuration.settings, run.images
    if missing := LATE & before.unavailable.keys():
        run.images |= Images(settings, run.site, run.display).provide(missing)
    for line in left_out.of_watchers(run.configuration, run.images).lines:
        run.display.say(line)
    if run.images == before:
        return []
    rendered = render.render(run.site, run.configuration, run.images)
    owned = volumes.settle(run.site, run.compose, run.display)
    images = sorted(image for name, image in run.images.images.items() if name not in before.images)
    return [
        *(f"image {image}" for image in images),
        *(f"rendered {path}" for path in rendered),
        *(f"gave {name} to its user" for name in owned),
    ]


STEPS: dict[str, Callable[[Deploy], str]] = {
    "settings": _settings,
    "configuration": _configuration,
    "engine": _engine,
    "images": _images,
    "rendering": _rendering,
    "volumes": _volumes,
    "databases": _databases,
    "schema": _schema,
    "services": _services,
    "tenants": _tenants,
    "request": _request,
    "optional": _optional,
}
