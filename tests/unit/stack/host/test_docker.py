"""Short calls of docker: their environment and their errors. A script on PATH plays `docker`."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tollgate.errors import TollgateError
from tollgate.stack.containers.compose import Compose
from tollgate.stack.host.docker import HINT, docker
from tollgate.stack.host.progress import PlainProgress

StandIn = Callable[[str], None]
SHOW = 'echo "$REDIS_IMAGE|$COMPOSE_PROFILES|$TOLLGATE_RENDERED|$DOCKER_HOST"'
OURS = "redis:ours||/srv/${HOME} $kit|unix:///theirs"


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StandIn:
    """Put a `docker` on PATH that runs a shell script."""

    def install(script: str) -> None:
        program = tmp_path / "bin" / "docker"
        program.parent.mkdir(exist_ok=True)
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")

    return install


@pytest.fixture
def compose(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Compose:
    """A deployment whose variables the shell also sets, with other values."""
    (tmp_path / "compose.yaml").touch()
    env = tmp_path / "compose.env"
    env.write_text("REDIS_IMAGE='redis:ours'\nCOMPOSE_PROFILES=''\nTOLLGATE_RENDERED='/srv/${HOME} $kit'\n")
    for name in ("REDIS_IMAGE", "COMPOSE_PROFILES", "TOLLGATE_RENDERED"):
        monkeypatch.setenv(name, "theirs")
    monkeypatch.setenv("DOCKER_HOST", "unix:///theirs")
    return Compose("t", (tmp_path / "compose.yaml",), env)


def test_the_answer_is_only_standard_output(stand_in: StandIn) -> None:
    stand_in("echo answer; echo a warning >&2")
    assert docker(["docker", "ps"]) == "answer\n"


def test_a_failure_is_an_error_with_the_last_line(stand_in: StandIn) -> None:
    stand_in("echo first >&2; echo 'permission denied' >&2; exit 1")
    with pytest.raises(TollgateError) as failed:
        docker(["docker", "ps", "--all", "--filter", "label=x"])
    assert (failed.value.message, failed.value.hint) == ("docker ps: permission denied", HINT)


def test_a_failure_without_output_is_an_error_too(stand_in: StandIn) -> None:
    stand_in("exit 3")
    with pytest.raises(TollgateError, match="docker ps: no message"):
        docker(["docker", "ps"])


def test_a_timeout_is_an_error(stand_in: StandIn) -> None:
    stand_in("exec sleep 60")
    with pytest.raises(TollgateError) as failed:
        docker(["docker", "inspect", "x"], timeout=0.2)
    assert (failed.value.message, failed.value.hint) == ("docker inspect: no answer within 0.2 s", HINT)


def test_a_missing_client_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(TollgateError, match="docker ps: No such file or directory"):
        docker(["docker", "ps"])


def test_a_call_reads_no_standard_input(stand_in: StandIn) -> None:
    """Otherwise it would consume the lines of a shell script that runs us."""
    stand_in("cat")
    assert docker(["docker", "ps"]) == ""


def test_a_query_has_the_deployments_variables_not_the_shells(stand_in: StandIn, compose: Compose) -> None:
    stand_in(SHOW)
    assert compose.ask("config") == f"{OURS}\n"


def test_a_command_has_the_deployments_variables_too(stand_in: StandIn, compose: Compose) -> None:
    stand_in(SHOW)
    assert compose.run("services", PlainProgress(), "up") == OURS


def test_reading_a_log_has_the_deployments_variables_too(stand_in: StandIn, compose: Compose) -> None:
    stand_in(SHOW)
    assert compose.tail("redis") == [OURS]


def test_a_command_that_replaces_us_has_the_deployments_variables(
    compose: Compose, monkeypatch: pytest.MonkeyPatch
) -> None:
    became: list[tuple[str, list[str], dict[str, str]]] = []
    monkeypatch.setattr(os, "execvpe", lambda *words: became.append(words))
    compose.become("logs", "--follow")
    [(program, argv, environment)] = became
    assert (program, argv[-2:]) == ("docker", ["logs", "--follow"])
    shown = (environment[name] for name in ("REDIS_IMAGE", "COMPOSE_PROFILES", "TOLLGATE_RENDERED", "DOCKER_HOST"))
    assert "|".join(shown) == OURS


def test_twin_without_them_the_shells_variables_win(stand_in: StandIn, compose: Compose) -> None:
    stand_in(SHOW)
    assert docker(compose.argv("config")) == "theirs|theirs|theirs|unix:///theirs\n"


def test_an_unreadable_log_is_empty_and_not_an_error(stand_in: StandIn, compose: Compose) -> None:
    stand_in("echo gone >&2; exit 1")
    assert compose.tail("redis") == []


@pytest.mark.parametrize(
    ("script", "owner"),
    [("true", ""), ("echo; echo; echo /a/x.yaml,/a/y.yaml; echo /b/z.yaml", "/a/x.yaml,/a/y.yaml")],
    ids=["no containers", "the first container with a label"],
)
def test_the_owner_is_the_compose_files_of_the_containers(
    stand_in: StandIn, compose: Compose, script: str, owner: str
) -> None:
    stand_in(f'case "$*" in *--all*label=com.docker.compose.project=t*) {script};; *) exit 1;; esac')
    assert compose.owner() == owner
