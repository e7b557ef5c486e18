"""Processes that answer calls until they are killed, one after another. Each prints the id of each call it answered.

`python writer.py DIRECTORY` reads a line `SEED RULE` for each: with the rule `before` the end is in the journal before
the answer is out, as the gateway does it; with `after` it is written after the answer. It prints `pid` and the number
of the process, then the ids, then `dead`. The processes are forks, because a Python that starts takes longer than they
live.
"""

from __future__ import annotations

import os
import random
import sys
from pathlib import Path

from tests.support.gateway_ledger import begun, outcome, request_id, used
from tollgate.services.gateway.ledger.journal import Journal


def main(directory: str) -> None:
    for line in sys.stdin:
        seed, rule = line.split()
        if (child := os.fork()) == 0:
            os.write(1, b"pid %d\n" % os.getpid())
            answer(directory, seed, rule)
        os.waitpid(child, 0)
        os.write(1, b"dead\n")


def answer(directory: str, seed: str, rule: str) -> None:
    chance = random.Random(seed)
    journal = Journal(Path(directory), f"gateway-{int(seed) % 3}", segment_bytes=131_072, note_every=0.0)
    running: list[int] = []
    late: list[int] = []
    number = int(seed) * 1_000_000
    while True:
        number += 1
        journal.begin(begun(number))
        running.append(number)
        if chance.random() < 0.3:
            one = chance.choice(running)
            journal.progress(request_id(one), lambda one=one: used(one % 1000))
        while len(running) > chance.randint(0, 8):
            one = running.pop(chance.randrange(len(running)))
            if rule == "before":
                journal.end(request_id(one), outcome(one % 1000))
            else:
                late.append(one)
            os.write(1, request_id(one).encode() + b"\n")
        while len(late) > chance.randint(0, 8):
            one = late.pop()
            journal.end(request_id(one), outcome(one % 1000))


if __name__ == "__main__":
    main(*sys.argv[1:])
