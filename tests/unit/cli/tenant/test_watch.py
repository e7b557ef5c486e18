"""`--watch`: what it draws, when it ends, and what it refuses."""

from __future__ import annotations

import io
from collections.abc import Callable

import pytest

from tollgate.cli.tenant.watch import watch
from tollgate.cli.terminal import Terminal
from tollgate.errors import TollgateError


def console(*, terminal: bool = True) -> Terminal:
    return Terminal(file=io.StringIO(), force_terminal=terminal, width=100, highlight=False)


def stops_after(looks: int) -> tuple[Callable[[float], None], list[float]]:
    """A sleep that the user interrupts at its `looks`th call."""
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == looks:
            raise KeyboardInterrupt

    return sleep, slept


def shown(screen: Terminal) -> str:
    assert isinstance(screen.file, io.StringIO)
    return screen.file.getvalue()


def test_it_draws_until_ctrl_c() -> None:
    screen = console()
    sleep, slept = stops_after(3)
    watch(screen, 5, lambda: screen.print("spent $1"), sleep)
    assert shown(screen).count("spent $1") == 3
    assert slept == [5, 5, 5]
    assert "Every 5 s. Ctrl-C ends it." in shown(screen)


def test_a_ledger_that_is_away_for_a_moment_ends_nothing() -> None:
    screen = console()
    sleep, _ = stops_after(2)
    answers = iter(["", "spent $1"])

    def draw() -> None:
        if answer := next(answers):
            screen.print(answer)
        else:
            raise TollgateError("Postgres does not answer", "run `make status`")

    watch(screen, 2, draw, sleep)
    assert "error: Postgres does not answer" in shown(screen)
    assert "hint:  run `make status`" in shown(screen)
    assert "spent $1" in shown(screen)


@pytest.mark.parametrize(("every", "terminal", "message"), [(1.9, True, "at least 2 s"), (5, False, "a terminal")])
def test_what_it_refuses(every: float, terminal: bool, message: str) -> None:
    screen = console(terminal=terminal)
    with pytest.raises(TollgateError, match=message) as refused:
        watch(screen, every, lambda: screen.print("drawn"), stops_after(1)[0])
    assert refused.value.hint
    assert shown(screen) == ""
