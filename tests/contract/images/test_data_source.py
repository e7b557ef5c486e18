"""The source of Postgres's and Redis's data, from the real engine's volumes and containers, running or not."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from testcontainers.core.labels import LABEL_SESSION_ID, SESSION_ID

from tests.contract.images.conftest import docker
from tests.support.images import image
from tests.support.site import new_home
from tollgate.errors import InputError
from tollgate.site import Site
from tollgate.stack import configuration
from tollgate.stack import deployment as deployments
from tollgate.stack.containers.compose import PROJECT_LABEL, Compose
from tollgate.stack.images import data_source

pytestmark = pytest.mark.docker


@dataclass
class Deployment:
    """Volumes and stopped containers, named and labelled as Compose does it."""

    site: Site
    project: str
    made: list[tuple[str, ...]] = field(default_factory=list)

    def database(self, service: str, reference: str, *options: str) -> None:
        volume, name = f"{self.project}_{service}-data", f"{self.project}-{service}-1"
        self.made += [("volume", "rm", "-f", volume), ("rm", "-f", name)]
        docker("volume", "create", "--label", f"{LABEL_SESSION_ID}={SESSION_ID}", volume)
        labels = {
            PROJECT_LABEL: self.project,
            "com.docker.compose.service": service,
            LABEL_SESSION_ID: SESSION_ID,
        }
        words = [word for name, value in labels.items() for word in ("--label", f"{name}={value}")]
        docker("create", "--name", name, *words, *options, reference)

    def check(self) -> list[str]:
        settings = configuration.settings(self.site)
        return data_source.check(deployments.Deployment(self.site, settings, Compose.core(self.site, self.project)))


@pytest.fixture
def deployment(tmp_path: Path) -> Iterator[Deployment]:
    project = f"tollgate-test-{secrets.token_hex(4)}"
    made = Deployment(new_home(tmp_path / "home", project=project), project)
    yield made
    for words in reversed(made.made):
        docker(*words)


def test_a_local_deployment_is_recorded_and_official_images_are_refused(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    deployment.database("postgres", image("POSTGRES_IMAGE"))
    deployment.database("redis", image("REDIS_IMAGE"))
    assert deployment.check() == ["POSTGRES_SOURCE=local", "REDIS_SOURCE=local"]
    assert deployment.check() == []
    monkeypatch.setenv("IMAGE_SOURCE", "registry")
    with pytest.raises(InputError, match="expected 'local', because Postgres and Redis hold data of that source"):
        deployment.check()


def test_an_official_deployment_is_recognized_by_its_containers(deployment: Deployment) -> None:
    """Also a Postgres with a name of ours: an earlier kit gave it to its build on the official image."""
    official = "localhost/library/redis:8.10.2"
    docker("tag", image("REDIS_IMAGE"), official)
    deployment.made.append(("image", "rm", official))
    deployment.database("postgres", image("POSTGRES_IMAGE"), "--env", "PG_MAJOR=17")
    deployment.database("redis", official)
    with pytest.raises(InputError, match="expected 'registry', because Postgres and Redis hold data of that source"):
        deployment.check()


def test_without_data_the_first_deploy_chooses_the_source(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IMAGE_SOURCE", "registry")
    assert deployment.check() == ["POSTGRES_SOURCE=registry", "REDIS_SOURCE=registry"]
