"""`tollgate serve-local`: one model server of this machine behind a gateway of its own, both gone when it ends.

It is the basic set-up with one backend, in a home of its own (var/serve-local): what else is deployed here stays as
it is.
"""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from tollgate.config import env, gateway
from tollgate.config.backends import service
from tollgate.config.catalogue import resolve
from tollgate.config.load import Configuration
from tollgate.config.tenants import Tenants
from tollgate.errors import StepError
from tollgate.site import Site
from tollgate.stack import backends, basic, configuration, first_request
from tollgate.stack.basic import Basic
from tollgate.stack.compose import Compose
from tollgate.stack.deploy import Display
from tollgate.stack.masking import mask

NAME = "local"
# Kept from the deployment's own .env: where images and packages come from.
KEPT = ("IMAGE_SOURCE", "CA_BUNDLE", "DEBIAN_MIRROR")
# A model on a CPU may think this long about a first sentence.
FIRST_ANSWER_S = 300.0
TEST_MODEL = {"targets": [{"model": "embedded/test-model"}], "price": "free"}


@dataclass(frozen=True)
class Plan:
    """What would run. `written` is the same as a person would write it into config/gateway.yaml."""

    site: Site
    configured: Configuration
    written: str
    alias: str

    @property
    def compose(self) -> Compose:
        return Compose.basic(self.site, self.configured.settings.compose_project_name)


def plan(site: Site, backend: dict[str, Any], port: int) -> Plan:
    """Raises InputError for options that do not fit the engine, TollgateError for a model that cannot be served."""
    given = {name: value for name, value in backend.items() if value is not None}
    written = json.dumps({"models": {"test-model": TEST_MODEL}, "backends": {NAME: {**given, "run": True}}})
    models = gateway.parse(written, Path("serve-local"))
    chosen = models.backends[NAME]
    backends.check_model(Path.cwd(), NAME, chosen)
    shown = {**given, "run": True}
    text = f"backends:\n  {NAME}: {{{', '.join(f'{key}: {json.dumps(value)}' for key, value in shown.items())}}}\n"
    local = Site(root=site.root, home=site.home / "var" / "serve-local")
    settings = env.parse("", local.env_file, _settings(site, port))
    configured = Configuration(settings, models, resolve(models, ()), Tenants((), ()))
    return Plan(local, configured, text, chosen.alias)


def _settings(site: Site, port: int) -> dict[str, str]:
    ours = configuration.settings(site)
    kept = {name: str(value) for name in KEPT if (value := getattr(ours, name.lower())) is not None}
    project = f"{ours.compose_project_name}-local"
    return {**kept, "COMPOSE_PROJECT_NAME": project, "GATEWAY_PORT": str(port)}


@contextmanager
def served(plan: Plan, display: Display, *, allow_engine_install: bool) -> Iterator[Basic]:
    """Both up and answering inside the block; both gone after it, however it ends."""
    try:
        running = basic.deploy(
            plan.site,
            display,
            allow_engine_install=allow_engine_install,
            configured=plan.configured,
            port_hint="give another one with --port; 0 lets Docker choose",
        )
        with display.step("first answer"):
            hint = f"see: docker compose -p {plan.compose.project} logs {service(NAME)}"
            first_request.ask(running.url, running.key, "its one key", hint, model=plan.alias, timeout=FIRST_ANSWER_S)
        yield running
    finally:
        stop(plan, display)


def stop(plan: Plan, display: Display) -> None:
    """Take both down. A second Ctrl-C does not leave half of it behind."""
    if not plan.compose.rendered:
        return
    before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        with display.step("stopping both"):
            plan.compose.run("stop", display, "down", "--remove-orphans", "--timeout", "10")
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def watch(plan: Plan, every: float = 3.0, sleep: Callable[[float], None] = time.sleep) -> None:
    """Return never; StepError naming the container that stopped, with its last words."""
    while True:
        for row in plan.compose.containers():
            if row.failed:
                state = f"exited with {row.exit_code}" if row.state == "exited" else row.health or row.state
                last = [mask(line) for line in plan.compose.tail(row.service)]
                raise StepError(
                    "serving", f"{row.service}: {state}", "its last lines above say why; both are stopped", last
                )
        sleep(every)


@contextmanager
def ended_by_signal() -> Iterator[None]:
    """SIGTERM and a closed terminal end the block as Ctrl-C does, so that what follows it is done."""

    def end(number: int, _: FrameType | None) -> None:
        raise KeyboardInterrupt(signal.Signals(number).name)

    before = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
