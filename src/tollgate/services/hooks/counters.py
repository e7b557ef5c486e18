"""Counters of requests, running requests and money: for all replicas together, or for this one while Redis is away.

A request passes all of its limits at once or takes from none of them. A running request holds a lease that this process
renews; a replica that is killed gives its slots back when the leases run out.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

log = logging.getLogger("litellm.tollgate.limits")

RENEW_S = 10.0
# After a failure Redis is not asked for this long, or every request would wait for its timeout.
AWAY_S = 5.0

REQUESTS, SLOTS, MONEY = "requests", "slots", "money"


class AwayError(Exception):
    """The shared counters cannot be reached."""


@dataclass(frozen=True)
class Check:
    """One limit of one request. `expires` is when its counter may be forgotten, as Unix time.

    `reserve` is put on a counter of money when the request is let in: what such a request usually costs.
    """

    kind: str
    key: str
    limit: float
    expires: int = 0
    reserve: float = 0.0


@dataclass(frozen=True)
class Over:
    """The check that refused, and what was used; None where nobody knows yet what was spent."""

    check: Check
    used: float | None


class Counters(Protocol):
    async def take(self, checks: Sequence[Check], request: str) -> Over | None: ...
    async def give_back(self, checks: Sequence[Check], request: str, refund: bool) -> None: ...
    async def renew(self, held: Sequence[tuple[str, str]]) -> None: ...
    async def seed(self, check: Check, spent: float) -> None: ...
    async def spend(self, amounts: Mapping[str, float]) -> None: ...


class LocalCounters:
    """The same for one process, while Redis is away. It begins at zero, once in each window however often that is."""

    def __init__(self) -> None:
        self.numbers: dict[str, float] = {}
        self.slots: dict[str, set[str]] = {}
        self._expires: dict[str, int] = {}

    def redis_is_back(self, now: float) -> None:
        """What requests were counted stays for the next time, or a Redis that comes and goes would lift every limit;
        money is asked of the ledger again."""
        self._expires = {key: expires for key, expires in self._expires.items() if expires > now}
        self.numbers = {key: count for key, count in self.numbers.items() if key in self._expires}

    async def take(self, checks: Sequence[Check], request: str) -> Over | None:
        for check in checks:
            if check.kind == MONEY and check.key not in self.numbers:
                return Over(check, None)
            held = self.slots.get(check.key, set())
            used = len(held) if check.kind == SLOTS else self.numbers.get(check.key, 0.0)
            if used >= check.limit:
                return Over(check, used)
        for check in checks:
            if check.kind == SLOTS:
                self.slots.setdefault(check.key, set()).add(request)
            elif check.kind == REQUESTS:
                self.numbers[check.key] = self.numbers.get(check.key, 0) + 1
                self._expires[check.key] = check.expires
            else:
                self.numbers[check.key] += check.reserve
        return None

    async def give_back(self, checks: Sequence[Check], request: str, refund: bool) -> None:
        for check in checks:
            if check.kind == SLOTS:
                self.slots.get(check.key, set()).discard(request)
            elif check.kind == REQUESTS and refund and self.numbers.get(check.key, 0) > 0:
                self.numbers[check.key] -= 1

    async def renew(self, held: Sequence[tuple[str, str]]) -> None:
        """A process that lives holds its slots."""

    async def seed(self, check: Check, spent: float) -> None:
        self.numbers.setdefault(check.key, spent)

    async def spend(self, amounts: Mapping[str, float]) -> None:
        for key, amount in amounts.items():
            if key in self.numbers:
                self.numbers[key] += amount


@dataclass
class Held:
    """What a running request took, and from where: given back to the same counters or not at all."""

    counters: Counters
    checks: Sequence[Check]


class SharedCounters:
    """Redis, or memory for AWAY_S at a time after Redis has failed; and the leases of what runs in this process."""

    def __init__(self, shared: Counters, renew_every: float = RENEW_S, away: float = AWAY_S) -> None:
        self._shared = shared
        self._away_s = away
        self._local = LocalCounters()
        self._away_until = 0.0
        self._renew_every = renew_every
        self._held: dict[str, Held] = {}
        self._renewal: asyncio.Task[None] | None = None

    async def take(self, checks: Sequence[Check], request: str) -> Over | None:
        counters, over = await self._ask("take", checks, request)
        if over is None:
            self._held[request] = Held(counters, checks)
            if self._renewal is None or self._renewal.done():
                self._renewal = asyncio.create_task(self._keep())
        return over  # type: ignore[no-any-return]

    async def give_back(self, request: str, refund: bool) -> None:
        held = self._held.pop(request, None)
        if held is None or not (refund or any(check.kind == SLOTS for check in held.checks)):
            return
        try:
            await held.counters.give_back(held.checks, request, refund)
        except AwayError as error:
            self._went_away(error)  # the lease runs out by itself

    async def seed(self, check: Check, spent: float) -> None:
        await self._ask("seed", check, spent)

    async def spend(self, amounts: Mapping[str, float]) -> None:
        await self._ask("spend", amounts)

    async def _keep(self) -> None:
        """Renews the leases as long as anything runs. The first renewal is due only after a while."""
        while True:
            await asyncio.sleep(self._renew_every)
            held = [
                (check.key, request)
                for request, one in self._held.items()
                for check in one.checks
                if check.kind == SLOTS and one.counters is self._shared
            ]
            if held:
                await self._ask("renew", held)
            elif not self._held:
                return

    async def _ask(self, name: str, *arguments: Any) -> tuple[Counters, Any]:
        """The answer, and who gave it."""
        if time.monotonic() >= self._away_until:
            try:
                answer = await getattr(self._shared, name)(*arguments)
            except AwayError as error:
                self._went_away(error)
            else:
                if self._away_until:
                    log.warning("Redis is back: limits are counted for all replicas together again")
                    self._away_until = 0.0
                    self._local.redis_is_back(time.time())
                return self._shared, answer
        return self._local, await getattr(self._local, name)(*arguments)

    def _went_away(self, error: Exception) -> None:
        if not self._away_until:
            log.warning("Redis is away: each replica counts limits alone, from zero (%s)", error)
        self._away_until = time.monotonic() + self._away_s
