"""A call that another process settles, while Redis goes away, is full or comes back."""

from __future__ import annotations

import pytest

from tests.unit.services.limits.calls import call, take, used
from tests.unit.services.limits.test_limiter import EVERY, Ledger, Shared, let_in, with_limiter
from tests.unit.services.limits.test_shared_counters import Reachable, until, with_shared
from tollgate.services.limits.limiter import Limiter
from tollgate.services.limits.rule import PARALLEL, REQUESTS
from tollgate.services.limits.shared_counters import SharedCounters

HOUR, SLOT = take(REQUESTS, 2, name="hour"), take(PARALLEL, 1)


def test_what_was_counted_alone_is_given_back_and_not_passed_on() -> None:
    """Redis is away: the replica counts alone too, and does not know this process's counters."""

    async def test(limiter: Limiter, shared: Shared, ledger: Ledger) -> None:
        shared.away = True
        admitted = await let_in(limiter, EVERY, "a", nano=5)
        assert await limiter.hand_on(admitted) is None
        for name in "bcdef":
            assert await let_in(limiter, EVERY, name), "the first one counts for nothing"

    with_limiter(test)


def test_twin_what_redis_has_is_passed_on() -> None:
    async def test(limiter: Limiter, shared: Shared, ledger: Ledger) -> None:
        admitted = await let_in(limiter, EVERY, "a", nano=5)
        assert await limiter.hand_on(admitted) == admitted.calls[0]

    with_limiter(test)


def test_a_call_that_was_taken_over_is_settled_when_redis_is_back() -> None:
    async def test(shared: Reachable, counters: SharedCounters) -> None:
        taken = call("a", HOUR, SLOT)
        await shared.take(taken)  # by a gateway process
        counters.take_over(taken)
        shared.away = True
        await counters.free(taken)
        await counters.settle(taken, used())
        shared.away = False
        await until(lambda: ("a", used()) in shared.late)
        assert (await counters.take(call("b", HOUR, SLOT))).over is None

    with_shared(test, renew_every=0.01, away=0.0)


def test_its_lease_is_renewed_by_the_process_that_took_it_over() -> None:
    async def test(shared: Reachable, counters: SharedCounters) -> None:
        counters.take_over(call("a", HOUR, SLOT))
        await until(lambda: ["a"] in shared.renewed)

    with_shared(test, renew_every=0.01)


def test_twin_and_by_no_process_that_has_forgotten_it() -> None:
    async def test(shared: Reachable, counters: SharedCounters) -> None:
        one, other = call("a", HOUR), call("b", HOUR)
        await counters.take(one)
        await counters.take(other)
        counters.forget(one)
        assert not counters.is_shared(one) and counters.is_shared(other)
        await until(lambda: shared.renewed)
        assert shared.renewed[0] == ["b"]
        await counters.settle(one, used())
        assert "a" in shared._live, "only the process that took it over settles it"

    with_shared(test, renew_every=0.01)


@pytest.mark.parametrize("alone", [True, False])
def test_a_slot_is_freed_where_it_was_taken(alone: bool) -> None:
    async def test(shared: Reachable, counters: SharedCounters) -> None:
        shared.away = alone
        assert (await counters.take(call("a", SLOT))).over is None
        assert (await counters.take(call("b", SLOT))).over == 0
        await counters.free(call("a", SLOT))
        assert (await counters.take(call("c", SLOT))).over is None

    with_shared(test)


def test_a_full_redis_frees_the_slot_with_the_settlement() -> None:
    async def test(shared: Reachable, counters: SharedCounters) -> None:
        one = call("a", SLOT)
        await counters.take(one)
        shared.full = True
        await counters.free(one)
        await counters.free(call("nobody", SLOT))
        shared.full = False
        await counters.settle(one, used())
        assert (await counters.take(call("b", SLOT))).over is None

    assert with_shared(test).redis_full == 1
