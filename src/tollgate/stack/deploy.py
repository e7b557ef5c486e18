"""`make deploy` as a table of contents: each step may be repeated, says what it changed, and is named when it fails.

Checks, nothing runs differently yet:   settings → configuration → engine → images
From here on things change:             rendering → databases → schema → services → tenants → request
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Protocol

from tollgate.errors import InputError
from tollgate.site import Site
from tollgate.stack import (
    backends,
    certificates,
    configuration,
    fetched,
    first_request,
    litellm_versions,
    preflight,
    price_list,
    rendering,
    secrets,
    self_signed,
    tenants,
)
from tollgate.stack.backup.repository import Repository
from tollgate.stack.bring_up import bring_up
from tollgate.stack.compose import DATABASES, MIGRATE, Compose
from tollgate.stack.configuration import Configuration, left_out
from tollgate.stack.engine import ensure_engine
from tollgate.stack.image_recipes import ACME, BACKUP
from tollgate.stack.images import ImageSet, present, resolve
from tollgate.stack.progress import Progress


class Display(Progress, Protocol):
    """What a deploy shows itself on; the CLI's StepDisplay is one."""

    def step(self, title: str) -> AbstractContextManager[None]: ...

    def done(self, title: str, seconds: float, result: str) -> None: ...


@dataclass
class Deploy:
    """One run: what the steps find out for each other, what they changed, and how long each took (seconds).

    `replace_replicas` gives every replica a new container, also those that differ in nothing. `keep_litellm` refuses
    another LiteLLM than the deployed one, which is for `upgrade` and `restore` to change.
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
    compose: Compose = field(init=False)

    def run(self, until: str = "") -> None:
        """Run the steps in order, up to and including `until`; a failure is raised as the TollgateError it is."""
        for name, step in STEPS.items():
            began = time.monotonic()
            with self.display.step(name):
                result = step(self)
            self.timings[name] = time.monotonic() - began
            self.display.done(name, self.timings[name], result)
            if name == until:
                return

    def note(self, changes: Collection[str], nothing: str = "unchanged") -> str:
        """Keep what a step changed; return the words for its line."""
        self.changes += changes
        return f"{len(changes)} changed" if changes else nothing


def _settings(run: Deploy) -> str:
    made = [f"wrote {run.site.env_file.name}"] if configuration.ensure_env(run.site) else []
    try:
        chosen = configuration.settings(run.site)
    except InputError:
        return run.note(made)  # the next step tells it, together with the problems of every other file
    preflight.check_secrets(run.site, chosen.compose_project_name)
    if version := litellm_versions.record(run.site, Compose.core(run.site, chosen.compose_project_name)):
        made.append(f"set LITELLM_VERSION={version} in {run.site.env_file.name}")
    made += [f"generated secrets/{name}" for name in secrets.ensure(run.site)]
    if self_signed.ensure(run.site, chosen) and chosen.tls == "self-signed":
        made.append("made a certificate: clients must be told to trust it (docs/runbooks/certificate.md)")
    return run.note(made)


def _configuration(run: Deploy) -> str:
    run.configuration = configuration.load(run.site)
    configured = run.configuration
    if run.keep_litellm:
        litellm_versions.check_unchanged(run.site, Compose.core(run.site, configured.settings.compose_project_name))
    said = [*left_out(configured.catalogue), *certificates.warnings(configured), *map(str, configured.tenants.warnings)]
    for line in said:
        run.display.say(line)
    return f"{len(run.configuration.catalogue.models)} model(s), {len(run.configuration.tenants)} tenant(s)"


def _engine(run: Deploy) -> str:
    settings = run.configuration.settings
    found = ensure_engine(run.display, allow_install=run.allow_engine_install, mirror=settings.debian_mirror or "")
    run.compose = Compose.core(run.site, settings.compose_project_name)
    preflight.check_owner(run.compose)
    for warning in preflight.check_host(run.compose, settings):
        run.display.say(warning)
    return f"Docker {found.version}"


def _images(run: Deploy) -> str:
    settings = run.configuration.settings
    before = present()
    mirror = settings.debian_mirror or ""
    run.images = resolve(
        settings.image_source,
        run.site,
        run.display,
        ca_bundle=settings.ca_bundle,
        mirror=mirror,
        litellm=litellm_versions.chosen(run.site, settings),
    )
    engines = backends.provide(run.site, settings, run.configuration.gateway.backends, run.display)
    more = _acme_image(run) if settings.tls == "acme" else {}
    if settings.backup_schedule:
        wanted = {BACKUP}
        ours = resolve(
            settings.image_source, run.site, run.display, ca_bundle=settings.ca_bundle, mirror=mirror, only=wanted
        )
        engines |= ours.images
    run.images = ImageSet({**run.images.images, **engines, **more}, run.images.unavailable)
    for line in rendering.images_left_out(run.images):
        run.display.say(line)
    price_list.check(run.site, run.configuration, run.images.images["LITELLM_IMAGE"])
    return run.note([f"image {image}" for image in sorted(set(run.images.images.values()) - set(before))])


def _acme_image(run: Deploy) -> Mapping[str, str]:
    settings, only = run.configuration.settings, {ACME}
    mirror = settings.debian_mirror or ""
    return resolve(
        settings.image_source, run.site, run.display, ca_bundle=settings.ca_bundle, mirror=mirror, only=only
    ).images


def _rendering(run: Deploy) -> str:
    return run.note([f"rendered {path}" for path in rendering.render(run.site, run.configuration, run.images)])


def _databases(run: Deploy) -> str:
    started = bring_up("databases", run.compose, DATABASES, run.display)
    if run.configuration.settings.backup_schedule:
        Repository.of(run.compose).ensure()
    return run.note(started)


def _schema(run: Deploy) -> str:
    hint = "mend the cause and run `make deploy` again: migrations that finished are not repeated"
    output = run.compose.run("schema", run.display, "run", "--rm", "-T", "--no-deps", MIGRATE, hint=hint)
    last = output.strip().splitlines()[-1] if output.strip() else ""
    # The job's last line counts: `migrate: done: 0 applied, 220 already there, 0 indexes built, 0.1 s`.
    quiet = " 0 applied," in last and " 0 indexes built" in last
    return run.note([] if quiet else [last])


def _services(run: Deploy) -> str:
    services = [name for name in run.compose.services() if name != MIGRATE]
    started = bring_up("services", run.compose, services, run.display, replace_replicas=run.replace_replicas)
    if rendering.nginx_to_reload(run.site) and "started nginx" not in started:
        # Its connections stay: recreating it for a changed limit would cut or outwait every stream.
        run.compose.run("services", run.display, "kill", "--signal", "SIGHUP", "nginx")
        started.append("reloaded nginx")
    rendering.nginx_has_read_it(run.site)
    if run.configuration.settings.tls == "acme" and (line := fetched.state(run.compose)):
        run.display.say(line)
    return run.note(started)


def _tenants(run: Deploy) -> str:
    done = tenants.apply(run.site, run.compose, run.configuration, run.display)
    for change in done.left:
        run.display.say(f"left alone: {change.action} {change.kind} {change.name}; `make plan` shows it")
    return run.note(done.changes)


def _request(run: Deploy) -> str:
    return first_request.send(run.site, run.compose, run.configuration)


STEPS: dict[str, Callable[[Deploy], str]] = {
    "settings": _settings,
    "configuration": _configuration,
    "engine": _engine,
    "images": _images,
    "rendering": _rendering,
    "databases": _databases,
    "schema": _schema,
    "services": _services,
    "tenants": _tenants,
    "request": _request,
}
