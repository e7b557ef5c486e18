"""Counting in one process, and what happens when the shared counters go away and come back.

The counters in Redis are tried against a real Redis: tests/contract/litellm/test_counters.py.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from tollgate.services.hooks.counters import (
    MONEY,
    REQUESTS,
    SLOTS,
    AwayError,
    Check,
    LocalCounters,
    Over,
    SharedCounters,
)

HOUR = Check(REQUESTS, "hour", 2, 9)
DAY = Check(REQUESTS, "day", 3, 9)
SLOT = Check(SLOTS, "parallel", 1)
FAR = 4_000_000_000
CAP = Check(MONEY, "money", 0.5, 9)


def test_a_limit_lets_as_many_pass_as_it_says() -> None:
    async def run() -> list[Over | None]:
        counters = LocalCounters()
        return [await counters.take([HOUR], str(number)) for number in range(3)]

    assert asyncio.run(run()) == [None, None, Over(HOUR, 2)]


def test_what_one_limit_refuses_counts_for_none() -> None:
    async def run() -> dict[str, float]:
        counters = LocalCounters()
        for number in range(9):
            await counters.take([DAY, HOUR], str(number))
        return counters.numbers

    assert asyncio.run(run()) == {"hour": 2, "day": 2}


def test_a_slot_is_free_again_and_a_refund_is_only_of_requests() -> None:
    async def run() -> None:
        counters = LocalCounters()
        assert await counters.take([SLOT, HOUR], "a") is None
        assert await counters.take([SLOT, HOUR], "b") == Over(SLOT, 1)
        await counters.give_back([SLOT, HOUR], "a", refund=False)
        assert counters.numbers["hour"] == 1
        assert await counters.take([SLOT, HOUR], "b") is None
        await counters.give_back([SLOT, HOUR], "b", refund=True)
        assert counters.numbers["hour"] == 1

    asyncio.run(run())


def test_money_that_nobody_knows_is_asked_for_then_counted() -> None:
    async def run() -> None:
        counters = LocalCounters()
        assert await counters.take([CAP], "a") == Over(CAP, None)
        await counters.spend({"money": 9.0})  # not known: the ledger will have it
        await counters.seed(CAP, 0.4)
        await counters.seed(CAP, 0.0)  # the second of two that asked at once
        assert await counters.take([CAP], "a") is None
        await counters.spend({"money": 0.1})
        assert await counters.take([CAP], "a") == Over(CAP, 0.5)

    asyncio.run(run())


def test_what_a_request_usually_costs_is_counted_before_it_has_ended() -> None:
    usual = Check(MONEY, "money", 0.5, 9, reserve=0.2)

    async def run() -> list[Over | None]:
        counters = LocalCounters()
        await counters.seed(usual, 0.0)
        passed = [await counters.take([usual], str(number)) for number in range(4)]
        await counters.spend({"money": -0.2})  # one of them failed
        return [*passed, await counters.take([usual], "another")]

    over = [one if one is None else round(one.used or 0, 6) for one in asyncio.run(run())]
    assert over == [None, None, None, 0.6, None]


class Reachable(LocalCounters):
    """Stands for the shared counters of all replicas, and can be cut off."""

    def __init__(self) -> None:
        super().__init__()
        self.away = False
        self.asked = 0
        self.renewed: list[Sequence[tuple[str, str]]] = []

    async def take(self, checks: Sequence[Check], request: str) -> Over | None:
        self._answer()
        return await super().take(checks, request)

    async def give_back(self, checks: Sequence[Check], request: str, refund: bool) -> None:
        self._answer()
        await super().give_back(checks, request, refund)

    async def renew(self, held: Sequence[tuple[str, str]]) -> None:
        self._answer()
        self.renewed.append(held)

    def _answer(self) -> None:
        self.asked += 1
        if self.away:
            raise AwayError("TimeoutError")


def with_shared(test: Callable[[Reachable, SharedCounters], Any], **options: Any) -> None:
    async def run() -> None:
        shared = Reachable()
        await test(shared, SharedCounters(shared, **options))

    asyncio.run(run())


def test_while_redis_is_away_each_replica_counts_alone_from_zero() -> None:
    async def test(shared: Reachable, counters: SharedCounters) -> None:
        assert [await counters.take([HOUR], str(number)) for number in range(3)] == [None, None, Over(HOUR, 2)]
        shared.away = True
        assert [await counters.take([HOUR], str(number)) for number in range(3)] == [None, None, Over(HOUR, 2)]

    with_shared(test)


def test_redis_is_not_asked_again_at_once(caplog: pytest.LogCaptureFixture) -> None:
    async def test(shared: Reachable, counters: SharedCounters) -> None:
        shared.away = True
        for number in range(5):
            await counters.take([HOUR], str(number))
        assert shared.asked == 1

    with_shared(test)
    assert caplog.text.count("Redis is away") == 1


def test_a_redis_that_comes_and_goes_lifts_no_limit() -> None:
    """Each replica adds its own limit once in a window, not once for each time Redis was away."""
    hour, day = Check(REQUESTS, "hour", 2, FAR), Check(REQUESTS, "past", 2, 9)

    async def test(shared: Reachable, counters: SharedCounters) -> None:
        passed = 0
        for _ in range(5):
            shared.away = True
            passed += sum([await counters.take([hour], str(number)) is None for number in range(3)])
            shared.away = False
            await counters.take([day], "asks Redis again")
        assert passed == 2

    with_shared(test, away=0.0)


def test_when_redis_is_back_its_counters_hold_again(caplog: pytest.LogCaptureFixture) -> None:
    async def test(shared: Reachable, counters: SharedCounters) -> None:
        await counters.take([HOUR], "a")
        await counters.take([HOUR], "b")
        shared.away = True
        assert await counters.take([HOUR], "c") is None
        shared.away = False
        assert await counters.take([HOUR], "d") == Over(HOUR, 2)

    with_shared(test, away=0.0)
    assert "Redis is back" in caplog.text


def test_what_was_taken_from_redis_is_not_given_back_to_memory() -> None:
    """Nor the other way round: a refund would lower a counter that the request never raised."""

    async def test(shared: Reachable, counters: SharedCounters) -> None:
        await counters.take([HOUR], "a")
        shared.away = True
        await counters.take([HOUR], "b")
        await counters.give_back("b", refund=True)
        assert shared.numbers["hour"] == 1
        await counters.give_back("a", refund=True)  # nobody there to take it
        shared.away = False
        await counters.give_back("a", refund=True)
        assert shared.numbers["hour"] == 1

    with_shared(test)


def test_leases_are_renewed_as_long_as_the_request_runs() -> None:
    async def test(shared: Reachable, counters: SharedCounters) -> None:
        await counters.take([SLOT, HOUR], "a")
        while len(shared.renewed) < 2:
            await asyncio.sleep(0.001)
        assert shared.renewed[0] == [("parallel", "a")]
        await counters.give_back("a", refund=False)
        renewed = len(shared.renewed)
        await asyncio.sleep(0.02)
        assert len(shared.renewed) == renewed

    with_shared(test, renew_every=0.001)
