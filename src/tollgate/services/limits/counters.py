"""The values that pass between the limiter and its counters: calls, answers, and the real usage of a call.

A request takes from every limit or from none. On money it puts a reservation, and on tokens an estimate. `settle`
replaces both with the real figures. Settling a call twice changes nothing. `free` gives back only the slot of a call
that has ended, for a caller that learns the figures later.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from tollgate.services.limits.rule import MONEY, PARALLEL, REQUESTS, TOKENS, Rule


class AwayError(Exception):
    """Redis does not answer, or answers that it cannot work."""


class FullError(Exception):
    """Redis has no memory left. It still answers, but it counts nothing new."""


class Take(NamedTuple):
    """The part of a call that one counter holds.

    `limit` is what the rule allows. For money it can be more by what this request has reserved there already.
    `ttl` is when Redis may forget the counter, in seconds from now.
    """

    rule: Rule
    key: str
    limit: int
    add: int
    ttl: int


class Call(NamedTuple):
    """One request at the counters. `id` is a hash. `tenant` begins all names of this tenant in Redis."""

    id: str
    tenant: str
    takes: tuple[Take, ...]

    @property
    def slots(self) -> list[str]:
        """The counters of running requests that it takes from."""
        return [take.key for take in self.takes if take.rule.kind == PARALLEL]


class Real(NamedTuple):
    """The real usage of a request that has ended. `counts` is False for a request that counts for nothing."""

    tokens: int
    nano: int
    counts: bool


class Answer(NamedTuple):
    """`over` is the index of the take that was refused, None if the call was let in.

    `used` and `reserved` are what stood on its counter. `unknown` are the counters of money that nobody has seeded yet:
    then nothing was taken. `stale` are those that should be compared with the ledger.
    """

    over: int | None = None
    used: int = 0
    reserved: int = 0
    unknown: tuple[int, ...] = ()
    stale: tuple[int, ...] = ()


class Used(NamedTuple):
    """The state of one counter. `reserved` is what running requests hold of a budget."""

    used: int
    reserved: int = 0


LET_IN = Answer()


class Counters(Protocol):
    """`begin_settling` sends a settlement at once, if it can. `settle` takes a failed reply to it as `begun`."""

    async def take(self, call: Call) -> Answer: ...
    async def settle(
        self, call: Call, real: Real, late: bool = False, begun: asyncio.Future[Any] | None = None
    ) -> None: ...
    def begin_settling(self, call: Call, real: Real) -> asyncio.Future[Any] | None: ...
    async def free(self, call: Call) -> None: ...
    async def renew(self, calls: Sequence[Call]) -> None: ...
    async def seed(self, call: Call, spent: Mapping[int, int]) -> None: ...
    async def look(self, takes: Sequence[Take]) -> Sequence[Used | None]: ...


def changes(take: Take, real: Real) -> tuple[int, int]:
    """The two numbers by which settling changes a counter.

    For money, the first changes the reservations, if this call's reservation is still there, and the second is added to
    the spend. For requests and tokens only one is added to the count: the first, unless Redis has lost the call.
    """
    kind = take.rule.kind
    if kind == MONEY:
        return -take.add, real.nano
    if kind == TOKENS:
        return real.tokens - take.add, real.tokens
    return (-1 if kind == REQUESTS and not real.counts else 0), 0
