"""A process that is killed at any moment loses no call that it answered."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.gateway_ledger import outcome
from tollgate.services.gateway.ledger.calls import Call
from tollgate.services.gateway.ledger.recover import recover

ROOT = Path(__file__).resolve().parents[5]
WRITER = Path(__file__).with_name("writer.py")
TIMES = 50


class Writers:
    """Writers of one directory. They live one after another."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdin is not None and process.stdout is not None
        self._asked, self._said = process.stdin, process.stdout

    def killed(self, seed: int, rule: str) -> set[str]:
        """Run one for some calls, kill it in the middle of whatever it does, and say what it had answered."""
        self._asked.write(f"{seed} {rule}\n".encode())
        self._asked.flush()
        word, number = self._said.readline().split()
        assert word == b"pid"
        lines = [self._said.readline() for _ in range(random.Random(seed).randint(1, 400))]
        os.kill(int(number), signal.SIGKILL)
        lines += iter(self._said.readline, b"dead\n")
        return {line.decode().rstrip("\n") for line in lines}


@contextmanager
def writers(directory: Path) -> Iterator[Writers]:
    environment = {**os.environ, "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}", "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, str(WRITER), str(directory)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment) as process:
        yield Writers(process)


def recovered(directory: Path) -> dict[str, Call]:
    found: dict[str, Call] = {}
    for left in recover(directory):
        while not left.finished:
            batch = left.take(100)
            for call in batch.calls:
                assert call.begun.id not in found, "a call came twice"
                found[call.begun.id] = call
            assert not batch.unreadable
            left.done(batch)
    return found


def test_killed_fifty_times_it_loses_no_call_that_it_answered(tmp_path: Path) -> None:
    answered: set[str] = set()
    with writers(tmp_path) as alive:
        for seed in range(1, TIMES + 1):
            answered |= alive.killed(seed, "before")
    found = recovered(tmp_path)
    ended = {name for name, call in found.items() if not call.failed}
    assert answered <= ended
    # The answer to one call a life may have been on its way: its end is written, and nobody read it.
    assert len(ended - answered) <= TIMES
    assert all(found[name].outcome == outcome(int(name, 16) % 1000) for name in ended)
    assert len(found) > len(ended), "no call was ever interrupted: the writer was not killed in the middle"
    assert list(tmp_path.iterdir()) == []


def test_twin_answers_before_the_journal_are_lost(tmp_path: Path) -> None:
    lost: set[str] = set()
    with writers(tmp_path) as alive:
        for seed in range(1, 6):
            answered = alive.killed(seed, "after")
            lost |= answered - {name for name, call in recovered(tmp_path).items() if not call.failed}
    assert lost
