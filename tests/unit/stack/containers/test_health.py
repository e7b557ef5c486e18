"""Waiting for containers. A list of states plays Compose, and each read of it moves the clock."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tollgate.errors import StepError
from tollgate.stack.containers import health
from tollgate.stack.containers.compose import Compose
from tollgate.stack.containers.container import Container
from tollgate.stack.containers.health import PATIENCE_SECONDS, given_up, wait_ready
from tollgate.stack.host.progress import PlainProgress

KEY = "sk-0123456789abcdefghij0123"


def seen(service: str, state: str = "running", health: str = "healthy", exit_code: int = 0) -> Container:
    return Container(service, f"t-{service}-1", "abc", state, health, exit_code, "a moment")


STARTING, READY = seen("litellm-1", health="starting"), seen("litellm-1")
CRASHED, SICK = seen("litellm-1", "restarting", "", 1), seen("litellm-1", health="unhealthy")


class Scripted(Compose):
    """Each read of the containers takes the next entry of `looks`, and five seconds. The last entry stays."""

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


def test_a_ready_container_prints_no_progress() -> None:
    assert wait([READY]).details == []


def test_a_container_without_a_health_check_is_ready_when_it_runs() -> None:
    wait([seen("litellm-1", health="")])


def test_progress_names_the_containers_that_are_not_ready() -> None:
    progress = wait([STARTING, seen("redis")], [], [READY, seen("redis")], services=["litellm-1", "redis"])
    assert progress.details == [
        "waiting for litellm-1 (starting)",
        "waiting for litellm-1 (not created), redis (not created)",
    ]


def test_other_services_do_not_count() -> None:
    wait([READY, seen("migrate", "exited", "", 1)])


@pytest.mark.parametrize("failed", [CRASHED, SICK, seen("litellm-1", "exited", "", 137)])
def test_one_failure_does_not_end_the_wait(failed: Container) -> None:
    wait([STARTING], [failed], [STARTING], [STARTING], [READY])


def test_a_repeated_failure_ends_the_wait_early_with_the_log() -> None:
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


def test_a_lost_service_is_reported_while_others_still_start() -> None:
    sick, fine = CRASHED, seen("redis", health="starting")
    compose = Scripted([*[[sick, fine]] * 8, [sick, seen("redis")]])
    lost = given_up(compose, ["litellm-1", "redis"], PlainProgress(), 240, lambda: compose.now)
    assert list(lost) == [("litellm-1", CRASHED)]


def test_twin_at_the_deadline_every_unready_service_is_reported() -> None:
    compose = Scripted([[seen("redis", health="starting")]])
    lost = given_up(compose, ["litellm-1", "redis"], PlainProgress(), 60, lambda: compose.now)
    assert [name for name, _ in lost] == ["litellm-1", "redis"]


def test_the_error_contains_the_exit_status() -> None:
    with pytest.raises(StepError, match=r"litellm-1 \(exited with 137\)"):
        wait([seen("litellm-1", "exited", "", 137)])


def test_the_deadline_ends_the_wait_if_nothing_fails() -> None:
    with pytest.raises(StepError, match=r"litellm-1 \(starting\) did not become healthy"):
        wait([STARTING], within=60)


def test_a_service_that_is_never_created_is_named() -> None:
    with pytest.raises(StepError, match=r"redis \(not created\)"):
        wait([READY], services=["litellm-1", "redis"], within=60)


def test_only_a_local_backend_may_start_slowly() -> None:
    """It reads tens of gigabytes from disk. A replica that needs as long is broken."""
    loading = seen("backend-gpu", health="starting")
    assert wait(*([loading],) * 100, [seen("backend-gpu")], services=("backend-gpu",)).details
    with pytest.raises(StepError, match="backend-gpu"):
        wait([loading], services=("backend-gpu",))
    with pytest.raises(StepError, match="litellm-1"):
        wait(*([STARTING],) * 100, [READY])
