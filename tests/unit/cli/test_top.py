"""`tollgate top`: what it prints on a terminal and in a pipe, when it ends, and what it refuses."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.support.cli import tollgate
from tests.support.site import new_home
from tollgate.cli.terminal import Terminal
from tollgate.cli.top import repeat, show
from tollgate.errors import TollgateError
from tollgate.stack.requests.live import Row
from tollgate.stack.requests.now import Look

LOOK = Look(
    datetime(2026, 11, 29, 15, tzinfo=UTC),
    tenants=[Row("acme", 12.34, 0.5, 2345.6, 1.234, 812)],
    models=[Row("sonnet", 12.34)],
    gateways=[Row("gateway-1", 12.34, running=7)],
    replicas=[Row("litellm-1")],
    connections=42,
    problems=["nginx does not answer"],
)


def console() -> Terminal:
    return Terminal(file=io.StringIO(), width=120, highlight=False)


def shown(screen: Terminal) -> str:
    assert isinstance(screen.file, io.StringIO)
    return screen.file.getvalue()


def test_one_look_is_four_tables_in_plain_text() -> None:
    screen = console()
    show(screen, LOOK)
    text = shown(screen)
    assert "\x1b" not in text, "a pipe gets no terminal codes"
    lines = [line.split() for line in text.splitlines()]
    assert ["acme", "12.3", "0.50", "2,346", "1.23", "812", "ms"] in lines
    assert ["gateway-1", "12.3", "0.0", "0.0", "0.00", "7"] in lines
    assert "2026-11-29 15:00:00 UTC, the last minute, 42 connections to nginx" in text
    assert "Note: nginx does not answer" in text
    assert max(map(len, text.splitlines())) <= 120


def test_only_the_busiest_are_listed_and_the_rest_is_counted() -> None:
    screen = console()
    rows = [Row(f"tenant-{number}", 40 - number) for number in range(40)]
    show(screen, Look(LOOK.at, rows, [], [], [], None, []))
    assert "tenant-14" in shown(screen) and "tenant-15" not in shown(screen)
    assert "and 25 more" in shown(screen)


def test_a_gateway_without_requests_says_so() -> None:
    screen = console()
    show(screen, Look(LOOK.at, [], [], [Row("gateway-1", running=0)], [], 1, []))
    assert "No request ended in the last minute." in shown(screen)


def test_json_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    show(console(), LOOK, as_json=True)
    [line] = capsys.readouterr().out.splitlines()
    told = json.loads(line)
    assert (told["at"], told["connections"], told["gateways"][0]["running"]) == ("2026-11-29T15:00:00Z", 42, 7)


def test_it_looks_again_until_ctrl_c_also_after_a_failure() -> None:
    screen, slept = console(), list[float]()

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 4:
            raise KeyboardInterrupt

    def draw() -> None:
        if len(slept) == 2:
            raise TollgateError("Docker does not answer", "run `make status`")
        screen.print("drawn")

    with pytest.raises(KeyboardInterrupt):
        repeat(screen, 2, draw, sleep)
    assert shown(screen).count("drawn") == 2
    assert "error: Docker does not answer" in shown(screen)
    assert slept == [2, 2, 2, 2]


@pytest.mark.parametrize("every", ["0.5", "nan", "inf", "-1"])
def test_a_pause_that_cannot_be_is_refused(tmp_path: Path, every: str) -> None:
    done = tollgate(new_home(tmp_path / "home"), "top", "--every", every)
    assert (done.code, "--every: expected 1 to 3600 seconds" in done.err) == (1, True)


def test_before_the_first_deploy_it_says_so(tmp_path: Path) -> None:
    done = tollgate(new_home(tmp_path / "home"), "top", "--once")
    assert (done.code, "nothing is deployed here yet" in done.err) == (1, True)
