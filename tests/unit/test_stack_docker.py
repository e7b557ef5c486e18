"""Short questions to docker: which environment they have, and what is told where they fail. A stand-in is on PATH."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tollgate.errors import TollgateError
from tollgate.stack.compose import Compose
from tollgate.stack.docker import HINT, docker
from tollgate.stack.progress import PlainProgress

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
    """Of a deployment whose variables somebody's shell has too, with other values."""
    (tmp_path / "compose.yaml").touch()
    env = tmp_path / "compose.env"
    env.write_text("REDIS_IMAGE='redis:ours'\nCOMPOSE_PROFILES=''\nTOLLGATE_RENDERED='/srv/${HOME} $kit'\n")
    for name in ("REDIS_IMAGE", "COMPOSE_PROFILES", "TOLLGATE_RENDERED"):
        monkeypatch.setenv(name, "theirs")
    monkeypatch.setenv("DOCKER_HOST", "unix:///theirs")
    return Compose("t", (tmp_path / "compose.yaml",), env)


def test_the_answer_is_standard_output_alone(stand_in: StandIn) -> None:
    stand_in("echo answer; echo a warning >&2")
    assert docker(["docker", "ps"]) == "answer\n"


def test_a_failure_is_told_with_its_last_line(stand_in: StandIn) -> None:
    stand_in("echo first >&2; echo 'permission denied' >&2; exit 1")
    with pytest.raises(TollgateError) as failed:
        docker(["docker", "ps", "--all", "--filter", "label=x"])
    assert (failed.value.message, failed.value.hint) == ("docker ps: permission denied", HINT)


def test_a_failure_without_a_word_is_told_too(stand_in: StandIn) -> None:
    stand_in("exit 3")
    with pytest.raises(TollgateError, match="docker ps: no message"):
        docker(["docker", "ps"])


def test_no_answer_in_time_is_told(stand_in: StandIn) -> None:
    stand_in("exec sleep 60")
    with pytest.raises(TollgateError) as failed:
        docker(["docker", "inspect", "x"], timeout=0.2)
    assert (failed.value.message, failed.value.hint) == ("docker inspect: no answer within 0.2 s", HINT)


def test_no_client_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(TollgateError, match="docker ps: No such file or directory"):
        docker(["docker", "ps"])


def test_a_question_reads_no_standard_input(stand_in: StandIn) -> None:
    """It would take the lines of the script that runs us."""
    stand_in("cat")
    assert docker(["docker", "ps"]) == ""


def test_a_question_has_the_deployments_variables_and_not_those_of_the_shell(
    stand_in: StandIn, compose: Compose
) -> None:
    stand_in(SHOW)
    assert compose.ask("config") == f"{OURS}\n"


def test_a_command_has_them_too(stand_in: StandIn, compose: Compose) -> None:
    stand_in(SHOW)
    assert compose.run("services", PlainProgress(), "up") == OURS


def test_a_log_is_asked_for_with_them_too(stand_in: StandIn, compose: Compose) -> None:
    stand_in(SHOW)
    assert compose.tail("redis") == [OURS]


def test_a_command_that_takes_our_place_has_them_too(compose: Compose, monkeypatch: pytest.MonkeyPatch) -> None:
    became: list[tuple[str, list[str], dict[str, str]]] = []
    monkeypatch.setattr(os, "execvpe", lambda *words: became.append(words))
    compose.become("logs", "--follow")
    [(program, argv, environment)] = became
    assert (program, argv[-2:]) == ("docker", ["logs", "--follow"])
    shown = (environment[name] for name in ("REDIS_IMAGE", "COMPOSE_PROFILES", "TOLLGATE_RENDERED", "DOCKER_HOST"))
    assert "|".join(shown) == OURS


def test_twin_without_them_the_shells_would_win(stand_in: StandIn, compose: Compose) -> None:
    stand_in(SHOW)
    assert docker(compose.argv("config")) == "theirs|theirs|theirs|unix:///theirs\n"


def test_a_log_that_cannot_be_had_does_not_hide_what_it_should_explain(stand_in: StandIn, compose: Compose) -> None:
    stand_in("echo gone >&2; exit 1")
    assert compose.tail("redis") == []


@pytest.mark.parametrize(
    ("script", "owner"),
    [("true", ""), ("echo; echo; echo /a/x.yaml,/a/y.yaml; echo /b/z.yaml", "/a/x.yaml,/a/y.yaml")],
    ids=["no containers", "the first that says"],
)
def test_whose_containers_they_are(stand_in: StandIn, compose: Compose, script: str, owner: str) -> None:
    stand_in(f'case "$*" in *--all*label=com.docker.compose.project=t*) {script};; *) exit 1;; esac')
    assert compose.owner() == owner
