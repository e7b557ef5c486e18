"""Long steps without a terminal print a line now and then, with the seconds since their own start."""

from __future__ import annotations

import io
from collections.abc import Iterator

import pytest
from rich.console import Console

from tollgate.cli import progress

HOURS_AFTER_BOOT = 25_000.0


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    now = [HOURS_AFTER_BOOT]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    yield now


def test_a_command_without_steps_counts_from_its_start(clock: list[float]) -> None:
    out = io.StringIO()
    display = progress.StepDisplay(Console(file=out))
    display.detail("create team engineering")
    assert out.getvalue() == ""
    clock[0] += 12
    display.detail("create key engineering")
    assert out.getvalue() == "    [   12 s] create key engineering\n"


def test_a_step_counts_from_its_own_start(clock: list[float]) -> None:
    out = io.StringIO()
    display = progress.StepDisplay(Console(file=out))
    clock[0] += 100
    with display.step("services"):
        clock[0] += 11
        display.detail("waiting for litellm-1")
    assert out.getvalue() == "==> services\n    [   11 s] waiting for litellm-1\n"
