"""The replicas as this process sees them, and which one gets the next call. Without I/O: replica_watch.py tells it.

A replica takes calls if it has an address, is not drained, and is not silent. Checks count only while one replica in
rotation passes them: if none does, the fault is probably not in the replicas, and an empty list serves nobody.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

# A replica that refused a connection comes after the others for so long, for example while it starts.
REST_S = 5.0
# So many checks in a row take a silent replica out, and so many bring it back.
FAILURES_ALLOWED = 3
ANSWERS_WANTED = 2
# After so many rounds without any name the replicas are gone. Before that, it is probably only the DNS.
PATIENCE = 10


@dataclass(eq=False)
class Replica:
    """`address` is host:port, empty if the name does not resolve. `running` are the calls of this process there."""

    name: str
    address: str = ""
    drained: bool = False
    silent: bool = False
    running: int = 0
    failures: int = 0
    answers: int = 0
    rests_until: float = field(default=0.0, repr=False)

    @property
    def in_rotation(self) -> bool:
        return bool(self.address) and not self.drained

    @contextmanager
    def call(self) -> Iterator[None]:
        """Around a call, from before its connection until its answer has ended."""
        self.running += 1
        try:
            yield
        finally:
            self.running -= 1


class Replicas:
    """`clock` gives seconds. Names come from `named`, addresses from `found`."""

    def __init__(self, clock: Callable[[], float] = time.monotonic, chance: random.Random | None = None) -> None:
        self._clock = clock
        self._chance = chance or random.Random()  # noqa: S311  it only spreads calls
        self._known: dict[str, Replica] = {}
        self._names: Sequence[str] = ()
        self._rounds_without_names = 0

    @classmethod
    def at(cls, addresses: Mapping[str, str]) -> Replicas:
        """Replicas whose names and addresses do not change."""
        replicas = cls()
        replicas.named(list(addresses))
        replicas.found(addresses)
        return replicas

    @property
    def listed(self) -> list[Replica]:
        return [self._known[name] for name in self._names]

    def named(self, names: Sequence[str]) -> None:
        """The deployment has exactly these. One that it no longer has stays known until its calls have ended."""
        self._names = tuple(dict.fromkeys(names))
        for name in self._names:
            self._known.setdefault(name, Replica(name))
        self._known = {name: known for name, known in self._known.items() if name in self._names or known.running}

    def found(self, answers: Mapping[str, str]) -> None:
        """One round of lookups: an address, or empty if the name does not exist. A name without an answer is missing.

        While no name has an address, every replica keeps its own for PATIENCE rounds.
        """
        self._rounds_without_names = 0 if any(answers.values()) else self._rounds_without_names + 1
        if 0 < self._rounds_without_names < PATIENCE:
            return
        for replica in self.listed:
            address = answers.get(replica.name)
            if address is not None and address != replica.address:
                replica.address = address
                replica.failures = replica.answers = 0
                replica.silent, replica.rests_until = False, 0.0

    def drain(self, names: Collection[str]) -> None:
        """Exactly these are drained. A rollout checks the new replica, so it comes back with a clean record."""
        for replica in self._known.values():
            replica.drained = replica.name in names
            if replica.drained:
                replica.failures = replica.answers = 0
                replica.silent = False

    def checked(self, replica: Replica, answered: bool | None) -> bool:
        """The result of one check; None: the connection was refused, which is no failure. True if `silent` changed."""
        before = replica.silent
        replica.answers = replica.answers + 1 if answered else 0
        if answered is not None:
            replica.failures = 0 if answered else replica.failures + 1
        if replica.failures >= FAILURES_ALLOWED:
            replica.silent = True
        elif replica.answers >= ANSWERS_WANTED:
            replica.silent = False
        return replica.silent != before

    def refused(self, replica: Replica) -> None:
        """It took no connection."""
        replica.rests_until = self._clock() + REST_S

    def order(self) -> list[Replica]:
        """Whom to ask, in this order: the fewest running calls first, ties at random, those that refused last."""
        now = self._clock()
        able = [replica for replica in self.listed if self._takes(replica)]
        self._chance.shuffle(able)
        return sorted(able, key=lambda replica: (replica.rests_until > now, replica.running))

    def state(self) -> dict[str, dict[str, Any]]:
        """For a rollout: who takes calls, and the running calls, also of a replica that is no longer listed."""
        taking = {replica.name for replica in self.listed if self._takes(replica)}
        return {
            name: {"takes": name in taking, "running": known.running} for name, known in sorted(self._known.items())
        }

    def _takes(self, replica: Replica) -> bool:
        return replica.in_rotation and not (replica.silent and self._somebody_answers())

    def _somebody_answers(self) -> bool:
        return any(replica.in_rotation and not replica.silent for replica in self.listed)
