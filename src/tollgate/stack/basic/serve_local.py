"""`tollgate serve-local`: one model server on this machine, behind its own gateway. Both stop when the command ends.

It is the basic set-up with one backend, in its own home (var/serve-local). Other deployments on this machine do not
change.
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

from tollgate.config.env import settings as env
from tollgate.config.gateway import load as gateway
from tollgate.config.gateway.backend import service
from tollgate.config.gateway.catalogue import resolve
from tollgate.config.load import Configuration
from tollgate.config.tenant.load import Tenants
from tollgate.errors import StepError
from tollgate.site import Site
from tollgate.stack import configuration
from tollgate.stack.basic import setup
from tollgate.stack.basic.setup import Basic
from tollgate.stack.containers.compose import Compose
from tollgate.stack.deploy import first_request, local_models
from tollgate.stack.deployment import Deployment
from tollgate.stack.host.masking import mask
from tollgate.stack.host.progress import Display

NAME = "local"
# Settings taken from the deployment's .env: they say where images and packages come from.
KEPT = ("IMAGE_SOURCE", "CA_BUNDLE", "DEBIAN_MIRROR")
# A model on a CPU can need this long for its first answer.
FIRST_ANSWER_S = 300.0
TEST_MODEL = {"targets": [{"model": "embedded/test-model"}], "price": "free"}


@dataclass(frozen=True)
class Plan:
    """The set-up that `served` starts. `written` is the same backend as YAML for config/gateway.yaml."""

    site: Site
    configured: Configuration
    written: str
    alias: str

    @property
    def compose(self) -> Compose:
        return Deployment.basic(self.site, self.configured.settings).compose


def plan(site: Site, backend: dict[str, Any], port: int) -> Plan:
    """Raises InputError if the options do not fit the engine, TollgateError if the model cannot be served."""
    given = {name: value for name, value in backend.items() if value is not None}
    written = json.dumps({"models": {"test-model": TEST_MODEL}, "backends": {NAME: {**given, "run": True}}})
    models = gateway.parse(written, Path("serve-local"))
    chosen = models.backends[NAME]
    local_models.check_model(Path.cwd(), NAME, chosen)
    shown = {**given, "run": True}
    text = f"backends:\n  {NAME}: {{{', '.join(f'{key}: {json.dumps(value)}' for key, value in shown.items())}}}\n"
    local = site.serve_local
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
    """Run model server and gateway during the block. Both answer at its start, and both are removed at its end."""
    try:
        running = setup.deploy(
            plan.site,
            display,
            allow_engine_install=allow_engine_install,
            configured=plan.configured,
            port_hint="choose another port with --port; 0 lets Docker choose",
        )
        with display.step("first answer"):
            hint = f"see: docker compose -p {plan.compose.project} logs {service(NAME)}"
            first_request.ask(running.url, running.key, "its one key", hint, model=plan.alias, timeout=FIRST_ANSWER_S)
        yield running
    finally:
        stop(plan, display)


def stop(plan: Plan, display: Display) -> None:
    """Remove both. A second Ctrl-C is ignored, so that nothing is left behind."""
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
    """Check the containers `every` seconds and never return. Raises StepError with the last lines of a failed one."""
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
    """SIGTERM and SIGHUP (a closed terminal) end the block like Ctrl-C, so the cleanup after it runs."""

    def end(number: int, _: FrameType | None) -> None:
        raise KeyboardInterrupt(signal.Signals(number).name)

    before = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
