"""IMAGE_SOURCE=registry with a registry on this machine: pulled and built by the kit's own code, unchanged.

Official images are not available here. The tests pull imitations of their layouts (tests/images/official-*). So they
test our work on top of an official image, not the official image itself.
"""

from __future__ import annotations

import json
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from testcontainers.core.labels import LABEL_SESSION_ID, SESSION_ID

from tests.contract.images.conftest import Container, docker
from tests.support import plain
from tests.support.eventually import eventually
from tests.support.images import image, own_image
from tests.support.ports import free_ports
from tollgate.config.env.settings import parse
from tollgate.errors import StepError
from tollgate.site import Site
from tollgate.stack.host.progress import PlainProgress
from tollgate.stack.images.resolve import UNTESTED, Images

pytestmark = pytest.mark.docker

ROOT = Site.here().root
LITELLM, POSTGRES = "LITELLM_IMAGE", "POSTGRES_IMAGE"
PASSWORD = "correct horse battery"
COMPOSE = yaml.safe_load((ROOT / "compose" / "compose.yaml").read_text())
INITDB_ARGS = COMPOSE["services"]["postgres"]["environment"]["POSTGRES_INITDB_ARGS"]


@dataclass
class Registry:
    """`host` is its address and port, as in an image's name."""

    host: str
    kit: Path

    def serve(self, variable: str, local: str, name: str) -> None:
        """Push the image `local` as `name`, pin it in the kit's versions.env, and forget it here."""
        self.pin(variable, name)
        docker("tag", local, f"{self.host}/{name}")
        docker("push", f"{self.host}/{name}")
        docker("image", "rm", f"{self.host}/{name}")

    def pin(self, variable: str, name: str) -> None:
        file = self.kit / "images" / "versions.env"
        lines = [line for line in file.read_text().splitlines() if not line.startswith(f"{variable}=")]
        file.write_text("\n".join([*lines, f"{variable}={self.host}/{name}"]) + "\n")

    def resolve(self, *variables: str) -> tuple[dict[str, str], dict[str, str], list[str]]:
        """Run the kit's code. Returns images, reasons and progress lines."""
        progress = PlainProgress()
        site = Site(self.kit, self.kit / "home")
        found = Images(parse("IMAGE_SOURCE=registry\n", site.env_file), site, progress).provide(variables)
        return dict(found.images), dict(found.unavailable), progress.said


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    kit = tmp_path_factory.mktemp("kit")
    shutil.copytree(ROOT / "images", kit / "images", ignore=shutil.ignore_patterns("node_modules"))
    (kit / "src" / "tollgate").mkdir(parents=True)
    [port] = free_ports(1)
    name = f"tollgate-test-{secrets.token_hex(4)}"
    label = f"{LABEL_SESSION_ID}={SESSION_ID}"
    options = ("--label", label, "--tmpfs", "/var/lib/registry", "-p", f"127.0.0.1:{port}:5000")
    docker("run", "-d", "--name", name, *options, own_image("registry"))
    made = Registry(f"127.0.0.1:{port}", kit)
    try:
        # Docker's proxy accepts connections before the registry listens, and resets them.
        eventually(lambda: plain.get(f"http://{made.host}/v2/").is_success, within=60)
        made.serve(POSTGRES, own_image("official-postgres", image(POSTGRES)), "library/postgres:17.11")
        made.serve(
            LITELLM, own_image("official-litellm", image("TOLLGATE_IMAGE")), "berriai/litellm-non_root:v1.108.10"
        )
        yield made
    finally:
        docker("rm", "-f", "-v", name)
        here = docker("image", "ls", "--format", "{{.Repository}}:{{.Tag}}").split()
        for pulled in (tag for tag in here if tag.startswith(f"{made.host}/")):
            docker("image", "rm", pulled)


@pytest.fixture(scope="module")
def official(registry: Registry) -> Iterator[dict[str, str]]:
    """The images that the kit pulls from the registry, or builds on its images."""
    images, unavailable, said = registry.resolve(POSTGRES, LITELLM)
    assert not unavailable
    assert UNTESTED in said
    assert {line.rpartition(f" {registry.host}/")[2] for line in said if line.startswith("pulled ")} == {
        "library/postgres:17.11",
        "berriai/litellm-non_root:v1.108.10",
    }
    assert images[POSTGRES].startswith("tollgate/postgres-official:17-")
    assert images[LITELLM].startswith("tollgate/litellm-official:1.108.10-")
    yield images
    for built in images.values():
        docker("image", "rm", "-f", built)


def test_existing_images_are_used_again_without_the_registry(registry: Registry, official: dict[str, str]) -> None:
    assert registry.resolve(POSTGRES, LITELLM) == (official, {}, [UNTESTED])


