"""The whole stack under test: prepared by `tollgate deploy`, brought up by Testcontainers, taken down whatever happens.

It has its own home, a project name derived from the checkout and ports that Docker chooses, so that it never meets a
deployment that runs on the same machine.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from testcontainers.compose import DockerCompose

from tests.support.containers import of_project
from tests.support.site import dials_on
from tests.support.tiny_gguf import write as write_model
from tollgate.site import Site
from tollgate.stack.configuration import settings
from tollgate.stack.containers.compose import MIGRATE, Compose, needed
from tollgate.stack.deployment import PROMETHEUS, Deployment
from tollgate.stack.secrets.store import GENERATED

ROOT = Path(__file__).resolve().parents[2]
FIXTURES = ROOT / "tests" / "fixtures"
TENANTS = FIXTURES / "tenants"
# The shipped catalogue with the embedded provider in Anthropic's place: its Claude models are then served just as they
# are with a real key, and what reached "Anthropic" can be read back.
ANTHROPIC = "http://provider:8080"
CLAUDE = re.compile(r"- model: (anthropic/\S+)$", re.MULTILINE)
# A real model server beside the replicas; the tenant `hardware` may use it.
BACKEND = """
backends:
  tiny: {engine: llama.cpp, run: true, model: models/tiny.gguf, context_tokens: 32768, memory_gb: 1, needs: [tools]}
"""


# Every Compose project that this checkout's tests start: the stack, the parts of contract/stack_parts, the watchers of
# contract/observability, contract/backends, the bench, chaos, contract/acme and tests/upgrade.
# tests/support/sweep.py removes what is left of them.
# Further lanes of pytest-xdist, each with a stack of its own if it runs tests that need one.
LANES = tuple(f"-gw{number}" for number in range(1, 8))
STACK, PARTS, WATCHERS, BENCH, BACKENDS, CHAOS, UPGRADE, ACME, *_ENDINGS = SUFFIXES = (
    *("", "-parts", "-watchers", "-bench", "-backends", "-chaos", "-upgrade", "-acme"),
    # The projects of the two commands that contract/backends runs.
    *("-backends-basic", "-backends-local-basic", "-backends-two-local-basic"),
    *LANES,
)


def lane() -> str:
    """The suffix of this lane's stack: empty in the first lane, and without lanes."""
    worker = os.environ.get("PYTEST_XDIST_WORKER", "gw0")
    return STACK if worker == "gw0" else f"-{worker}"


def project_name(suffix: str = STACK) -> str:
    """The same for one checkout, different for two: parallel checkouts do not take each other's containers down."""
    if suffix not in SUFFIXES:
        raise ValueError(f"{suffix!r} is not among SUFFIXES: what a killed run left under it would not be found")
    return f"tollgate-test-{hashlib.sha256(str(ROOT).encode()).hexdigest()[:8]}{suffix}"


