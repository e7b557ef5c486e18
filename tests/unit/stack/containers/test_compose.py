"""Reads what Docker and Compose print, in the forms of several versions. A script on PATH plays `docker`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tollgate.errors import StepError, TollgateError
from tollgate.site import Site
from tollgate.stack.containers.compose import Compose
from tollgate.stack.host.progress import PlainProgress


def line(service: str, state: str, status: str) -> str:
    return f"{service}\tt-{service}-1\ta1b2\t{state}\t2 hours ago\t{status}\n"


UNCHECKED = '[ "$1 ${4:-}" != "inspect a1b2" ] || exit 0'
Docker = Callable[[str], Path]


@pytest.fixture
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Docker:
    """Put a `docker` on PATH that runs a shell script. Returns a function; the file it returns has a line per call.

    Its containers have no health check that could run here.
    """

    def install(script: str) -> Path:
        program = tmp_path / "bin" / "docker"
        program.parent.mkdir(exist_ok=True)
        program.write_text(f'#!/bin/sh\necho "$*" >> {tmp_path}/calls\n{UNCHECKED}\n{script}\n')
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
        # Without a health check: a service that crashes on start is "running" each time.
        ("running", "Up Less than a second", False, False),
        ("running", "Up 2 seconds", False, False),
        ("running", "Up 3 seconds", True, False),
        ("running", "Up 12 seconds", True, False),
        ("running", "Up 2 minutes", True, False),
        ("running", "Up 3 seconds (health: starting)", False, False),
        ("running", "Up 3 seconds (unhealthy)", False, True),
        ("restarting", "Restarting (1) 3 seconds ago", False, True),
        ("exited", "Exited (137) 3 seconds ago", False, True),
        ("dead", "Dead", False, True),
        ("created", "Created", False, False),
        ("paused", "Up 5 minutes (healthy) (Paused)", False, False),
    ],
)
def test_which_containers_are_ready_or_failed(
    docker: Docker, compose: Compose, tmp_path: Path, state: str, status: str, ready: bool, failed: bool
) -> None:
    docker(printing(tmp_path, line("nginx", state, status)))
    [container] = compose.containers()
    assert (container.ready, container.failed) == (ready, failed)


def test_only_containers_of_an_interrupted_up_are_removed(docker: Docker, compose: Compose) -> None:
    """Compose renames a container to <12 hex>_<name>; a service's own name can contain an underscore too."""
    calls = docker(
        'case "$1" in ps) printf "t-nginx-1\\n2c9fa2626c3a_t-litellm-2-1\\nt-my_service-1\\nabc_t-x-1\\n";; esac'
    )
    assert compose.remove_half_recreated() == ["2c9fa2626c3a_t-litellm-2-1"]
    assert calls.read_text().splitlines()[1:] == ["rm --force 2c9fa2626c3a_t-litellm-2-1"]
    assert "label=com.docker.compose.project=t " in calls.read_text(), "only of this project"


def test_twin_without_half_recreated_containers_none_is_removed(docker: Docker, compose: Compose) -> None:
    calls = docker('case "$1" in ps) echo t-nginx-1;; esac')
    assert compose.remove_half_recreated() == []
    assert "rm " not in calls.read_text()


def test_any_running_asks_the_engine(docker: Docker, compose: Compose) -> None:
    """Compose refuses files that use a variable which the last deploy's compose.env lacks."""
    calls = docker('case "$1" in compose) echo "required variable X is missing" >&2; exit 1;; ps) echo a1;; esac')
    assert compose.any_running()
    assert "ps --quiet --filter label=com.docker.compose.project=t\n" in calls.read_text()
    docker("true")
    assert not compose.any_running()


