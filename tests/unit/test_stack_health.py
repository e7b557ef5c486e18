"""Waiting for containers, with a Compose that is a script and a clock that only moves when asked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tollgate.errors import StepError
from tollgate.stack import health
from tollgate.stack.compose import Compose, Container
from tollgate.stack.health import PATIENCE_SECONDS, wait_ready
from tollgate.stack.progress import PlainProgress

KEY = "sk-0123456789abcdefghij0123"


def seen(service: str, state: str = "running", health: str = "healthy", exit_code: int = 0) -> Container:
    return Container(service, f"t-{service}-1", "abc", state, health, exit_code, "a moment")


STARTING, READY = seen("litellm-1", health="starting"), seen("litellm-1")
CRASHED, SICK = seen("litellm-1", "restarting", "", 1), seen("litellm-1", health="unhealthy")


class Scripted(Compose):
    """Each look at the containers is the next entry of `looks`, the last one for ever; a look takes five seconds."""

    def __init__(self, looks: Sequence[Sequence[Container]]) -> None:
        super().__init__("t", (), Path("compose.env"))
        self.looks = looks
        self.script: Iterator[Sequence[Container]] = iter(looks)
        self.now = 0.0

    def containers(self) -> list[Container]:
        self.now += 5.0
        return list(next(self.script, self.looks[-1]))

    def tail(self, service: str, lines: int = 20) -> list[str]:
        return [f"{service} says", f"Authorization: Bearer {KEY}"]


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health.time, "sleep", lambda _: None)


def wait(*looks: Sequence[Container], services: Sequence[str] = ("litellm-1",), within: float = 240) -> PlainProgress:
    compose, progress = Scripted(looks), PlainProgress()
    wait_ready("services", compose, services, progress, within, lambda: compose.now)
    return progress


def test_ready_at_once_says_nothing() -> None:
    assert wait([READY]).details == []


def test_a_container_without_a_health_check_is_ready_when_it_runs() -> None:
    wait([seen("litellm-1", health="")])


def test_it_says_what_it_waits_for() -> None:
    progress = wait([STARTING, seen("redis")], [], [READY, seen("redis")], services=["litellm-1", "redis"])
    assert progress.details == [
        "waiting for litellm-1 (starting)",
        "waiting for litellm-1 (not created), redis (not created)",
    ]


def test_only_the_services_asked_about_count() -> None:
    wait([READY, seen("migrate", "exited", "", 1)])


@pytest.mark.parametrize("failed", [CRASHED, SICK, seen("litellm-1", "exited", "", 137)])
def test_one_failure_may_be_bad_luck(failed: Container) -> None:
    wait([STARTING], [failed], [STARTING], [STARTING], [READY])


def test_one_that_fails_again_ends_the_wait_early_with_its_log() -> None:
    with pytest.raises(StepError) as stopped:
        wait([STARTING], [CRASHED], *[[STARTING]] * 5, [CRASHED], within=100_000)
    assert stopped.value.step == "services"
    assert "litellm-1 (restarting) did not become healthy" in stopped.value.message
    assert "make logs S=litellm-1" in stopped.value.hint
    assert "litellm-1 says" in stopped.value.log
    assert KEY not in str(stopped.value)
    assert "Bearer ***" in str(stopped.value)


def test_the_second_failure_counts_only_after_some_patience() -> None:
    looks = int(PATIENCE_SECONDS // 5) - 1
    wait([CRASHED], *[[CRASHED]] * looks, [READY])
    with pytest.raises(StepError):
        wait([CRASHED], *[[CRASHED]] * (looks + 3), [READY])


def test_an_exit_status_is_told() -> None:
    with pytest.raises(StepError, match=r"litellm-1 \(exited with 137\)"):
        wait([seen("litellm-1", "exited", "", 137)])


def test_the_deadline_ends_it_also_when_nothing_fails() -> None:
    with pytest.raises(StepError, match=r"litellm-1 \(starting\) did not become healthy"):
        wait([STARTING], within=60)


def test_a_service_that_is_never_created_is_named() -> None:
    with pytest.raises(StepError, match=r"redis \(not created\)"):
        wait([READY], services=["litellm-1", "redis"], within=60)


def test_a_local_backend_may_take_long_and_nothing_else_may() -> None:
    """It reads tens of gigabytes from disk; a replica that takes as long is broken."""
    loading = seen("backend-gpu", health="starting")
    assert wait(*([loading],) * 100, [seen("backend-gpu")], services=("backend-gpu",)).details
    with pytest.raises(StepError, match="backend-gpu"):
        wait([loading], services=("backend-gpu",))
    with pytest.raises(StepError, match="litellm-1"):
        wait(*([STARTING],) * 100, [READY])
