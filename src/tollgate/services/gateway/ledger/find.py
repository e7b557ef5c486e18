"""Looks for calls in the journals of all gateway processes. It changes nothing."""

from __future__ import annotations

import fcntl
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tollgate.services.gateway.ledger import calls
from tollgate.services.gateway.ledger.reader import UNREADABLE
from tollgate.services.gateway.ledger.segment import lines, runs, segments

OPEN, ENDED, HANDED_OVER = "open", "ended", "handed over"


@dataclass
class Noted:
    """A call as the files have it. `alive`: the process that let it in still runs. `started` and `ended` are in
    milliseconds since 1970, `nano_usd` is in billionths of a dollar."""

    id: str
    request_id: str
    run: str
    alive: bool
    team: str
    model: str
    started: int
    state: str = OPEN
    ended: int = 0
    status: int = 0
    error: str = ""
    nano_usd: int = 0


def find(directory: Path, ids: Collection[str]) -> list[Noted]:
    """The calls with these ids, the oldest first. A file that goes meanwhile was shipped; its calls are in Postgres."""
    by_id: dict[str, Noted] = {}
    for run in runs(directory):
        alive = _alive(directory / f"{run}.lock")
        for content in _contents(directory, run):
            _follow(by_id, content, ids, run, alive)
    return sorted(by_id.values(), key=lambda noted: noted.started)


def _contents(directory: Path, run: str) -> Iterator[Mapping[str, Any]]:
    for path in segments(directory, run):
        try:
            yield from (line.content for line in lines(path, 0) if line.content is not None)
        except FileNotFoundError:
            continue


def _follow(by_id: dict[str, Noted], content: Mapping[str, Any], ids: Collection[str], run: str, alive: bool) -> None:
    try:
        if content["do"] == "begin":
            begun = calls.begun(content["begun"])
            if not {begun.id, begun.request}.isdisjoint(ids):
                by_id.setdefault(begun.id, _noted(begun, run, alive))
        elif content["do"] == "handed over" and content["id"] in by_id:
            by_id[content["id"]].state = HANDED_OVER
        elif content["do"] == "end":
            call = calls.call(content["call"])
            if not {call.begun.id, call.begun.request}.isdisjoint(ids):
                noted = by_id.setdefault(call.begun.id, _noted(call.begun, run, alive))
                noted.state, noted.ended, noted.nano_usd = ENDED, call.outcome.ended, call.cost
                noted.status, noted.error = call.outcome.status, call.outcome.error
    except UNREADABLE:
        return  # a line of another version; the shipper reports it


def _noted(begun: calls.Begun, run: str, alive: bool) -> Noted:
    return Noted(begun.id, begun.request, run, alive, begun.team, begun.model, begun.started)


def _alive(lock: Path) -> bool:
    """Whether a process holds the lock. A shared lock, held for a moment, is all that this needs."""
    try:
        with lock.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False
