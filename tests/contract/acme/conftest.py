"""nginx and the acme service as a deploy describes them, a stand-in replica, and pebble: an ACME server of our own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.eventually import eventually
from tests.support.images import image, own_image, stand_ins
from tests.support.ports import again
from tests.support.site import new_home
from tests.support.stack import ACME, ROOT, project_name
from tollgate.errors import StepError
from tollgate.render.users import USERS, VOLUMES
from tollgate.site import Site
from tollgate.stack import configuration
from tollgate.stack.certificates import self_signed
from tollgate.stack.containers import volumes
from tollgate.stack.containers.compose import Compose, plain
from tollgate.stack.deploy import render
from tollgate.stack.host.progress import PlainProgress
from tollgate.stack.secrets import store as secrets

PROJECT = project_name(ACME)
NAME = "gateway.test"
# The service renews a certificate in the last third of its life. This life is long enough for a test's checks.
LIFE_S = 45
REPLICA = ROOT / "tests" / "contract" / "nginx" / "replica.py"


@dataclass
class Gateway:
    """nginx with TLS=acme. `road` decides where the ACME server finds NAME: at nginx, or where nobody listens."""

    site: Site
    compose: Compose

    def cli(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "tollgate", "--home", str(self.site.home), *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=180, check=False)

    def ask(self, *arguments: str) -> str:
        return self.compose.ask(*arguments, timeout=120)

    def inside(self, service: str, *command: str) -> str:
        return self.ask("exec", "-T", service, *command)

    def log(self, service: str) -> str:
        return plain(self.ask("logs", "--no-color", "--no-log-prefix", service))

    def road(self, service: str) -> None:
        container = self.ask("ps", "--quiet", service).strip()
        place = json.loads(subprocess.check_output(["docker", "inspect", container]))[0]["NetworkSettings"]["Networks"]
        line = f"{place[f'{PROJECT}_edge']['IPAddress']} {NAME}"
        self.inside("pebble", "sh", "-c", f"sed '/{NAME}/d' /etc/hosts >/tmp/hosts && echo {line} >>/tmp/hosts "
                    "&& cat /tmp/hosts >/etc/hosts")  # fmt: skip

    def tell(self, order: str) -> None:
        """POST /_rearm or /_release to the replica."""
        code = f"import urllib.request as r; r.urlopen(r.Request('http://127.0.0.1:4000/_{order}', method='POST'))"
        self.inside("stand-in", "python3", "-c", code)

    def place(self, port: int) -> tuple[str, int]:
        return self.compose.address("nginx", port)

    def metrics(self) -> dict[str, float]:
        """Nothing before the first look is over."""
        lines = self.inside("acme", "find", "/metrics", "-name", "*.prom", "-exec", "cat", "{}", ";").splitlines()
        return {name: float(value) for name, value in (line.split() for line in lines if line[0] != "#")}

    def root(self) -> str:
        """The certificate that everything this ACME server gives is signed under."""
        return self.inside("acme", "curl", "-fsSk", "https://pebble:15000/roots/0")


def overlay(directory: Path, pebble: str) -> dict[str, Any]:
    """The test's additions: the ACME server, the replica, and short waits."""
    return {
        "services": {
            "acme": {"environment": {"ACME_RETRY_S": "2"}},
            "pebble": {
                "image": pebble,
                "networks": ["edge"],
                "volumes": [f"{directory}:/pebble:ro"],
                # Without its pauses, its spontaneous refusals and its remembering that a name was proven before.
                "environment": {"PEBBLE_VA_NOSLEEP": 1, "PEBBLE_WFE_NONCEREJECT": 0, "PEBBLE_AUTHZREUSE": 0},
            },
            "stand-in": {
                "image": "${TOLLGATE_IMAGE}",
                "init": True,
                "entrypoint": ["python3", "/srv/replica.py"],
                "networks": {"app": {"aliases": ["litellm-1"]}, "edge": {}},
                "volumes": [f"{REPLICA}:/srv/replica.py:ro"],
                "environment": {"REPLICA": "litellm-1"},
            },
        }
    }


def write_pebble(directory: Path) -> Path:
    """Write its configuration and the certificate of its own API. Returns the CA that clients must trust for it."""
    directory.mkdir()
    (directory / "api.pem").write_text(self_signed.make(("pebble",), datetime.now(UTC)).reveal())
    settings = {
        "listenAddress": "0.0.0.0:14000",
        "managementListenAddress": "0.0.0.0:15000",
        "certificate": "/pebble/api.pem",
        "privateKey": "/pebble/api.pem",
        "httpPort": 4080,
        "tlsPort": 4443,
        "retryAfter": {"authz": 1, "order": 1},
        "certificateValidityPeriod": LIFE_S,
    }
    (directory / "config.json").write_text(json.dumps({"pebble": settings}))
    return directory / "api.pem"


@contextmanager
def running(home: Path) -> Iterator[Gateway]:
    trusted = write_pebble(home.parent / "pebble")
    site = new_home(
        home,
        *("TLS=acme", f"GATEWAY_HOSTS={NAME}", "ACME_EMAIL=admin@gateway.test", "REPLICAS=1", "TLS_BIND=127.0.0.1"),
        *("TLS_PORT=0", "TLS_HTTP_PORT=0", f"ACME_CA_BUNDLE={trusted}", "ACME_DIRECTORY=https://pebble:14000/dir"),
        project=PROJECT,
    )
    secrets.ensure(site)
    self_signed.ensure(site, configuration.settings(site))
    ours = {name: image(name) for name in ("NGINX_IMAGE", "TOLLGATE_IMAGE", "ACME_IMAGE")}
    images = stand_ins(watchers=False)
    render.render(site, configuration.load(site), replace(images, images={**images.images, **ours}))
    file = home / "test.yaml"
    file.write_text(yaml.safe_dump(overlay(home.parent / "pebble", own_image("pebble"))))
    core = Compose.core(site, PROJECT)
    compose = replace(core, extra=(*core.extra, file))
    try:
        # As a deploy does it before the containers come.
        places = {f"{PROJECT}_{volume}": path for volume, path in VOLUMES["acme"].items()}
        volumes.give(ours["ACME_IMAGE"], USERS["nginx"], places)
        start = again(compose.run, StepError, lambda error: "\n".join(error.log))
        start("up", PlainProgress(), "up", "--detach", "--no-deps", "nginx", "stand-in", "pebble", "acme")
        yield Gateway(site, compose)
    finally:
        logs = ROOT / "var" / "logs" / "acme-test"
        logs.mkdir(parents=True, exist_ok=True)
        (logs / "logs.txt").write_text(plain(compose.ask("logs", "--no-color", "--timestamps")))
        compose.run("down", PlainProgress(), "down", "--volumes", "--timeout", "3")


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    home = tmp_path_factory.mktemp("acme") / "home"
    os.umask(0o022)
    with running(home) as gateway:
        for path in (home.parent, *home.parent.glob("pebble/**/*")):
            path.chmod(0o755)
        eventually(lambda: "started" in gateway.log("nginx"), within=60)
        yield gateway
