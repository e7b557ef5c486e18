"""The counters of one process alone, while Redis is away."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tollgate.services.limits.counters import LET_IN, Answer, Call, Real, Take, Used, changes
from tollgate.services.limits.rule import MONEY, PARALLEL

# Money is compared with the ledger this often: other processes spend too, and Redis cannot tell.
LEDGER_S = 5.0
# With more counters than this, those of ended windows are removed.
SWEEP_AT = 10_000


@dataclass(slots=True)
class _Money:
    spent: int
    compared: float
    reserved: int = 0


@dataclass
class LocalCounters:
    """The same rules as script.py.

    Requests start at zero, but only once in each window, however often Redis goes away: those that were counted stay
    counted. Money starts at what the ledger has, and is compared with it every LEDGER_S.
    """

    numbers: dict[str, int] = field(default_factory=dict)
    money: dict[str, _Money] = field(default_factory=dict)
    running: dict[str, set[str]] = field(default_factory=dict)
    clock: Callable[[], float] = time.time
    _live: set[str] = field(default_factory=set)
    _expires: dict[str, float] = field(default_factory=dict)
    _sweep_at: int = SWEEP_AT

    def redis_is_back(self) -> None:
        """Forgets all money. Counted requests stay: a Redis that comes and goes must not lift a limit."""
        self.money.clear()
        self._sweep()

    def _sweep(self) -> None:
        """Forgets the counters of windows that have ended."""
        now = self.clock()
        self._expires = {key: expires for key, expires in self._expires.items() if expires > now}
        self.numbers = {key: count for key, count in self.numbers.items() if key in self._expires}
        self._sweep_at = max(SWEEP_AT, 2 * len(self._expires))

    async def take(self, call: Call) -> Answer:
        if call.id in self._live:
            return LET_IN
        unknown = []
        for index, take in enumerate(call.takes):
            if take.rule.kind == MONEY and take.key not in self.money:
                unknown.append(index)
                continue
            used, reserved = self._used(take)
            least = 1 if take.rule.kind == MONEY else max(take.add, 1)
            if used + reserved + least > take.limit:
                return Answer(index, used, reserved)
        if unknown:
            return Answer(unknown=tuple(unknown))
        for take in call.takes:
            self._add(take, call.id)
        self._live.add(call.id)
        stale = tuple(index for index, take in enumerate(call.takes) if self._is_stale(take))
        return Answer(stale=stale) if stale else LET_IN

    def begin_settling(self, call: Call, real: Real) -> asyncio.Future[Any] | None:
        return None

    async def settle(
        self, call: Call, real: Real, late: bool = False, begun: asyncio.Future[Any] | None = None
    ) -> None:
        if call.id not in self._live:
            return
        self._live.discard(call.id)
        for take in call.takes:
            held, always = changes(take, real)
            if take.rule.kind == PARALLEL:
                self.running.get(take.key, set()).discard(call.id)
            elif take.rule.kind == MONEY and take.key in self.money:
                self.money[take.key].reserved += held
                if not late:
                    self.money[take.key].spent += always
                elif always:
                    self.money[take.key].compared = 0.0
            elif take.key in self.numbers:
                self.numbers[take.key] += held

    async def free(self, call: Call) -> None:
        for take in call.takes:
            if take.rule.kind == PARALLEL:
                self.running.get(take.key, set()).discard(call.id)

    async def renew(self, calls: Sequence[Call]) -> None:
        """A process that lives holds its own slots."""

    async def seed(self, call: Call, spent: Mapping[int, int]) -> None:
        for index, amount in spent.items():
            money = self.money.setdefault(call.takes[index].key, _Money(amount, 0.0))
            money.spent = max(money.spent, amount)
            money.compared = self.clock()

    async def look(self, takes: Sequence[Take]) -> list[Used | None]:
        unknown = (take.rule.kind == MONEY and take.key not in self.money for take in takes)
        return [None if none else Used(*self._used(take)) for take, none in zip(takes, unknown, strict=True)]

    def _used(self, take: Take) -> tuple[int, int]:
        if take.rule.kind == MONEY:
            money = self.money[take.key]
            return money.spent, money.reserved
        if take.rule.kind == PARALLEL:
            return len(self.running.get(take.key, ())), 0
        return self.numbers.get(take.key, 0), 0

    def _is_stale(self, take: Take) -> bool:
        """Says so to one caller only."""
        money = self.money.get(take.key)
        if money is None or self.clock() - money.compared <= LEDGER_S:
            return False
        money.compared = self.clock()
        return True

    def _add(self, take: Take, call: str) -> None:
        if take.rule.kind == MONEY:
            self.money[take.key].reserved += take.add
        elif take.rule.kind == PARALLEL:
            self.running.setdefault(take.key, set()).add(call)
        else:
            self.numbers[take.key] = self.numbers.get(take.key, 0) + take.add
            self._expires.setdefault(take.key, self.clock() + take.ttl)
            if len(self._expires) > self._sweep_at:
                self._sweep()
