"""Every image, pulled or built here, has what the Compose files need."""

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
def test_each_image_runs_as_its_uid_and_with_few_privileges(once: Callable[..., str], variable: str) -> None:
    options = ["--user", f"{UIDS[variable]}:{UIDS[variable]}", "--network", "none"]
    command = [*SAYS_VERSION[variable]]
    if (
        variable == "LITELLM_IMAGE"
    ):  # the official one has an entrypoint that starts the server; replicas have their own
        options += ["--entrypoint", command.pop(0)]
    assert re.search(r"\d+\.\d+", once(variable, *command, options=options))


@pytest.mark.parametrize("variable", UIDS)
def test_the_default_user_of_a_built_image_is_not_root(image: Callable[[str], str], variable: str) -> None:
    config = json.loads(docker("image", "inspect", image(variable)))[0]["Config"]
    if image(variable).startswith("tollgate/"):
        assert config["User"].split(":")[0] == str(UIDS[variable])


@pytest.mark.parametrize("variable", TOOLS)
def test_each_image_has_the_tools_of_health_checks_and_scripts(once: Callable[..., str], variable: str) -> None:
    script = "for tool; do command -v $tool || echo missing: $tool; done"
    found = once(variable, "-c", script, "sh", *TOOLS[variable], options=("--entrypoint", "sh"))
    assert "missing" not in found


@pytest.mark.parametrize("variable", UIDS)
def test_no_image_keeps_the_secrets_of_its_build(image: Callable[[str], str], variable: str) -> None:
    inspected = docker("image", "inspect", image(variable))
    history = docker("history", "--no-trunc", "--format", "{{.CreatedBy}}", image(variable))
    for text in (inspected, history):
        assert "BEGIN CERTIFICATE" not in text
        assert "_authToken" not in text
        assert "index-url" not in text


@pytest.mark.parametrize("variable", ["TOLLGATE_IMAGE", "LITELLM_IMAGE"])
def test_the_secret_files_of_a_build_are_not_in_the_image(once: Callable[..., str], variable: str) -> None:
    script = "for f in /run/secrets/* /etc/pip.conf /root/.npmrc /root/.pip; do [ ! -s $f ] || echo found $f; done"
    assert once(variable, "-c", script, options=("--entrypoint", "sh", "--user", "0:0")) == ""


def test_a_ca_of_this_host_is_not_trusted_by_an_image(once: Callable[..., str]) -> None:
    """The images trust Debian's authorities. The build, and only the build, could use an authority of this host."""
    inside = set(CERTIFICATE.findall(once("TOLLGATE_IMAGE", "cat", "/etc/ssl/certs/ca-certificates.crt")))
    assert len(inside) > 50
    here = [file.read_text() for file in LOCAL_AUTHORITIES.rglob("*.crt") if file.is_file()]
    assert not inside & set(CERTIFICATE.findall("\n".join(here)))


def test_a_replica_reads_http_in_c_on_uvloop(once: Callable[..., str], image: Callable[[str], str]) -> None:
    if not image("LITELLM_IMAGE").startswith("tollgate/litellm:"):
        pytest.skip("the official image has what LiteLLM put into it")
    script = (
        "import uvicorn; from tollgate.services.replica.server import http;"
        "config = uvicorn.Config(None, http=http()); config.load();"
        "print(config.http_protocol_class.__module__, config.get_loop_factory().__module__)"
    )
    code = ("-v", f"{Site.here().root / 'src'}:/code:ro", "-e", "PYTHONPATH=/code", "--entrypoint", "python")
    said = once("LITELLM_IMAGE", "-c", script, options=code)
    assert "httptools" in said and "uvloop" in said


@pytest.mark.parametrize(
    "dockerfile", sorted((Site.here().root / "images").rglob("Dockerfile")), ids=lambda f: f.parent.name
)
def test_no_dockerfile_needs_a_registry_of_its_own(dockerfile: Path) -> None:
    """A `# syntax=` line pulls a frontend, and a fixed FROM pulls an image. Both fail without a registry."""
    lines = dockerfile.read_text().splitlines()
    stages = {line.split()[-1] for line in lines if line.startswith("FROM ") and " AS " in line}
    bases = {line.split()[1] for line in lines if line.startswith("FROM ")}
    assert bases <= stages | {"${BASE_IMAGE}"}
    assert not [line for line in lines if line.startswith("# syntax")]
