"""Admission as a whole: which rules are asked, seeding from the ledger, fallbacks to another model, settling."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tollgate.services.limits.counters import AwayError, Call, FullError
from tollgate.services.limits.limiter import (
    MOST,
    REACHED,
    RESERVED,
    TOO_LARGE,
    UNCOUNTED,
    Admitted,
    Limiter,
    Refused,
)
from tollgate.services.limits.local_counters import LocalCounters
from tollgate.services.limits.rule import MONEY, NANO, REQUESTS, TOKENS
from tollgate.services.limits.rules import rules_of
from tollgate.services.limits.spent import Question

NOW = datetime(2026, 11, 21, 13, 26, tzinfo=UTC)


class Ledger:
    def __init__(self) -> None:
        self.spent: dict[tuple[str, str], int | None] = {}
        self.asked: list[Question] = []

    async def __call__(self, questions: Sequence[Question]) -> list[int | None]:
        self.asked += questions
        return [self.spent.get((one.holder.kind, one.model), 0) for one in questions]


class Shared(LocalCounters):
    away = full = False
    stale: tuple[int, ...] = ()

    async def take(self, call: Call) -> Any:
        self._check()
        answer = await super().take(call)
        return answer._replace(stale=self.stale) if answer.over is None and not answer.unknown else answer

    async def seed(self, call: Call, spent: Mapping[int, int]) -> None:
        self._check()
        await super().seed(call, spent)

    def _check(self) -> None:
        if self.away:
            raise AwayError("TimeoutError")
        if self.full:
            raise FullError("OOM")


Test = Callable[[Limiter, Shared, Ledger], Awaitable[None]]


def with_limiter(test: Test) -> None:
    async def run() -> None:
        shared, ledger = Shared(), Ledger()
        limiter = Limiter(shared, ledger, away=0.0)
        await test(limiter, shared, ledger)
        await limiter.close()

    asyncio.run(run())


def limits(**limits: Any) -> Any:
    return rules_of({"team_id": "acme", "metadata": {"limits": limits}}, {"token": "ab"})


DAILY = limits(daily_limit=1)
EVERY = limits(requests_per_minute=5, tokens_per_minute=1000, max_parallel_requests=5, daily_limit=1)


async def let_in(limiter: Limiter, rules: Any, name: str, tokens: int = 10, nano: int = 0, **more: Any) -> Admitted:
    outcome = await limiter.admit(rules, name, more.get("model", "m"), tokens, nano, more.get("now", NOW))
    assert isinstance(outcome, Admitted), outcome
    return outcome


async def refused(limiter: Limiter, rules: Any, name: str, tokens: int = 10, nano: int = 0, **more: Any) -> Refused:
    outcome = await limiter.admit(rules, name, more.get("model", "m"), tokens, nano, more.get("now", NOW))
    assert isinstance(outcome, Refused)
    return outcome


def test_no_rules_need_no_counters() -> None:
    async def test(limiter: Limiter, shared: Shared, ledger: Ledger) -> None:
        shared.away = True
        admitted = await let_in(limiter, (), "a", 10, 10)
        await limiter.settle(admitted, 1, 1, True)
        assert limiter.figures.redis_away == 0

    with_limiter(test)


def test_what_a_request_used_replaces_what_it_reserved() -> None:
    async def test(limiter: Limiter, shared: Shared, ledger: Ledger) -> None:
        admitted = await let_in(limiter, EVERY, "a", 600, NANO)
        assert (await refused(limiter, EVERY, "b", 600, 1)).why == RESERVED
        tokens = await refused(limiter, EVERY, "b", 600, 0)
        assert (tokens.rule.kind, tokens.why, tokens.used, tokens.wanted) == (TOKENS, REACHED, 600, 600)
        await limiter.settle(admitted, 50, NANO // 2, True)
        second = await let_in(limiter, EVERY, "b", 600, NANO)
        await limiter.settle(second, 50, NANO // 2, True)
        spent = await refused(limiter, EVERY, "c", 600, 1)
        assert (spent.rule.kind, spent.why, spent.used, spent.reserved) == (MONEY, REACHED, NANO, 0)

    with_limiter(test)


def test_settling_twice_changes_nothing_and_no_figure_is_absurd() -> None:
    async def test(limiter: Limiter, shared: Shared, ledger: Ledger) -> None:
        admitted = await let_in(limiter, DAILY, "a", -5, 10**30)
        for nano in (-7, 10**30):
            await limiter.settle(admitted, 10**30, nano, True)
        assert (await let_in(limiter, DAILY, "b", 10, 1)).reserved(admitted.calls[0].takes[0].key) == 1
        again = await let_in(limiter, DAILY, "c", 10, 1)
        await limiter.settle(again, 10, 10**30, True)
        assert (await refused(limiter, DAILY, "d", 10, 1)).used == MOST

    with_limiter(test)


def test_a_request_that_counts_for_nothing_is_given_back() -> None:
    async def test(limiter: Limiter, shared: Shared, ledger: Ledger) -> None:
        one = limits(requests_per_day=1)
        await limiter.settle(await let_in(limiter, one, "a"), 0, 0, False)
        await limiter.settle(await let_in(limiter, one, "b"), 0, 0, True)
        assert (await refused(limiter, one, "c")).rule.kind == REQUESTS

    with_limiter(test)


def test_a_request_larger_than_the_minute_is_refused_at_once() -> None:
    async def test(limiter: Limiter, shared: Shared, ledger: Ledger) -> None:
        shared.away = True
        outcome = await refused(limiter, EVERY, "a", 1001, 1)
        assert (outcome.why, outcome.wanted, outcome.rule.kind) == (TOO_LARGE, 1001, TOKENS)
        assert limiter.figures.redis_away == 0

    with_limiter(test)


def test_twin_a_request_as_large_as_the_minute_passes() -> None:
    async def test(limiter: Limiter, shared: Shared, ledger: Ledger) -> None:
        await let_in(limiter, EVERY, "a", 1000, 1)

    with_limiter(test)


def test_the_next_window_is_empty() -> None:
    async def test(limiter: Limiter, shared: Shared, ledger: Ledger) -> None:
        one = limits(requests_per_minute=1, daily_limit=1)
        await limiter.settle(await let_in(limiter, one, "a", nano=1), 10, NANO, True)
        assert (await refused(limiter, one, "b", nano=1)).rule.kind == MONEY
        assert (await refused(limiter, one, "b", now=NOW + timedelta(seconds=59))).rule.window == "minute"
        await let_in(limiter, one, "b", now=NOW + timedelta(seconds=60))
        await let_in(limiter, one, "c", nano=1, now=NOW + timedelta(days=1))

    with_limiter(test)


# ---- seeding


def test_money_begins_with_what_the_ledger_has() -> None:
    async def test(limiter: Limiter, shared: Shared, ledger: Ledger) -> None:
        rules = limits(monthly_limit=5, per_model={"m": {"1d": 1}, "other": {"1d": 1}})
        ledger.spent = {("tenant", ""): 2 * NANO, ("tenant", "m"): NANO}
        outcome = await refused(limiter, rules, "a", nano=1)
        assert (outcome.rule.model, outcome.used) == ("m", NANO)
        assert [(one.model, one.start.day) for one in ledger.asked] == [("", 1), ("m", 21)]
        await let_in(limiter, rules, "b", nano=1, model="another")

    with_limiter(test)


def test_a_budget_that_nobody_knows_is_not_held_and_counted_as_such() -> None:
    async def test(limiter: Limiter, shared: Shared, ledger: Ledger) -> None:
        ledger.spent = {("tenant", ""): None}
        rules = limits(daily_limit=1, requests_per_day=1)
        admitted = await let_in(limiter, rules, "a", nano=NANO)
        await limiter.settle(admitted, 10, NANO, True)
        assert limiter.figures.money_unheld == 1
        assert (await refused(limiter, rules, "b", nano=1)).rule.kind == REQUESTS
        await let_in(limiter, limits(daily_limit=1), "c", nano=1)

    with_limiter(test)


def test_while_redis_is_away_money_comes_from_the_ledger() -> None:
    async def test(limiter: Limiter, shared: Shared, ledger: Ledger) -> None:
        await let_in(limiter, DAILY, "a", nano=1)
        shared.away = True
        ledger.spent = {("tenant", ""): NANO}
        assert (await refused(limiter, DAILY, "b", nano=1)).used == NANO

    with_limiter(test)


def test_a_redis_that_is_back_between_two_questions_counts_the_request() -> None:
    async def test(limiter: Limiter, shared: Shared, ledger: Ledger) -> None:
        async def answer(questions: Sequence[Question]) -> list[int | None]:
            shared.away = False
            return [0 for _ in questions]

        shared.away = True
        limiter._spent._ledger = answer
        admitted = await let_in(limiter, DAILY, "a", nano=7)
        assert limiter.figures.redis_away == 0
        while limiter._counters._owed:
            await asyncio.sleep(0)
        money = next(iter(shared.money.values()))
        assert (money.spent, money.reserved) == (0, 7)
        await limiter.settle(admitted, 10, 5, True)
        assert (money.spent, money.reserved) == (5, 0)

    with_limiter(test)


def test_counters_that_are_always_unknown_are_given_up() -> None:
    async def test(limiter: Limiter, shared: Shared, ledger: Ledger) -> None:
        async def forget(call: Call, spent: Mapping[int, int]) -> None:
            """A Redis that is flushed after each seed"""

        shared.seed = forget  # type: ignore[method-assign]
        await let_in(limiter, EVERY, "a", nano=1)
        assert limiter.figures.money_unheld == 1

    with_limiter(test)


def test_a_counter_that_lags_behind_the_ledger_is_raised() -> None:
    async def test(limiter: Limiter, shared: Shared, ledger: Ledger) -> None:
        first = await let_in(limiter, DAILY, "a", nano=1)
        money = shared.money[first.calls[0].takes[0].key]
        shared.stale, ledger.spent = (0,), {("tenant", ""): 7}
        await let_in(limiter, DAILY, "b", nano=1)
        while money.spent != 7:
            await asyncio.sleep(0)
        ledger.spent = {("tenant", ""): None}
        await let_in(limiter, DAILY, "c", nano=1)
        await asyncio.gather(*limiter._comparing)
        assert money.spent == 7
        await let_in(limiter, DAILY, "d", nano=1)
        assert limiter._comparing

    with_limiter(test)


# ---- Redis is full


def test_a_full_redis_refuses_what_costs_money_and_counts_the_rest_alone() -> None:
    async def test(limiter: Limiter, shared: Shared, ledger: Ledger) -> None:
        shared.full = True
        rules = limits(daily_limit=1, requests_per_day=1)
        outcome = await refused(limiter, rules, "a", nano=1)
        assert (outcome.why, outcome.rule.kind) == (UNCOUNTED, MONEY)
        await let_in(limiter, rules, "b", nano=0)
        assert (await refused(limiter, rules, "c", nano=0)).rule.kind == REQUESTS
        assert (limiter.figures.redis_full, limiter.figures.redis_away) == (3, 0)

    with_limiter(test)


# ---- the model that bills


def test_a_spent_tenant_keeps_free_models() -> None:
    async def test(limiter: Limiter, shared: Shared, ledger: Ledger) -> None:
        ledger.spent = {("tenant", ""): NANO}
        assert (await refused(limiter, DAILY, "a", nano=1)).rule.kind == MONEY
        await let_in(limiter, DAILY, "b", nano=0)

    with_limiter(test)


def test_a_paid_fallback_of_a_free_model_is_refused_without_money() -> None:
    async def test(limiter: Limiter, shared: Shared, ledger: Ledger) -> None:
        ledger.spent = {("tenant", ""): NANO}
        admitted = await let_in(limiter, EVERY, "a", nano=0)
        outcome = await limiter.admit_money(admitted, EVERY, "paid", 5, NOW)
        assert isinstance(outcome, Refused)
        assert (outcome.rule.kind, outcome.used) == (MONEY, NANO)
        await limiter.settle(admitted, 10, 0, True)

    with_limiter(test)


def test_a_fallback_takes_no_request_again_and_bills_its_own_model() -> None:
    async def test(limiter: Limiter, shared: Shared, ledger: Ledger) -> None:
        per_model = {"m": {"1d": 1}, "paid": {"1d": 1}}
        rules = limits(requests_per_day=1, tokens_per_minute=100, daily_limit=9, per_model=per_model)
        admitted = await let_in(limiter, rules, "a", 50, NANO // 2)
        assert await limiter.admit_money(admitted, rules, "paid", NANO, NOW, spent=3) is admitted
        await limiter.settle(admitted, 70, NANO, True)
        assert sum(money.reserved for money in shared.money.values()) == 0
        assert sorted(money.spent for money in shared.money.values()) == [3, NANO, NANO + 3]
        assert sorted(shared.numbers.values()) == [1, 70]
        spent = await refused(limiter, limits(daily_limit=9, per_model=per_model), "b", nano=1, model="paid")
        assert spent.rule.model == "paid"

    with_limiter(test)


def test_a_fallback_is_not_refused_for_what_the_request_reserved_itself() -> None:
    async def test(limiter: Limiter, shared: Shared, ledger: Ledger) -> None:
        admitted = await let_in(limiter, DAILY, "a", nano=5 * NANO)
        assert await limiter.admit_money(admitted, DAILY, "paid", 7 * NANO, NOW) is admitted
        assert next(iter(shared.money.values())).reserved == 7 * NANO
        assert (await refused(limiter, DAILY, "b", nano=1)).why == RESERVED
        await limiter.settle(admitted, 10, 5, True)
        assert next(iter(shared.money.values())).spent == 5

    with_limiter(test)


def test_a_free_fallback_costs_only_what_came_before() -> None:
    async def test(limiter: Limiter, shared: Shared, ledger: Ledger) -> None:
        admitted = await let_in(limiter, DAILY, "a", nano=5)
        assert await limiter.admit_money(admitted, DAILY, "free", 0, NOW, spent=3) is admitted
        await limiter.settle(admitted, 10, 0, True)
        assert next(iter(shared.money.values())).spent == 3
        nothing = await let_in(limiter, (), "b")
        assert await limiter.admit_money(nothing, (), "free", 5, NOW, spent=3) is nothing

    with_limiter(test)


def test_the_cost_of_a_fallback_is_not_billed_to_the_model_before() -> None:
    async def test(limiter: Limiter, shared: Shared, ledger: Ledger) -> None:
        rules = limits(per_model={"m": {"1d": 1}})
        admitted = await let_in(limiter, rules, "a", nano=5)
        assert await limiter.admit_money(admitted, rules, "without a budget", 7, NOW, spent=3) is admitted
        await limiter.settle(admitted, 10, 7, True)
        assert [(money.spent, money.reserved) for money in shared.money.values()] == [(3, 0)]

    with_limiter(test)


@pytest.mark.parametrize("leave_after", range(3))
def test_a_client_that_leaves_during_a_settlement_of_two_models(leave_after: int) -> None:
    async def test(limiter: Limiter, shared: Shared, ledger: Ledger) -> None:
        admitted = await let_in(limiter, EVERY, "a", nano=5)
        await limiter.admit_money(admitted, EVERY, "paid", 7, NOW)
        leaving = asyncio.create_task(limiter.settle(admitted, 10, 6, True))
        for _ in range(leave_after):
            await asyncio.sleep(0)
        leaving.cancel()
        await asyncio.gather(leaving, return_exceptions=True)
        if leave_after:  # else it did not even begin
            money = next(iter(shared.money.values()))
            for _ in range(9):
                await asyncio.sleep(0)
            assert (money.spent, money.reserved) == (6, 0)

    with_limiter(test)
