"""What Docker Compose prints, in the forms of its versions, read with a stand-in on PATH."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tollgate.errors import StepError, TollgateError
from tollgate.site import Site
from tollgate.stack.compose import Compose
from tollgate.stack.progress import PlainProgress


def line(service: str, state: str, status: str) -> str:
    return f"{service}\tt-{service}-1\ta1b2\t{state}\t2 hours ago\t{status}\n"


Docker = Callable[[str], Path]


@pytest.fixture
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Docker:
    """Put a `docker` on PATH that runs a shell script; every call is a line in the file this returns."""

    def install(script: str) -> Path:
        program = tmp_path / "bin" / "docker"
        program.parent.mkdir(exist_ok=True)
        program.write_text(f'#!/bin/sh\necho "$*" >> {tmp_path}/calls\n{script}\n')
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
        return tmp_path / "calls"

    return install


@pytest.fixture
def compose(tmp_path: Path) -> Compose:
    for name in ("compose.yaml", "compose.env"):
        (tmp_path / name).touch()
    return Compose("t", (tmp_path / "compose.yaml",), tmp_path / "compose.env")


def printing(tmp_path: Path, text: str) -> str:
    (tmp_path / "answer").write_text(text)
    return f"cat {tmp_path}/answer"


def test_containers_are_read_from_the_engines_list(docker: Docker, compose: Compose, tmp_path: Path) -> None:
    answer = line("nginx", "running", "Up 2 hours (healthy)") + line("migrate", "exited", "Exited (3) 4 seconds ago")
    calls = docker(printing(tmp_path, answer))
    migrate, nginx = compose.containers()
    assert (nginx.service, nginx.name, nginx.ready, nginx.failed) == ("nginx", "t-nginx-1", True, False)
    assert (migrate.service, migrate.ready, migrate.failed, migrate.exit_code) == ("migrate", False, True, 3)
    assert "--filter label=com.docker.compose.project=t " in calls.read_text(), "only of this project"


@pytest.mark.parametrize("nothing", ["", "\n"])
def test_no_containers(docker: Docker, compose: Compose, tmp_path: Path, nothing: str) -> None:
    docker(printing(tmp_path, nothing))
    assert compose.containers() == []
    assert compose.running() == {}


@pytest.mark.parametrize(
    ("state", "status", "ready", "failed"),
    [
        ("running", "Up 3 seconds (healthy)", True, False),
        ("running", "Up About a minute", True, False),
        ("running", "Up 3 seconds (health: starting)", False, False),
        ("running", "Up 3 seconds (unhealthy)", False, True),
        ("restarting", "Restarting (1) 3 seconds ago", False, True),
        ("exited", "Exited (137) 3 seconds ago", False, True),
        ("dead", "Dead", False, True),
        ("created", "Created", False, False),
        ("paused", "Up 5 minutes (healthy) (Paused)", False, False),
    ],
)
def test_what_counts_as_ready_and_as_failed(
    docker: Docker, compose: Compose, tmp_path: Path, state: str, status: str, ready: bool, failed: bool
) -> None:
    docker(printing(tmp_path, line("nginx", state, status)))
    [container] = compose.containers()
    assert (container.ready, container.failed) == (ready, failed)


def test_what_an_interrupted_up_left_behind_is_removed_and_nothing_else(docker: Docker, compose: Compose) -> None:
    """Compose renames a container to <12 hex>_<name>; a service may well have an underscore in its name."""
    calls = docker(
        'case "$1" in ps) printf "t-nginx-1\\n2c9fa2626c3a_t-litellm-2-1\\nt-my_service-1\\nabc_t-x-1\\n";; esac'
    )
    assert compose.remove_half_recreated() == ["2c9fa2626c3a_t-litellm-2-1"]
    assert calls.read_text().splitlines()[1:] == ["rm --force 2c9fa2626c3a_t-litellm-2-1"]
    assert "label=com.docker.compose.project=t " in calls.read_text(), "only of this project"


def test_with_nothing_left_behind_nothing_is_removed(docker: Docker, compose: Compose) -> None:
    calls = docker('case "$1" in ps) echo t-nginx-1;; esac')
    assert compose.remove_half_recreated() == []
    assert "rm " not in calls.read_text()


def test_whether_anything_runs_is_asked_of_the_engine(docker: Docker, compose: Compose) -> None:
    """Compose would refuse files that use a variable which the last deploy's compose.env lacks."""
    calls = docker('case "$1" in compose) echo "required variable X is missing" >&2; exit 1;; ps) echo a1;; esac')
    assert compose.any_running()
    assert "ps --quiet --filter label=com.docker.compose.project=t\n" in calls.read_text()
    docker("true")
    assert not compose.any_running()


