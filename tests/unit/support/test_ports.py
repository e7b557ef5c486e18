"""The second try at a port: only for a port that is taken, and not for ever."""

from __future__ import annotations

import socket

import pytest
from docker.errors import APIError

from tests.support import ports
from tests.support.ports import KEPT, TAKEN, TRIES, again, free_ports


def failing(times: int, message: str) -> tuple[list[int], object]:
    calls: list[int] = []

    def start() -> str:
        calls.append(1)
        if len(calls) <= times:
            raise APIError(message)
        return "started"

    return calls, again(start, APIError, str)


def test_a_taken_port_is_chosen_again() -> None:
    calls, start = failing(2, f"listen tcp4 0.0.0.0:32777: bind: {TAKEN}")
    assert start() == "started"
    assert len(calls) == 3


def test_any_other_failure_is_told_at_once() -> None:
    calls, start = failing(2, "no such image")
    with pytest.raises(APIError):
        start()
    assert len(calls) == 1


def test_it_ends() -> None:
    calls, start = failing(100, TAKEN)
    with pytest.raises(APIError):
        start()
    assert len(calls) == TRIES


def test_ports_to_keep_are_none_that_are_handed_out() -> None:
    first, second = free_ports(2)
    assert first != second
    assert {first, second} <= set(KEPT)
    assert max(KEPT) < 32768


def test_a_port_that_is_in_use_is_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        monkeypatch.setattr(ports, "KEPT", range(port, port + 1))
        assert free_ports(1) == []
