"""The checkers of Prometheus and Alertmanager, from the images that the stack runs."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.images import references
from tests.support.receivers import receivers
from tollgate.render import watchers
from tollgate.render.observability import WITHOUT_GRAFANA, render_observability
from tollgate.render.output import write
from tollgate.render.receivers import Receivers

ROOT = Path(__file__).resolve().parents[3]
WATCHERS = tuple(f"{name}_IMAGE" for name in ("PROMETHEUS", "ALERTMANAGER", "NODE_EXPORTER", "LOKI", "ALLOY"))
ALERTS = Path(__file__).parent / "alerts"


@dataclass(frozen=True)
class Tool:
    """A command of an image. `run` gives it `directory` as /work and returns what it did."""

    image: str
    program: str

    def run(self, directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = ["docker", "run", "--rm", "--network=none", "--read-only", "--tmpfs=/tmp", "--cap-drop=ALL"]
        # The tests' own directories are readable by us alone.
        command += [f"--user={os.getuid()}:{os.getgid()}", f"--volume={directory}:/work:ro", "--workdir=/work"]
        # promtool looks whether the file with Prometheus's key is there; it does not read it.
        command += ["--volume=/dev/null:/run/secrets/metrics_key:ro"]
        command += [f"--entrypoint={self.program}", self.image, *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=120)


@pytest.fixture(scope="session")
def images() -> Mapping[str, str]:
    """The watchers' images; what exists in registries only may be missing."""
    return references(WATCHERS)


@pytest.fixture(scope="session")
def promtool(images: Mapping[str, str]) -> Tool:
    return Tool(images["PROMETHEUS_IMAGE"], "/bin/promtool")


@pytest.fixture(scope="session")
def amtool(images: Mapping[str, str]) -> Tool:
    return Tool(images["ALERTMANAGER_IMAGE"], "/bin/amtool")


@pytest.fixture(params=["three replicas", "one replica, gateways, Grafana, every receiver"])
def rendered(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """var/rendered of a deployment, in the two shapes that differ most."""
    full = request.param != "three replicas"
    running = watchers.WATCHERS if full else WITHOUT_GRAFANA
    gateways = 2 if full else 0
    ways = receivers() if full else Receivers()
    replicas = 1 if full else 3
    files = render_observability(
        ROOT, replicas, "tollgate", gateways=gateways, watchers=running, receivers=ways, proxied=full
    )
    write(tmp_path, files)
    return tmp_path


@pytest.fixture
def three(tmp_path: Path) -> Path:
    """The Prometheus directory of a deployment of three replicas, with the alert tests beside the rules."""
    write(tmp_path, render_observability(ROOT, 3, "tollgate"))
    for file in ALERTS.glob("*.yml"):
        shutil.copy(file, tmp_path / "prometheus" / file.name)
    return tmp_path / "prometheus"