@pytest.mark.parametrize(
    ("answer", "address"),
    [
        ("0.0.0.0:4000", ("127.0.0.1", 4000)),
        ("[::]:4000", ("127.0.0.1", 4000)),
        ("127.0.0.1:32768", ("127.0.0.1", 32768)),
        ("10.0.0.7:4000", ("10.0.0.7", 4000)),
        ("0.0.0.0:4000\n[::]:4000", ("127.0.0.1", 4000)),
    ],
)
def test_where_a_port_is_published(
    docker: Docker, compose: Compose, tmp_path: Path, answer: str, address: tuple[str, int]
) -> None:
    docker(printing(tmp_path, answer))
    assert compose.address("nginx", 4000) == address


def test_a_port_that_is_not_published_says_what_to_do(docker: Docker, compose: Compose) -> None:
    docker("true")
    with pytest.raises(TollgateError, match="nginx does not publish port 4000") as error:
        compose.address("nginx", 4000)
    assert error.value.hint == "run `make start`"


def test_a_failing_question_gives_composes_last_line(docker: Docker, compose: Compose) -> None:
    docker("echo first >&2; echo 'required variable X is missing' >&2; exit 1")
    with pytest.raises(TollgateError, match="docker compose config: required variable X is missing"):
        compose.services()


def test_before_a_first_deploy_nothing_is_asked(docker: Docker, tmp_path: Path) -> None:
    calls = docker("true")
    with pytest.raises(TollgateError, match="nothing is deployed here yet"):
        Compose.core(Site(tmp_path, tmp_path), "t").containers()
    assert not calls.exists()


def test_a_failing_command_is_a_step_with_its_last_lines(docker: Docker, compose: Compose) -> None:
    docker("echo pulling; echo 'no space left on device' >&2; exit 17")
    with pytest.raises(StepError, match="services: docker ended with status 17") as error:
        compose.run("services", PlainProgress(), "up", hint="make room")
    assert error.value.log == ("pulling", "no space left on device")
    assert error.value.hint == "make room"


def test_the_project_and_its_files_are_named_in_every_call(docker: Docker, compose: Compose, tmp_path: Path) -> None:
    """Never left to the working directory or to COMPOSE_* in somebody's shell."""
    calls = docker("true")
    compose.run("stop", PlainProgress(), "stop")
    assert calls.read_text() == (f"compose -p t --env-file {tmp_path}/compose.env -f {tmp_path}/compose.yaml stop\n")


def test_basic_has_a_project_of_its_own(tmp_path: Path) -> None:
    site = Site(tmp_path, tmp_path)
    assert Compose.basic(site, "tollgate").project != Compose.core(site, "tollgate").project


def test_the_backends_file_counts_once_it_is_rendered(tmp_path: Path) -> None:
    """Before, Compose is not told of it; a deployment without backends never has one."""
    compose = Compose.core(Site.here(tmp_path), "t")
    file = tmp_path / "var" / "rendered" / "compose" / "backends.yaml"
    assert str(file) not in compose.argv("ps")
    file.parent.mkdir(parents=True)
    file.write_text("services: {}\n")
    assert str(file) in compose.argv("ps")