def test_a_missing_tag_leaves_out_a_watcher_and_stops_for_others(registry: Registry, official: dict[str, str]) -> None:
    registry.pin("LOKI_IMAGE", "grafana/loki:3.7.8")
    images, unavailable, _ = registry.resolve("LOKI_IMAGE", POSTGRES)
    assert images == {POSTGRES: official[POSTGRES]}
    assert "manifest unknown" in unavailable["LOKI_IMAGE"]
    registry.pin("REDIS_IMAGE", "library/redis:8.10.2")
    with pytest.raises(StepError, match=r"pull image redis: manifest for .*/library/redis:8\.10\.2 not found"):
        registry.resolve("REDIS_IMAGE", POSTGRES)


def layout(reference: str) -> dict[str, object]:
    """Run a LiteLLM image as Compose starts it, without the image's entrypoint, and list what a replica finds in it."""
    options = ("--rm", "--read-only", "--network", "none", "--user", "65534:65534", "--entrypoint", "python")
    answer = docker("run", *options, reference, "-m", "litellm.layout")
    return dict(json.loads(answer))


def test_litellm_has_bytecode_and_an_empty_working_directory(official: dict[str, str]) -> None:
    assert layout(official[LITELLM]) == {
        "compiled": {"litellm": True, "litellm.layout": True, "prisma": True, "older": True},
        "enterprise": False,
        "python": "/app/.venv",
    }
    config = json.loads(docker("image", "inspect", official[LITELLM]))[0]["Config"]
    assert config["User"] == "65534:65534"


def test_twin_the_pulled_image_has_neither(registry: Registry, official: dict[str, str]) -> None:
    found = layout(f"{registry.host}/berriai/litellm-non_root:v1.108.10")
    assert found["enterprise"] is True
    assert not any(dict(found["compiled"]).values())  # type: ignore[call-overload]


Serve = Callable[..., AbstractContextManager[Container]]


@pytest.fixture
def serve(volume: str, tmp_path: Path) -> Serve:
    """Postgres from an image, on one volume for the whole test."""
    tmp_path.chmod(0o755)
    password = tmp_path / "postgres_password"
    password.write_text(PASSWORD)
    password.chmod(0o444)

    @contextmanager
    def start(reference: str, arguments: str = INITDB_ARGS) -> Iterator[Container]:
        name = f"tollgate-test-{secrets.token_hex(4)}"
        options = [
            *("--label", f"{LABEL_SESSION_ID}={SESSION_ID}", "--user", "999:999", "--read-only", "--cap-drop", "ALL"),
            *("-v", f"{volume}:/var/lib/postgresql/data", "-v", f"{password}:/run/secrets/postgres_password:ro"),
            *("-e", "POSTGRES_USER=litellm", "-e", "POSTGRES_DB=litellm", "-e", f"POSTGRES_INITDB_ARGS={arguments}"),
            *("-e", "POSTGRES_PASSWORD_FILE=/run/secrets/postgres_password"),
            *("--tmpfs", "/tmp:mode=1777", "--tmpfs", "/var/run/postgresql:uid=999,gid=999"),  # noqa: S108
        ]
        docker("run", "-d", "--name", name, *options, reference, "postgres", "-c", "listen_addresses=*")
        try:
            yield Container(name)
            docker("stop", "-t", "60", name)
        finally:
            docker("rm", "-f", "-v", name)

    return start


def sql(postgres: Container, text: str) -> str:
    """Over TCP: during a first start, the temporary server does not listen there."""
    script = 'psql -h "$(hostname -i)" -U litellm -d litellm -Atc "$1"'
    return docker("exec", "-e", f"PGPASSWORD={PASSWORD}", postgres.name, "sh", "-c", script, "sh", text)


def ready(postgres: Container) -> None:
    try:
        eventually(lambda: sql(postgres, "select 1"), within=120)
    except AssertionError as error:
        raise AssertionError(f"{error}\n{postgres.logs()}") from None


def test_local_and_official_images_read_the_same_data_in_our_locale(serve: Serve, official: dict[str, str]) -> None:
    with serve(official[POSTGRES]) as postgres:
        ready(postgres)
        assert sql(postgres, "select datcollate from pg_database where datname = 'litellm'") == "C.UTF-8"
        sql(postgres, "create table kept as select 'ledger'::text as what")
        assert postgres.run("pgbackrest", "version").startswith("pgBackRest")
    for reference in (image(POSTGRES), official[POSTGRES]):
        with serve(reference) as postgres:
            ready(postgres)
            assert sql(postgres, "select what from kept") == "ledger"


def test_twin_in_the_images_own_locale_a_local_build_refuses_the_data(serve: Serve, official: dict[str, str]) -> None:
    with serve(official[POSTGRES], INITDB_ARGS.replace("--locale=C.UTF-8", "")) as postgres:
        ready(postgres)
    with serve(image(POSTGRES)) as postgres:
        eventually(lambda: "invalid value for parameter" in postgres.logs(), within=60)
