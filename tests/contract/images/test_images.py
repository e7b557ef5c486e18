"""What the Compose files rely on, held by every image, whether pulled or built here."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.contract.images.conftest import docker
from tollgate.site import Site

pytestmark = pytest.mark.docker

UIDS = {
    "POSTGRES_IMAGE": 999,
    "REDIS_IMAGE": 999,
    "NGINX_IMAGE": 101,
    "PROMETHEUS_IMAGE": 65534,
    "ALERTMANAGER_IMAGE": 65534,
    "POSTGRES_EXPORTER_IMAGE": 65534,
    "REDIS_EXPORTER_IMAGE": 65534,
    "NGINX_EXPORTER_IMAGE": 65534,
    "NODE_EXPORTER_IMAGE": 65534,
    "TOLLGATE_IMAGE": 10001,
    "BACKUP_IMAGE": 10001,
    "LITELLM_IMAGE": 65534,
}
CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----\s+([A-Za-z0-9+/=\s]+?)\s+-----END CERTIFICATE-----")
LOCAL_AUTHORITIES = Path("/usr/local/share/ca-certificates")
SAYS_VERSION = {
    "POSTGRES_IMAGE": ("postgres", "--version"),
    "REDIS_IMAGE": ("redis-server", "--version"),
    "NGINX_IMAGE": ("nginx", "-v"),
    "PROMETHEUS_IMAGE": ("--version",),
    "ALERTMANAGER_IMAGE": ("--version",),
    "POSTGRES_EXPORTER_IMAGE": ("--version",),
    "REDIS_EXPORTER_IMAGE": ("--version",),
    "NGINX_EXPORTER_IMAGE": ("--version",),
    "NODE_EXPORTER_IMAGE": ("--version",),
    "TOLLGATE_IMAGE": ("python", "-c", "import tollgate; print(tollgate.__version__)"),
    "BACKUP_IMAGE": ("pg_dump", "--version"),
    "LITELLM_IMAGE": ("python", "-c", "import importlib.metadata as m; print(m.version('litellm'))"),
}
TOOLS = {
    "POSTGRES_IMAGE": ("psql", "pg_isready", "pg_dump", "pg_restore", "pg_waldump", "pgbackrest", "zstd", "sh"),
    "REDIS_IMAGE": ("redis-cli", "sh"),
    "NGINX_IMAGE": ("curl", "getent", "sh"),
    "PROMETHEUS_IMAGE": ("/bin/promtool", "wget", "sh"),
    "ALERTMANAGER_IMAGE": ("/bin/amtool", "wget", "sh"),
    "POSTGRES_EXPORTER_IMAGE": ("/bin/postgres_exporter", "wget"),
    "REDIS_EXPORTER_IMAGE": ("/redis_exporter", "wget"),
    "NODE_EXPORTER_IMAGE": ("/bin/node_exporter", "wget"),
    "TOLLGATE_IMAGE": ("python", "sh"),
    "BACKUP_IMAGE": ("python", "psql", "pg_dump", "pg_restore", "sh"),
}


@pytest.mark.parametrize("variable", UIDS)
def test_each_image_runs_as_its_uid_with_nothing_it_does_not_need(once: Callable[..., str], variable: str) -> None:
    options = ("--user", f"{UIDS[variable]}:{UIDS[variable]}", "--network", "none")
    assert re.search(r"\d+\.\d+", once(variable, *SAYS_VERSION[variable], options=options))


@pytest.mark.parametrize("variable", UIDS)
def test_a_built_image_is_not_root_unless_told(image: Callable[[str], str], variable: str) -> None:
    config = json.loads(docker("image", "inspect", image(variable)))[0]["Config"]
    if image(variable).startswith("tollgate/"):
        assert config["User"].split(":")[0] == str(UIDS[variable])


@pytest.mark.parametrize("variable", TOOLS)
def test_the_tools_that_health_checks_and_scripts_use_are_there(once: Callable[..., str], variable: str) -> None:
    script = "for tool; do command -v $tool || echo missing: $tool; done"
    found = once(variable, "-c", script, "sh", *TOOLS[variable], options=("--entrypoint", "sh"))
    assert "missing" not in found


@pytest.mark.parametrize("variable", UIDS)
def test_no_image_keeps_what_its_build_was_lent(image: Callable[[str], str], variable: str) -> None:
    inspected = docker("image", "inspect", image(variable))
    history = docker("history", "--no-trunc", "--format", "{{.CreatedBy}}", image(variable))
    for text in (inspected, history):
        assert "BEGIN CERTIFICATE" not in text
        assert "_authToken" not in text
        assert "index-url" not in text


@pytest.mark.parametrize("variable", ["TOLLGATE_IMAGE", "LITELLM_IMAGE"])
def test_the_lent_files_are_not_in_the_image(once: Callable[..., str], variable: str) -> None:
    script = "for f in /run/secrets/* /etc/pip.conf /root/.npmrc /root/.pip; do [ ! -s $f ] || echo found $f; done"
    assert once(variable, "-c", script, options=("--entrypoint", "sh", "--user", "0:0")) == ""


def test_a_ca_of_this_host_is_not_trusted_by_an_image(once: Callable[..., str]) -> None:
    """The images trust Debian's authorities; one that only this host knows was lent to the build and no more."""
    inside = set(CERTIFICATE.findall(once("TOLLGATE_IMAGE", "cat", "/etc/ssl/certs/ca-certificates.crt")))
    assert len(inside) > 50
    here = [file.read_text() for file in LOCAL_AUTHORITIES.rglob("*.crt") if file.is_file()]
    assert not inside & set(CERTIFICATE.findall("\n".join(here)))


@pytest.mark.parametrize(
    "dockerfile", sorted((Site.here().root / "images").glob("*/Dockerfile")), ids=lambda f: f.parent.name
)
def test_no_dockerfile_needs_a_registry_of_its_own(dockerfile: Path) -> None:
    """A `# syntax=` line would pull a frontend, and a fixed FROM an image: both fail without a registry."""
    lines = dockerfile.read_text().splitlines()
    stages = {line.split()[-1] for line in lines if line.startswith("FROM ") and " AS " in line}
    bases = {line.split()[1] for line in lines if line.startswith("FROM ")}
    assert bases <= stages | {"${BASE_IMAGE}"}
    assert not [line for line in lines if line.startswith("# syntax")]
