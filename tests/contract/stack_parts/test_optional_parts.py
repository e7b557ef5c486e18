"""Services that no request needs, on the real engine: healthy, crashing, never ready, refused. No failure stops others.

Every stand-in is a shell of an image that is here already, under the name of the service whose place it takes.
"""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.images import image
from tests.support.stack import PARTS, project_name
from tollgate.errors import StepError
from tollgate.stack.containers import health, optional
from tollgate.stack.containers.bring_up import bring_up
from tollgate.stack.containers.compose import Compose, needed
from tollgate.stack.containers.optional import NotUp
from tollgate.stack.doctor import running
from tollgate.stack.host.progress import PlainProgress

pytestmark = pytest.mark.docker

PASSWORD = "hunter2hunter2hunter2"
SERVICES = f"""
x-stub: &stub
  image: ${{STUB}}
  entrypoint: [sh, -c]
  command: [sleep 600]
  init: true
  stop_grace_period: 1s
  restart: unless-stopped
x-healthy: &healthy {{test: ["CMD", "true"], interval: 1s}}
x-loading: &loading {{test: ["CMD", "false"], interval: 1s, start_period: 1800s}}

services:
  nginx: {{<<: *stub, healthcheck: *healthy}}
  prometheus: {{<<: *stub, profiles: [prometheus], healthcheck: *healthy}}
  loki:
    <<: *stub
    profiles: [loki]
    command: ["echo 'loki.yaml:3: no such field, password={PASSWORD}'; exit 3"]
    healthcheck: *healthy
    volumes: [loki-data:/loki]
  # It has no health check, and is "running" for a second each time.
  nginx-exporter: {{<<: *stub, profiles: [nginx-exporter], command: [sleep 1; exit 4]}}
  alloy:
    <<: *stub
    profiles: [alloy]
    healthcheck: {{test: ["CMD", "false"], interval: 1s, start_period: 600s}}
  grafana:
    <<: *stub
    profiles: [grafana]
    ports: ["127.0.0.1:${{GRAFANA_PORT}}:3000"]
  node-exporter: {{<<: *stub, profiles: [node-exporter], image: "tollgate/never-built:1"}}
  docker-socket-proxy:
    <<: *stub
    profiles: [docker-socket-proxy]
    healthcheck: *healthy
    networks: [docker-api]
  backend-good: {{<<: *stub, profiles: [backends, backend-good], healthcheck: *healthy}}
  backend-crashing:
    <<: *stub
    profiles: [backends, backend-crashing]
    command: ["echo 'cannot load the model: password={PASSWORD}'; exit 1"]
    healthcheck: *loading
  backend-loading: {{<<: *stub, profiles: [backends, backend-loading], healthcheck: *loading}}
  backend-absent: {{<<: *stub, profiles: [backends, backend-absent], image: "tollgate/never-pulled:1"}}
  backend-no-model:
    <<: *stub
    profiles: [backends, backend-no-model]
    volumes: [{{type: bind, source: /nowhere/models, target: /models, bind: {{create_host_path: false}}}}]

volumes:
  loki-data:
networks:
  docker-api: {{internal: true}}
"""
BACKENDS = ["backend-absent", "backend-crashing", "backend-good", "backend-loading", "backend-no-model"]
WATCHERS = ["alloy", "docker-socket-proxy", "grafana", "loki", "nginx-exporter", "node-exporter", "prometheus"]
EVERYTHING = sorted([*BACKENDS, *WATCHERS])
SOUND = {"backend-good", "docker-socket-proxy", "prometheus"}


@dataclass(frozen=True)
class Project:
    """A Compose project; `profiles` are the optional services that belong to it."""

    folder: Path
    port: int

    def compose(self, *profiles: str) -> Compose:
        (self.folder / "compose.yaml").write_text(SERVICES)
        env = self.folder / "compose.env"
        values = {"STUB": image("TOLLGATE_IMAGE"), "GRAFANA_PORT": self.port, "COMPOSE_PROFILES": ",".join(profiles)}
        values["TOLLGATE_RENDERED"] = self.folder
        env.write_text("".join(f"{name}='{value}'\n" for name, value in values.items()))
        return Compose(project_name(PARTS), (self.folder / "compose.yaml",), env)

    def left(self, kind: str) -> list[str]:
        of_project = f"label=com.docker.compose.project={project_name(PARTS)}"
        listing = ["docker", kind, "ls", "--quiet", "--filter", of_project]
        return subprocess.run(listing, capture_output=True, text=True, timeout=60, check=True).stdout.split()


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        made = Project(tmp_path_factory.mktemp("optional"), taken.getsockname()[1])
        try:
            yield made
        finally:
            made.compose().remove("clean", PlainProgress(), volumes=True)