@pytest.mark.parametrize(
    ("answer", "address"),
    [
        ("0.0.0.0:4000->4000/tcp", ("127.0.0.1", 4000)),
        ("[::]:4000->4000/tcp", ("127.0.0.1", 4000)),
        (":::4000->4000/tcp", ("127.0.0.1", 4000)),
        ("127.0.0.1:32769->4001/tcp, 127.0.0.1:32768->4000/tcp, 8081/tcp", ("127.0.0.1", 32768)),
        ("10.0.0.7:4000->4000/tcp", ("10.0.0.7", 4000)),
        ("0.0.0.0:4000->4000/tcp, [::]:4000->4000/tcp", ("127.0.0.1", 4000)),
        ("127.0.0.1:5003-5004->3999-4000/tcp", ("127.0.0.1", 5004)),
        ("127.0.0.1:14000->14000/tcp, 127.0.0.1:40->4000/tcp", ("127.0.0.1", 40)),
    ],
)
def test_the_address_of_a_published_port(
    docker: Docker, compose: Compose, tmp_path: Path, answer: str, address: tuple[str, int]
) -> None:
    docker(printing(tmp_path, answer))
    assert compose.address("nginx", 4000) == address


@pytest.mark.parametrize("answer", ["", "4000/tcp", "127.0.0.1:4000->4001/tcp", "127.0.0.1:4000->4000/udp"])
def test_an_unpublished_port_is_an_error_with_a_hint(
    docker: Docker, compose: Compose, tmp_path: Path, answer: str
) -> None:
    docker(printing(tmp_path, answer))
    with pytest.raises(TollgateError, match="nginx does not publish port 4000") as error:
        compose.address("nginx", 4000)
    assert error.value.hint == "run `make start`"


def test_a_failing_command_raises_composes_last_line(docker: Docker, compose: Compose) -> None:
    docker("echo first >&2; echo 'required variable X is missing' >&2; exit 1")
    with pytest.raises(TollgateError, match="docker compose config: required variable X is missing"):
        compose.services()


def test_before_the_first_deploy_docker_is_not_called(docker: Docker, tmp_path: Path) -> None:
    calls = docker("true")
    with pytest.raises(TollgateError, match="nothing is deployed here yet"):
        Compose.core(Site(tmp_path, tmp_path), "t").containers()
    assert not calls.exists()


def test_a_failing_step_raises_its_last_lines(docker: Docker, compose: Compose) -> None:
    docker("echo pulling; echo 'no space left on device' >&2; exit 17")
    with pytest.raises(StepError, match="services: docker ended with status 17") as error:
        compose.run("services", PlainProgress(), "up", hint="make room")
    assert error.value.log == ("pulling", "no space left on device")
    assert error.value.hint == "make room"


def test_the_project_and_its_files_are_named_in_every_call(docker: Docker, compose: Compose, tmp_path: Path) -> None:
    """The working directory and COMPOSE_* in the shell must not choose them."""
    calls = docker("true")
    compose.run("stop", PlainProgress(), "stop")
    assert calls.read_text() == (f"compose -p t --env-file {tmp_path}/compose.env -f {tmp_path}/compose.yaml stop\n")


@pytest.mark.parametrize(
    "command, read",
    [
        (("stop",), True),
        (("down", "--remove-orphans"), True),
        (("--dry-run", "restart", "litellm-1"), True),
        (("start",), True),
        (("up", "--detach", "--no-deps", "litellm-1"), False),
        (("run", "--rm", "migrate"), False),
        (("config", "--hash", "*"), False),
    ],
)
def test_only_commands_that_stop_or_start_containers_read_the_order(
    tmp_path: Path, command: tuple[str, ...], read: bool
) -> None:
    compose = Compose.core(Site.here(tmp_path), "t")
    assert compose.order is not None
    assert str(compose.order) not in compose.argv(*command), "not before it is rendered"
    compose.order.parent.mkdir(parents=True)
    compose.order.write_text("services: {}\n")
    assert (str(compose.order) in compose.argv(*command)) is read


def test_basic_has_a_project_of_its_own(tmp_path: Path) -> None:
    site = Site(tmp_path, tmp_path)
    assert Compose.basic(site, "tollgate").project != Compose.core(site, "tollgate").project


def test_compose_gets_the_backends_file_once_it_is_rendered(tmp_path: Path) -> None:
    """A deployment without backends has no such file."""
    compose = Compose.core(Site.here(tmp_path), "t")
    file = tmp_path / "var" / "rendered" / "compose" / "backends.yaml"
    assert str(file) not in compose.argv("ps")
    file.parent.mkdir(parents=True)
    file.write_text("services: {}\n")
    assert str(file) in compose.argv("ps")
