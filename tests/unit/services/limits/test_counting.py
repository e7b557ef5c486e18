"""The counters of one process, and those in a real Redis if this machine has one.

Any order of requests gives the same answers as a model that is simple enough to be right by reading it.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.unit.services.limits.calls import TAG, call, take, used
from tollgate.services.limits import script
from tollgate.services.limits.counters import LET_IN, Answer, Call, Counters, Real
from tollgate.services.limits.local_counters import LocalCounters
from tollgate.services.limits.redis_counters import RedisCounters
from tollgate.services.limits.resp import Redis
from tollgate.services.limits.rule import MONEY, PARALLEL, REQUESTS, TOKENS

Test = Callable[[Counters], Awaitable[None]]
ORDERS = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(params=["one process", "Redis"])
def counting(request: pytest.FixtureRequest) -> Callable[[Test], None]:
    """Runs a test with empty counters."""
    address = request.getfixturevalue("address") if request.param == "Redis" else ""

    async def run(test: Test) -> None:
        if not address:
            await test(LocalCounters())
            return
        client = Redis(address)
        await client.command("FLUSHALL")
        try:
            await test(RedisCounters(client))
        finally:
            client.close()

    return lambda test: asyncio.run(run(test))


HOUR, DAY = take(REQUESTS, 2, name="hour"), take(REQUESTS, 3, name="day")
SLOT = take(PARALLEL, 1)


def test_a_limit_lets_as_many_pass_as_it_says(counting: Any) -> None:
    async def test(counters: Counters) -> None:
        assert [await counters.take(call(name, HOUR)) for name in "abc"] == [LET_IN, LET_IN, Answer(0, 2)]

    counting(test)


def test_a_slot_is_free_before_the_rest_is_settled(counting: Any) -> None:
    async def test(counters: Counters) -> None:
        first, second = call("a", HOUR, SLOT), call("b", HOUR, SLOT)
        assert await counters.take(first) == LET_IN
        assert (await counters.take(second)).over == 1
        for _ in range(2):
            await counters.free(first)
        assert await counters.take(second) == LET_IN
        await counters.settle(first, used())
        assert (await counters.take(call("c", SLOT))).over == 0, "the slot of the second one is its own"
        assert (await counters.take(call("d", HOUR))).over == 0, "and both requests count"

    counting(test)


def test_what_one_limit_refuses_counts_for_none(counting: Any) -> None:
    async def test(counters: Counters) -> None:
        assert [(await counters.take(call(f"a{n}", DAY, HOUR))).over for n in range(9)] == [None, None, *[1] * 7]
        assert [(await counters.take(call(f"b{n}", DAY))).over for n in range(2)] == [None, 0]

    counting(test)


def test_a_slot_is_free_again_and_requests_count_unless_refunded(counting: Any) -> None:
    async def test(counters: Counters) -> None:
        first, second = call("a", SLOT, HOUR), call("b", SLOT, HOUR)
        assert await counters.take(first) == LET_IN
        assert await counters.take(second) == Answer(0, 1)
        await counters.settle(first, used())
        assert await counters.take(second) == LET_IN
        await counters.settle(second, used(counts=False))
        assert [(await counters.take(call(name, HOUR))).over for name in "cd"] == [None, 0]

    counting(test)


@pytest.mark.parametrize("counts", [True, False])
def test_settling_twice_changes_nothing(counting: Any, counts: bool) -> None:
    async def test(counters: Counters) -> None:
        money, tokens = take(MONEY, 100, 60), take(TOKENS, 100, 60)
        one = call("a", HOUR, tokens, money)
        assert (await counters.take(one)).unknown == (2,)
        await counters.seed(one, {2: 0})
        assert await counters.take(one) == LET_IN
        for _ in range(3):
            await counters.settle(one, used(5, 7, counts))
        full = call("b", take(REQUESTS, 1, 9, name="hour"))
        assert await counters.take(full) == Answer(0, int(counts))
        assert await counters.take(call("c", take(TOKENS, 1, 1))) == Answer(0, 5)
        assert await counters.take(call("d", take(MONEY, 7, 1))) == Answer(0, 7, 0)

    counting(test)


def test_letting_in_twice_takes_once(counting: Any) -> None:
    """The reply to the first may have been lost."""

    async def test(counters: Counters) -> None:
        assert [await counters.take(call("a", HOUR)) for _ in range(5)] == [LET_IN] * 5
        assert [(await counters.take(call(name, HOUR))).over for name in "bc"] == [None, 0]

    counting(test)


def test_an_estimate_of_tokens_has_to_fit_and_is_replaced(counting: Any) -> None:
    async def test(counters: Counters) -> None:
        first = call("a", take(TOKENS, 100, 60))
        assert await counters.take(first) == LET_IN
        assert await counters.take(call("b", take(TOKENS, 100, 41))) == Answer(0, 60)
        await counters.settle(first, used(tokens=59))
        assert await counters.take(call("b", take(TOKENS, 100, 41))) == LET_IN
        assert await counters.take(call("c", take(TOKENS, 100, 0))) == Answer(0, 100)

    counting(test)


def test_money_that_nobody_knows_is_asked_for_all_at_once(counting: Any) -> None:
    async def test(counters: Counters) -> None:
        day, month = take(MONEY, 50, 10, name="day"), take(MONEY, 500, 10, name="month")
        one = call("a", month, HOUR, day)
        assert await counters.take(one) == Answer(unknown=(0, 2))
        await counters.seed(one, {0: 400, 2: 40})
        await counters.seed(one, {0: 0, 2: 0})  # the second of two that asked at once
        assert await counters.take(one) == LET_IN
        assert await counters.take(call("b", month, HOUR, day)) == Answer(2, 40, 10)
        await counters.seed(one, {2: 45})  # the ledger knows more by now
        await counters.settle(one, used(nano=5))
        assert await counters.take(call("c", day)) == Answer(0, 50, 0)

    counting(test)


def test_one_request_alone_is_never_refused_for_its_reservation(counting: Any) -> None:
    async def test(counters: Counters) -> None:
        large = take(MONEY, 100, 10**15)
        await counters.seed(call("a", large), {0: 99})
        assert await counters.take(call("a", large)) == LET_IN
        assert await counters.take(call("b", take(MONEY, 100, 1))) == Answer(0, 99, 10**15)
        await counters.settle(call("a", large), used(nano=0))
        assert await counters.take(call("b", take(MONEY, 100, 1))) == LET_IN

    counting(test)


def test_what_was_never_let_in_lowers_nothing(counting: Any) -> None:
    async def test(counters: Counters) -> None:
        await counters.settle(call("x", HOUR, take(TOKENS, 100, 60), SLOT), used(counts=False))
        assert [(await counters.take(call(f"a{n}", HOUR))).over for n in range(3)] == [None, None, 0]

    counting(test)


@pytest.mark.parametrize("amount", [10**15 + 1, 9 * 10**17 + 1])
def test_large_amounts_are_exact(counting: Any, amount: int) -> None:
    """A number of Lua is exact only to 2^53."""

    async def test(counters: Counters) -> None:
        one = call("a", take(MONEY, 2 * amount, amount))
        await counters.seed(one, {0: amount - 1})
        await counters.take(one)
        await counters.settle(one, used(nano=2))
        assert await counters.take(call("b", take(MONEY, 1))) == Answer(0, amount + 1, 0)

    counting(test)


def test_a_settlement_that_waited_adds_no_spend_twice(counting: Any) -> None:
    """The ledger had the call before Redis was back, and another process has compared since."""

    async def test(counters: Counters) -> None:
        money, tokens = take(MONEY, 100, 60), take(TOKENS, 100, 60)
        await counters.seed(call("s", money), {0: 10})
        assert await counters.take(call("a", money, tokens, SLOT)) == LET_IN
        await counters.seed(call("s", money), {0: 15})
        await counters.settle(call("a", money, tokens, SLOT), used(7, 5), late=True)
        assert await counters.take(call("b", take(MONEY, 15, 1))) == Answer(0, 15, 0)
        assert await counters.take(call("b", take(TOKENS, 1, 1))) == Answer(0, 7)
        assert await counters.take(call("b", SLOT)) == LET_IN

    counting(test)


def test_twin_a_ledger_that_did_not_have_it_yet_is_asked_again(counting: Any) -> None:
    async def test(counters: Counters) -> None:
        money = take(MONEY, 100, 60)
        await counters.seed(call("s", money), {0: 10})
        for name, ended in (("free", used()), ("paid", used(nano=5))):
            await counters.take(call(name, money))
            await counters.settle(call(name, money), ended, late=True)
            known = call(f"after {name}", take(MONEY, 100, 0))
            assert await counters.take(known) == (Answer(stale=(0,)) if ended.nano else LET_IN)
        await counters.seed(call("s", money), {0: 15})
        assert await counters.take(call("b", take(MONEY, 15, 1))) == Answer(0, 15, 0)

    counting(test)


# ---- any order


@dataclass
class Model:
    """All rules of script.py, as sums over the calls so far."""

    ended: list[tuple[Call, Real]] = field(default_factory=list)
    running: list[Call] = field(default_factory=list)
    seeds: dict[str, int] = field(default_factory=dict)

    def used(self, key: str, kind: str) -> tuple[int, int]:
        takes = [one for call in self.running for one in call.takes if one.key == key]
        reals = [real for call, real in self.ended for one in call.takes if one.key == key]
        held = sum(one.add for one in takes)
        if kind == MONEY:
            return self.seeds[key] + sum(real.nano for real in reals), held
        if kind == TOKENS:
            return held + sum(real.tokens for real in reals), 0
        return held + (sum(real.counts for real in reals) if kind == REQUESTS else 0), 0

    def take(self, call: Call) -> Answer:
        if call in self.running or any(call == ended for ended, _ in self.ended):
            return LET_IN
        unknown = []
        for index, one in enumerate(call.takes):
            kind = one.rule.kind
            if kind == MONEY and one.key not in self.seeds:
                unknown.append(index)
                continue
            counted, reserved = self.used(one.key, kind)
            wanted = 0 if kind == MONEY else max(1, one.add)
            if counted + reserved >= one.limit or counted + reserved + wanted > one.limit:
                return Answer(index, counted, reserved)
        if unknown:
            return Answer(unknown=tuple(unknown))
        self.running.append(call)
        return LET_IN

    def settle(self, call: Call, real: Real) -> None:
        if call in self.running:
            self.running.remove(call)
            self.ended.append((call, real))


TAKES = st.one_of(
    st.builds(lambda limit: take(REQUESTS, limit, 1), st.integers(1, 4)),
    st.builds(lambda limit, add: take(TOKENS, limit, add), st.integers(1, 50), st.integers(0, 30)),
    st.builds(lambda limit: take(PARALLEL, limit, 1), st.integers(1, 3)),
    st.builds(
        lambda limit, add, name: take(MONEY, limit, add, name),
        st.integers(1, 90),
        st.integers(0, 40),
        st.sampled_from("ab"),
    ),
)
REALS = st.builds(used, st.integers(0, 40), st.integers(0, 60), st.booleans())
STEP = st.one_of(
    st.tuples(st.just("take"), st.lists(TAKES, min_size=1, max_size=4, unique_by=lambda one: one.key)),
    st.tuples(st.just("settle"), st.integers(0, 20), REALS),
    st.tuples(st.just("seed"), st.sampled_from("ab"), st.integers(0, 50)),
    st.tuples(st.just("take again"), st.integers(0, 20)),
)


@ORDERS
@given(st.lists(STEP, max_size=25))
def test_any_order_gives_what_the_model_gives(counting: Any, steps: list[Any]) -> None:
    async def test(counters: Counters) -> None:
        model, calls = Model(), [call("0")]
        for step in steps:
            if step[0] == "take":
                calls.append(call(str(len(calls)), *step[1]))
                assert await counters.take(calls[-1]) == model.take(calls[-1])
            elif step[0] == "take again":
                one = calls[step[1] % len(calls)]
                if one in model.running:
                    assert await counters.take(one) == LET_IN
            elif step[0] == "settle":
                one = calls[step[1] % len(calls)]
                if one in model.running or any(one == ended for ended, _ in model.ended):
                    await counters.settle(one, step[2])
                    model.settle(one, step[2])
            elif f"{TAG}{MONEY}:{step[1]}" not in model.seeds:
                await counters.seed(call("s", take(MONEY, 1, 1, step[1])), {0: step[2]})
                model.seeds[f"{TAG}{MONEY}:{step[1]}"] = step[2]

    counting(test)


@ORDERS
@given(
    limit=st.integers(1, 30),
    costs=st.lists(st.integers(0, 20), min_size=1, max_size=40),
    order=st.randoms(use_true_random=False),
    share=st.sampled_from([0, 1, 2]),
)
def test_overspend_is_at_most_the_calls_in_flight(
    counting: Any, limit: int, costs: list[int], order: Any, share: int
) -> None:
    """Reservations cover nothing (0), the cost (1) or more (2). If they cover it, only the last call goes over."""

    async def test(counters: Counters) -> None:
        spent, running, most = 0, [], 0
        names = itertools.count()
        await counters.seed(call("s", take(MONEY, limit)), {0: 0})
        for cost in costs:
            one = call(str(next(names)), take(MONEY, limit, cost * share))
            if await counters.take(one) == LET_IN:
                assert spent < limit
                running.append((one, cost))
                in_flight = sum(amount for _, amount in running)
                most = max(most, cost if share else in_flight)
            while running and order.random() < 0.4:
                ended, amount = running.pop(order.randrange(len(running)))
                await counters.settle(ended, used(nano=amount))
                spent += amount
        for ended, amount in running:
            await counters.settle(ended, used(nano=amount))
            spent += amount
        assert spent < limit + max(most, 1)

    counting(test)


# ---- twins: a script that lacks one rule is noticed

LACKING = {
    "limits": ("> limit then return", "> limit + 1 then return"),
    "running": ("if running >= limit", "if running > limit"),
    "budgets": (">= limit then\n", "> limit then\n"),
    "reservations": ("'HINCRBY', counter, 'r', amount", "'HINCRBY', counter, 'r', 0"),
    "release": ("'HINCRBY', counter, 'r', of_live", "'HINCRBY', counter, 'r', 0"),
    "spend": ("'HINCRBY', counter, 's', always", "'HINCRBY', counter, 's', 0"),
    "estimates": ("'INCRBY', counter, amount) ==", "'INCRBY', counter, 1) =="),
    "refunds": ("'INCRBY', counter, of_live", "'INCRBY', counter, 0"),
    "once": ("if held == 'done' then return 0 end", ""),
    "same": ("if redis.call('EXISTS', record) == 1 then return 0 end", ""),
    "slots": ("redis.call('ZREM', counter, id)", ""),
    "late": ("if not late then\n        redis.call('HINCRBY'", "if true then\n        redis.call('HINCRBY'"),
    "comparing": ("redis.call('HDEL', counter, 't')", ""),
}
EVERY_RULE = (
    test_a_limit_lets_as_many_pass_as_it_says,
    test_a_slot_is_free_again_and_requests_count_unless_refunded,
    test_an_estimate_of_tokens_has_to_fit_and_is_replaced,
    test_money_that_nobody_knows_is_asked_for_all_at_once,
    test_letting_in_twice_takes_once,
    test_one_request_alone_is_never_refused_for_its_reservation,
    test_a_settlement_that_waited_adds_no_spend_twice,
    test_twin_a_ledger_that_did_not_have_it_yet_is_asked_again,
)


@pytest.mark.parametrize("lacking", LACKING)
@pytest.mark.parametrize("counting", ["Redis"], indirect=True)
def test_twin_a_script_without_one_rule_is_noticed(
    counting: Any, lacking: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = LACKING[lacking]
    assert old in script.ADMIT + script.SETTLE
    monkeypatch.setattr(script, "ADMIT", script.ADMIT.replace(old, new))
    monkeypatch.setattr(script, "SETTLE", script.SETTLE.replace(old, new))
    with pytest.raises(AssertionError):
        for test in EVERY_RULE:
            test(counting)
        test_settling_twice_changes_nothing(counting, True)