@pytest.fixture(scope="module")
def first(project: Project) -> tuple[list[str], dict[str, NotUp]]:
    """The output of a first deploy with every service: first the core, then the optional services."""
    compose = project.compose(*EVERYTHING)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(health, "PATIENCE_SECONDS", 3.0)
        assert bring_up("services", compose, needed(compose.services()), PlainProgress()) == ["started nginx"]
        changes, problems = optional.bring_up("optional", compose, PlainProgress(), within=8)
    return changes, {problem.service: problem for problem in problems}


def test_healthy_services_run_and_each_failed_one_is_reported(first: tuple[list[str], dict[str, NotUp]]) -> None:
    changes, problems = first
    assert changes == [f"started {name}" for name in sorted(SOUND)]
    assert problems.keys() == set(EVERYTHING) - SOUND


@pytest.mark.parametrize(
    ("service", "why", "hint"),
    [
        ("loki", "it stops again and again (exit status 3)", "`make logs S=loki`"),
        ("nginx-exporter", "it stops again and again", "`make logs S=nginx-exporter`"),
        ("alloy", "it is still starting", "`make status` shows when it is up"),
        ("grafana", "Docker does not start it", "set GRAFANA_PORT in .env to a free port"),
        ("node-exporter", "Docker does not start it", "run `make images`"),
        ("backend-crashing", "it stops again and again", "`make logs S=backend-crashing`"),
        ("backend-loading", "it is still starting", "`make status` shows when it is up"),
        ("backend-absent", "Docker does not start it", "run `make images`"),
        ("backend-no-model", "/nowhere/models", "correct the cause"),
    ],
)
def test_the_warning_says_why_and_what_to_do(
    first: tuple[list[str], dict[str, NotUp]], service: str, why: str, hint: str
) -> None:
    problem = first[1][service]
    assert why in problem.why
    assert hint in problem.hint


def test_the_last_log_lines_are_shown_with_secrets_masked(first: tuple[list[str], dict[str, NotUp]]) -> None:
    shown = str(first[1]["loki"])
    assert "| loki.yaml:3: no such field, password=***" in shown
    assert PASSWORD not in shown


def test_a_backend_names_its_last_lines_and_the_requests_that_fail(first: tuple[list[str], dict[str, NotUp]]) -> None:
    shown = str(first[1]["backend-crashing"])
    assert "warning: backend-crashing is not up: " in shown
    assert "requests for its model fail, and all others work" in shown
    assert "| cannot load the model: password=***" in shown
    assert "requests work without it" in str(first[1]["loki"]), "the twin: a service that no request needs"


@pytest.mark.usefixtures("first")
def test_doctor_warns_of_a_backend_and_status_does_not_fail(project: Project) -> None:
    compose = project.compose(*EVERYTHING)
    findings = {finding.check: finding for finding, _ in running._containers(compose) if finding.check in BACKENDS}
    assert {name for name, finding in findings.items() if finding.level == "WARN"} == set(BACKENDS) - SOUND
    assert "cannot load the model" in findings["backend-crashing"].message
    assert findings["backend-good"].level == "PASS"
    assert not set(BACKENDS) & set(needed(compose.services())), "what `status` fails without"


@pytest.mark.usefixtures("first")
def test_status_reports_the_same_services_later(project: Project) -> None:
    compose = project.compose(*EVERYTHING)
    now = {row.service: row for row in compose.containers()}
    found = {problem.service: problem for problem in optional.not_up(compose, compose.services(), now)}
    assert found.keys() >= {"loki", "alloy", "grafana", "node-exporter", *BACKENDS} - SOUND
    assert not found.keys() & SOUND
    assert "set GRAFANA_PORT" in found["grafana"].hint, "the engine still knows why"


@pytest.mark.usefixtures("first")
def test_a_second_run_does_not_wait_for_earlier_failures(project: Project) -> None:
    compose, progress = project.compose(*EVERYTHING), PlainProgress()
    changes, problems = optional.bring_up("optional", compose, progress, within=2)
    assert changes == []
    assert {problem.service for problem in problems} >= {"loki", "alloy", "grafana", "node-exporter", *BACKENDS} - SOUND
    slow = ("loki", "alloy", "backend-crashing", "backend-loading")
    waited = [line for line in progress.details if "waiting for" in line and any(name in line for name in slow)]
    assert not waited, "two crash, the others had their time"