@dataclass
class Stack:
    """A running deployment. `cli` runs the real command; `compose` asks Docker about it."""

    home: Path
    project: str
    containers: DockerCompose = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self.site = Site.here(self.home)
        self.compose = Compose.core(self.site, self.project)

    def cli(self, *arguments: str, check: bool = True, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run `tollgate ARGUMENTS` as a user would; with `check` a failure raises with what it printed."""
        command = [sys.executable, "-m", "tollgate", "--home", str(self.home), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **environment}, timeout=1500)
        if check and done.returncode != 0:
            raise AssertionError(
                f"tollgate {' '.join(arguments)} exited {done.returncode}\n{done.stdout}\n{done.stderr}"
            )
        return done

    def ready(self) -> bool:
        """Whether every service that requests need is up. `tollgate status` has the same rule for its exit code."""
        ready = {row.service for row in self.compose.containers() if row.ready}
        return ready.issuperset(needed(self.compose.services()))

    @property
    def deployment(self) -> Deployment:
        return Deployment(self.site, settings(self.site), self.compose)

    @property
    def replicas(self) -> list[str]:
        return [f"litellm-{number}" for number in range(1, self.deployment.settings.replicas + 1)]

    @property
    def url(self) -> str:
        return self.deployment.public_url

    @property
    def admin_url(self) -> str:
        return self.deployment.admin_url

    @property
    def prometheus_url(self) -> str:
        return self.deployment.url(PROMETHEUS)

    def key(self, tenant: str) -> str:
        return (self.home / "secrets" / "tenants" / tenant).read_text().strip()

    def secret(self, name: str) -> str:
        return (self.home / "secrets" / name).read_text().strip()

    def secret_values(self) -> dict[str, str]:
        """Every secret of this deployment by name, tenants' keys included."""
        values = {spec.name: self.secret(spec.name) for spec in GENERATED}
        keys = self.home / "secrets" / "tenants"
        return values | {f"key of {path.name}": path.read_text().strip() for path in sorted(keys.glob("*"))}

    def python(self, service: str, code: str) -> str:
        """Run Python inside a container; its standard output. For what only the internal network can see."""
        [container] = of_project(self.project, service)
        done = container.exec_run(["python", "-c", code], demux=True)
        said, complained = (part.decode() if part else "" for part in done.output)
        if done.exit_code != 0:
            raise AssertionError(f"in {service}: {complained.strip()[-1500:]}")
        return said

    def provider_requests(self) -> list[dict[str, object]]:
        """The embedded provider's record, oldest request first."""
        code = "import urllib.request as r; print(r.urlopen('http://127.0.0.1:8080/_recorded').read().decode())"
        recorded = json.loads(self.python("provider", code))
        return list(recorded["requests"] if isinstance(recorded, dict) else recorded)

    def docker(self, *arguments: str) -> str:
        return subprocess.run(["docker", *arguments], capture_output=True, text=True, check=True, timeout=120).stdout


def catalogue() -> str:
    shipped = (ROOT / "config" / "gateway.yaml").read_text()
    moved, number = CLAUDE.subn(rf"- {{model: \1, api_base: '{ANTHROPIC}', api_key: env:RECORDED_API_KEY}}", shipped)
    assert number >= 5, "the shipped catalogue names Anthropic's models in another way now"
    more = (FIXTURES / "clients" / "models.yaml").read_text()
    return moved.replace("\nmodels:\n", f"\nmodels:\n{more}", 1)


def prepare(home: Path, project: str, gateways: int = 2, replicas: int = 3) -> Stack:
    """A fresh home with the shipped configuration, the test tenants, and ports of Docker's choosing.

    The same number of gateway processes on every machine. `TOLLGATE_TEST_GATEWAYS=0 make test T=tests/stack` tests
    LiteLLM's route alone.
    """
    (home / "config").mkdir(parents=True)
    (home / "config" / "gateway.yaml").write_text(catalogue() + BACKEND)
    (home / "models").mkdir(mode=0o755)
    write_model(home / "models" / "tiny.gguf").chmod(0o644)
    shutil.copytree(TENANTS, home / "tenants")
    shutil.copyfile(ROOT / "tenants" / "example.yaml", home / "tenants" / "example.yaml")
    ports = "".join(f"{name}_PORT=0\n" for name in ("GATEWAY", "ADMIN", "GRAFANA", "PROMETHEUS"))
    settings = f"COMPOSE_PROJECT_NAME={project}\nGATEWAY_BIND=127.0.0.1\nRECORDED_API_KEY=sk-recorded\n{ports}"
    settings += f"GATEWAYS={os.environ.get('TOLLGATE_TEST_GATEWAYS', gateways)}\nREPLICAS={replicas}\n"
    (home / ".env").write_text(settings)
    (home / ".env").chmod(0o600)
    dials_on(home)
    return Stack(home, project)


def bring_up(stack: Stack, between: Callable[[], None] = lambda: None) -> None:
    """Databases and schema by our command, every other container by Testcontainers.

    The files alone are enough for it, and the deploy at the end finds nothing to recreate.
    """
    stack.cli("deploy", "--until", "volumes")
    between()
    stack.cli("deploy", "--until", "schema")
    stack.containers = DockerCompose(
        context=ROOT / "compose",
        compose_file_name=[str(file) for file in stack.compose.present],
        env_file=str(stack.compose.env_file),
        services=[name for name in stack.compose.services() if name != MIGRATE],
    )
    stack.containers.start()
    stack.cli("deploy")


def take_down(stack: Stack, artifacts: Path) -> None:
    """Keep the logs, then remove containers, networks and volumes, also of a stack that only half came up."""
    if not stack.compose.rendered:
        return
    artifacts.mkdir(parents=True, exist_ok=True)
    for name, words in {"logs": ("logs", "--no-color", "--timestamps"), "ps": ("ps", "--all")}.items():
        with (artifacts / f"{name}.txt").open("w") as stream:
            subprocess.run(
                stack.compose.argv(*words), stdout=stream, stderr=subprocess.STDOUT, timeout=120, check=False
            )
    down = stack.compose.argv("down", "--volumes", "--remove-orphans", "--timeout", "10")
    subprocess.run(down, capture_output=True, timeout=300, check=True)
