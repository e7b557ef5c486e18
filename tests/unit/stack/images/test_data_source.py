"""Postgres and Redis keep images of one source, which .env records. A deploy derives a missing record.

A stand-in for `docker` answers from files: volumes, containers and images as `docker inspect` prints them.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.site import new_home
from tollgate.errors import InputError
from tollgate.site import Site
from tollgate.stack import configuration
from tollgate.stack.containers.compose import Compose
from tollgate.stack.deployment import Deployment
from tollgate.stack.images import data_source

LOCAL = {"postgres": "tollgate/postgres:17-1ddf949fa754", "redis": "tollgate/redis:8.0-b5108f2c8be1"}
OFFICIAL = {"postgres": "tollgate/postgres-official:17-aaaaaaaaaaaa", "redis": "docker.io/library/redis:8.10.2"}
IMAGES = {"local": LOCAL, "registry": OFFICIAL}
DOCKER = """#!/bin/sh
case "$1 $2" in
"volume inspect") test -e "HERE/volumes/$3" ;;
"image inspect") cat "HERE/images/$(echo "$5" | tr /: __)" ;;
"ps --all") ls "HERE/containers" ;;
inspect*) shift 3; for id; do cat "HERE/containers/$id"; done ;;
*) echo "unexpected: $*" >&2; exit 1 ;;
esac
"""


@dataclass
class Machine:
    folder: Path
    site: Site

    def data(self, *services: str) -> None:
        for service in services:
            (self.folder / "volumes" / f"tollgate-test_{service}-data").touch()

    def container(self, service: str, image: str, *environment: str) -> None:
        line = f"{service}\t{image}\t{json.dumps(environment)}\n"
        (self.folder / "containers" / f"id-of-{service}").write_text(line)

    def runs(self, source: str) -> None:
        """A deployment of `source`: its data and its containers."""
        self.data("postgres", "redis")
        for service, image in IMAGES[source].items():
            self.container(service, image, "TZ=UTC", *(["PG_MAJOR=17"] if source == "registry" else []))
        self.container("nginx", "tollgate/nginx:1.26-d23f18c5480b")

    def was_taken_down(self) -> None:
        for file in (self.folder / "containers").iterdir():
            file.unlink()

    def rendered(self, images: dict[str, str], environment: dict[str, list[str]] | None = None) -> None:
        """The compose.env of the last deploy, and the `environment` of images that still exist."""
        self.site.rendered_dir.mkdir(parents=True)
        lines = [f"{service.upper()}_IMAGE='{image}'\n" for service, image in images.items()]
        (self.site.rendered_dir / "compose.env").write_text("".join(lines))
        for image, variables in (environment or {}).items():
            name = image.replace("/", "_").replace(":", "_")
            (self.folder / "images" / name).write_text(json.dumps(variables))

    def env(self, *lines: str) -> None:
        kept = [line for line in self.site.env_file.read_text().splitlines() if "_SOURCE=" not in line]
        self.site.env_file.write_text("\n".join([*kept, *lines]) + "\n")

    def check(self) -> list[str]:
        compose = Compose.core(self.site, "tollgate-test")
        return data_source.check(Deployment(self.site, configuration.settings(self.site), compose))

    def refused(self) -> str:
        before = self.site.env_file.read_text()
        with pytest.raises(InputError) as caught:
            self.check()
        assert self.site.env_file.read_text() == before
        return str(caught.value).replace(f"{self.site.home}/", "")

    def recorded(self) -> tuple[str, str]:
        settings = configuration.settings(self.site)
        return settings.postgres_source, settings.redis_source


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    for name in ("bin", "volumes", "containers", "images"):
        (tmp_path / name).mkdir()
    docker = tmp_path / "bin" / "docker"
    docker.write_text(DOCKER.replace("HERE", str(tmp_path)))
    docker.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    return Machine(tmp_path, new_home(tmp_path / "home"))


@pytest.mark.parametrize("source", ["local", "registry"])
def test_the_first_deploy_records_its_source(machine: Machine, source: str) -> None:
    machine.env(f"IMAGE_SOURCE={source}", "POSTGRES_SOURCE=", "REDIS_SOURCE=")
    assert machine.check() == [f"POSTGRES_SOURCE={source}", f"REDIS_SOURCE={source}"]
    assert machine.recorded() == (source, source)
    machine.runs(source)
    assert machine.check() == []


@pytest.mark.parametrize(("source", "other"), [("local", "registry"), ("registry", "local")])
def test_another_source_is_refused_with_the_line_and_a_hint(machine: Machine, source: str, other: str) -> None:
    machine.runs(source)
    machine.env(f"POSTGRES_SOURCE={source}", f"REDIS_SOURCE={source}", f"IMAGE_SOURCE={other}")
    line = len(machine.site.env_file.read_text().splitlines())
    message = machine.refused()
    assert message.startswith(
        f"error: .env:{line}: IMAGE_SOURCE: expected '{source}', because Postgres and Redis hold data of that source, "
        f"found '{other}'"
    )
    assert f"set IMAGE_SOURCE={source}; to move: `make backup`" in message
    assert "make restore" in message
    machine.was_taken_down()  # after `make down` only the record is left
    assert machine.refused() == message


@pytest.mark.parametrize("source", ["local", "registry"])
@pytest.mark.parametrize("lines", [[], ["POSTGRES_SOURCE=", "REDIS_SOURCE="]])
def test_a_missing_record_is_derived_from_the_containers(machine: Machine, source: str, lines: list[str]) -> None:
    machine.runs(source)
    machine.env(f"IMAGE_SOURCE={source}", *lines)
    assert machine.check() == [f"POSTGRES_SOURCE={source}", f"REDIS_SOURCE={source}"]
    other = "local" if source == "registry" else "registry"
    machine.env(f"IMAGE_SOURCE={other}", *lines)
    assert "Postgres and Redis hold data of that source" in machine.refused()


def test_without_containers_it_is_derived_from_the_last_deploy(machine: Machine) -> None:
    machine.data("postgres", "redis")
    machine.rendered(OFFICIAL)
    assert "expected 'registry', because Postgres and Redis hold data" in machine.refused()
    machine.env("IMAGE_SOURCE=registry")
    assert machine.check() == ["POSTGRES_SOURCE=registry", "REDIS_SOURCE=registry"]


def test_an_official_postgres_with_a_local_name_is_recognized(
    machine: Machine,
) -> None:
    machine.data("postgres", "redis")
    official = {LOCAL["postgres"]: ["PG_MAJOR=17", "LANG=en_US.utf8"], LOCAL["redis"]: ["TZ=UTC"]}
    machine.rendered(LOCAL, official)
    message = machine.refused()
    assert "expected 'registry', because Postgres holds data of that source, found 'local'" in message
    machine.container("postgres", LOCAL["postgres"], "PG_MAJOR=17")
    assert machine.refused() == message


def test_twin_the_same_name_without_pg_major_is_a_local_build(machine: Machine) -> None:
    machine.data("postgres", "redis")
    machine.rendered(LOCAL, {image: ["LANG=C.UTF-8"] for image in LOCAL.values()})
    assert machine.check() == ["POSTGRES_SOURCE=local", "REDIS_SOURCE=local"]


def test_data_of_an_unknown_source_get_the_current_source(machine: Machine) -> None:
    machine.data("postgres", "redis")
    assert machine.check() == ["POSTGRES_SOURCE=local", "REDIS_SOURCE=local"]


def test_a_record_without_data_is_replaced(machine: Machine) -> None:
    """After `make clean`, a deployment may begin with another source."""
    machine.env("IMAGE_SOURCE=registry", "POSTGRES_SOURCE=local", "REDIS_SOURCE=local")
    assert machine.check() == ["POSTGRES_SOURCE=registry", "REDIS_SOURCE=registry"]


def test_each_database_is_checked_separately(machine: Machine) -> None:
    machine.data("postgres")
    machine.env("IMAGE_SOURCE=registry", "POSTGRES_SOURCE=local", "REDIS_SOURCE=local")
    assert "expected 'local', because Postgres holds data" in machine.refused()


def test_a_record_that_contradicts_the_containers_is_refused(machine: Machine) -> None:
    machine.runs("local")
    machine.env("POSTGRES_SOURCE=registry", "IMAGE_SOURCE=registry", "REDIS_SOURCE=registry")
    message = machine.refused()
    assert "POSTGRES_SOURCE: expected 'local', which wrote the data of Postgres, found 'registry'" in message
    assert "REDIS_SOURCE: expected 'local', which wrote the data of Redis, found 'registry'" in message
    assert "IMAGE_SOURCE: expected 'local', because Postgres and Redis hold data" in message
    machine.env("POSTGRES_SOURCE=registry")
    assert "hint:  set POSTGRES_SOURCE=local" in machine.refused()


def test_a_record_in_the_process_environment_is_ignored(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    machine.data("postgres", "redis")
    machine.env("POSTGRES_SOURCE=local", "REDIS_SOURCE=local")
    monkeypatch.setenv("POSTGRES_SOURCE", "registry")
    monkeypatch.setenv("IMAGE_SOURCE", "registry")
    assert "expected 'local', because Postgres and Redis hold data" in machine.refused()