@pytest.mark.usefixtures("first")
def test_twin_a_backend_that_is_required_ends_the_deploy(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """As `basic` and `serve-local` ask for it."""
    monkeypatch.setattr(health, "PATIENCE_SECONDS", 3.0)
    with pytest.raises(StepError, match="backend-crashing"):
        bring_up("services", project.compose(*EVERYTHING), ["nginx", "backend-crashing"], PlainProgress())


@pytest.mark.usefixtures("first")
def test_twin_a_required_service_that_fails_ends_the_deploy(project: Project) -> None:
    compose = project.compose(*EVERYTHING)
    with pytest.raises(StepError):
        bring_up("services", compose, ["nginx", "grafana"], PlainProgress())


@pytest.mark.usefixtures("first")
def test_a_service_that_is_left_out_is_removed_and_its_data_stays(project: Project) -> None:
    compose = project.compose("prometheus")
    assert project.left("volume")
    changes, problems = optional.bring_up("optional", compose, PlainProgress(), within=2)
    assert not problems
    gone = ["alloy", "docker-socket-proxy", "grafana", "loki", "nginx-exporter"]
    assert changes == [f"removed {name}" for name in gone]
    backends = {row.service for row in compose.containers() if row.service.startswith("backend-")}
    assert {row.service for row in compose.containers()} == {"nginx", "prometheus"} | backends
    assert "backend-good" in backends, "described, and its image or model is missing now: it runs on"
    assert project.left("volume"), "turned on again, Loki has its logs"


@pytest.mark.usefixtures("first")
def test_a_backend_that_the_file_does_not_name_any_more_is_removed(project: Project) -> None:
    """The twin of the backend that runs on."""
    compose = project.compose("prometheus")
    described = yaml.safe_load(SERVICES)
    described["services"] = {name: it for name, it in described["services"].items() if name != "backend-good"}
    compose.files[0].write_text(yaml.safe_dump(described))
    changes, problems = optional.bring_up("optional", compose, PlainProgress(), within=2)
    assert (changes, problems) == (["removed backend-good"], [])


@pytest.mark.usefixtures("first")
def test_clean_removes_left_out_services_completely(project: Project) -> None:
    compose = project.compose("prometheus")
    compose.run("clean", PlainProgress(), "down", "--volumes")
    assert project.left("network"), "the twin: Compose alone leaves what belongs to a profile that is off"
    assert project.left("volume")
    compose.remove("clean", PlainProgress(), volumes=True)
    assert not project.left("network")
    assert not project.left("volume")
    assert not compose.containers()


def test_clean_removes_volumes_of_a_file_that_is_gone(project: Project) -> None:
    """For example the certificate's volumes after TLS was turned off."""
    compose = project.compose("loki")
    compose.run("up", PlainProgress(), "create", "loki")
    bare = project.folder / "bare.yaml"
    bare.write_text("services: {nginx: {image: '${STUB}'}}\n")
    replace(compose, files=(bare,)).remove("clean", PlainProgress(), volumes=True)
    assert not project.left("volume")
    assert not compose.containers()


@pytest.mark.parametrize("soon_free", [True, False], ids=["soon free", "twin: taken for good"])
def test_a_name_that_the_engine_still_holds_is_waited_for(
    project: Project, monkeypatch: pytest.MonkeyPatch, soon_free: bool
) -> None:
    """As after an `up` that failed while the engine was creating its other containers."""
    compose, run = project.compose("prometheus"), Compose.run
    create = ["docker", "create", "--name", f"{compose.project}-prometheus-1", image("TOLLGATE_IMAGE")]
    holder = subprocess.run(create, capture_output=True, text=True, timeout=60, check=True).stdout.strip()

    def let_go() -> None:
        subprocess.run(["docker", "rm", "--force", holder], capture_output=True, timeout=60, check=False)

    def run_and_let_go(*given: Any, **named: Any) -> str:
        try:
            return run(*given, **named)
        except StepError:
            if soon_free:
                let_go()
            raise

    monkeypatch.setattr(Compose, "run", run_and_let_go)
    try:
        changes, problems = optional.bring_up("optional", compose, PlainProgress(), within=8)
        assert (changes == ["started prometheus"]) is soon_free
        assert ["is already in use" in problem.why for problem in problems] == ([] if soon_free else [True])
    finally:
        let_go()
        compose.remove("clean", PlainProgress(), volumes=True)
