"""A replica and a gateway process at one set of counters, in this process or in a real Redis: nothing counts twice."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.unit.services.limits.test_counting import counting  # noqa: F401  fixture
from tollgate.services.hooks.admission import Admission, Asked
from tollgate.services.hooks.held import Held
from tollgate.services.hooks.ongoing import Ongoing
from tollgate.services.limits.counters import Counters
from tollgate.services.limits.limiter import Limiter
from tollgate.services.limits.outcome import Admitted, Refused
from tollgate.services.limits.rule import NANO
from tollgate.services.limits.rules import rules_of
from tollgate.services.limits.spent import Question
from tollgate.services.limits.ticket import sign

SECRET, KEY = "secret-0123456789", "ab" * 32
COST = {"paid": NANO // 4, "dear": NANO // 2, "free": 0}


async def nothing_spent(questions: Sequence[Question]) -> list[int | None]:
    return [0 for _ in questions]


def asked(model: str = "paid", tokens: int = 10, **limits: Any) -> Asked:
    rules = rules_of({"team_id": "acme", "metadata": {"limits": limits}}, {"token": KEY})
    return Asked(KEY, "lead@example.org", rules, model, tokens, lambda name: (name, COST[name]))


class Both:
    """A gateway process and a replica. `ongoing` is the last request of the replica."""

    def __init__(self, counters: Counters) -> None:
        self.gateway, self.replica = (Limiter(counters, nothing_spent) for _ in range(2))
        self.admission = Admission(self.replica, SECRET)
        self.numbers = iter(range(1000))

    async def at_gateway(self, what: Asked) -> Admitted | Refused:
        model, nano = what.cost(what.model)
        name = f"call-{next(self.numbers)}"
        return await self.gateway.admit(what.rules, name, model, what.tokens, nano, datetime.now(UTC))

    async def at_replica(self, what: Asked, ticket: str = "") -> Ongoing:
        ongoing = Ongoing(ticket=ticket)
        ongoing.refusal = await self.admission.admit(ongoing, what)
        return ongoing

    async def handed_over(self, what: Asked) -> tuple[Admitted, str]:
        """A request that the gateway process has let in, and its ticket."""
        admitted = await self.at_gateway(what)
        assert isinstance(admitted, Admitted)
        call = await self.gateway.hand_on(admitted)
        assert call is not None
        return admitted, sign(SECRET, call, KEY, what.model, time.time())

    async def left(self, what: Asked) -> int:
        """How many more requests pass, on both routes in turn."""
        passed = 0
        while passed < 100:
            at_replica = (await self.at_replica(what)).refusal is None
            if not at_replica and isinstance(await self.at_gateway(what), Refused):
                return passed
            passed += 1
        return passed


Test = Callable[[Both], Awaitable[None]]


@pytest.fixture
def both(counting: Any) -> Callable[[Test], None]:  # noqa: F811
    async def run(counters: Counters, test: Test) -> None:
        together = Both(counters)
        try:
            await test(together)
        finally:
            await together.gateway.close()
            await together.replica.close()

    return lambda test: counting(lambda counters: run(counters, test))


def test_both_routes_take_from_one_counter(both: Any) -> None:
    async def test(them: Both) -> None:
        assert await them.left(asked(requests_per_hour=7)) == 7
        assert await them.left(asked(tokens_per_minute=100)) == 10
        assert await them.left(asked(max_parallel_requests=3)) == 3
        assert await them.left(asked(daily_limit=1)) == 4

    both(test)


def test_twin_another_tenant_has_counters_of_its_own(both: Any) -> None:
    async def test(them: Both) -> None:
        assert await them.left(asked(requests_per_hour=7)) == 7
        rules = rules_of({"team_id": "other", "metadata": {"limits": {"requests_per_hour": 7}}}, None)
        assert await them.left(Asked(KEY, "", rules, "paid", 1, lambda name: (name, 0))) == 7

    both(test)


LIMITS = {"requests_per_hour": 5, "tokens_per_minute": 1000, "max_parallel_requests": 2, "daily_limit": 1}


def test_a_request_that_is_handed_over_counts_once(both: Any) -> None:
    async def test(them: Both) -> None:
        what = asked(**LIMITS)
        admitted, ticket = await them.handed_over(what)
        ongoing = await them.at_replica(what, ticket)
        assert ongoing.taken_over and ongoing.held is not None
        them.gateway.forget(admitted)
        await ongoing.answered()
        await ongoing.held.booked(600, NANO // 10)
        # The gateway process settles nothing any more, and neither does a second end.
        await them.gateway.settle(admitted, 0, 0, False)
        await ongoing.refused(counts=False)
        assert await them.left(asked(requests_per_hour=5)) == 4
        assert await them.left(asked(tokens_per_minute=1000, tokens=100)) == 4
        assert await them.left(asked(daily_limit=1)) == 4, "a tenth is spent and nothing reserved"
        assert await them.left(asked(max_parallel_requests=2)) == 2

    both(test)


@pytest.mark.parametrize("forged", ["", "x.y", "e30=.00"])
def test_twin_with_a_forged_ticket_it_counts_at_the_replica(both: Any, forged: str) -> None:
    async def test(them: Both) -> None:
        what = asked(**LIMITS)
        ongoing = await them.at_replica(what, forged)
        assert ongoing.held is not None and not ongoing.taken_over
        assert await them.left(asked(requests_per_hour=5)) == 4

    both(test)


def test_a_ticket_for_another_model_or_key_counts_at_the_replica(both: Any) -> None:
    async def test(them: Both) -> None:
        what = asked(requests_per_hour=5)
        _, ticket = await them.handed_over(what)
        assert not (await them.at_replica(asked("free", requests_per_hour=5), ticket)).taken_over
        assert await them.left(what) == 3

    both(test)


def test_what_no_replica_took_over_is_given_back(both: Any) -> None:
    async def test(them: Both) -> None:
        admitted, _ = await them.handed_over(asked(**LIMITS))
        await them.gateway.settle(admitted, 0, 0, False)
        assert await them.left(asked(requests_per_hour=5)) == 5
        assert await them.left(asked(daily_limit=1)) == 4

    both(test)


@pytest.mark.parametrize(("counts", "left"), [(False, 5), (True, 4)])
def test_a_request_that_failed_at_a_provider_counts_and_another_does_not(both: Any, counts: bool, left: int) -> None:
    async def test(them: Both) -> None:
        what = asked(**LIMITS)
        admitted, ticket = await them.handed_over(what)
        ongoing = await them.at_replica(what, ticket)
        them.gateway.forget(admitted)
        await ongoing.refused(counts)
        await ongoing.answered()
        assert await them.left(asked(requests_per_hour=5)) == left
        assert await them.left(asked(daily_limit=1)) == 4, "and neither costs anything"

    both(test)


def test_a_slot_is_free_when_the_client_has_its_answer(both: Any) -> None:
    async def test(them: Both) -> None:
        what = asked(max_parallel_requests=1, requests_per_hour=9)
        first = await them.at_replica(what)
        assert (await them.at_replica(what)).refusal is not None
        await first.answered()
        assert (await them.at_replica(what)).refusal is None, "LiteLLM has not booked the first one yet"

    both(test)


def test_an_answer_that_is_never_booked_keeps_its_estimate(both: Any) -> None:
    async def test(them: Both) -> None:
        what = asked(tokens=300, tokens_per_minute=1000, daily_limit=1)
        ongoing = await them.at_replica(what)
        assert ongoing.held is not None
        ongoing.held.booked_within = 0.0
        await ongoing.answered()
        async with asyncio.timeout(10):
            while not ongoing.held.admitted.settled:
                await asyncio.sleep(0.01)
        await ongoing.held.booked(999, NANO)
        assert await them.left(asked(tokens=350, tokens_per_minute=1000)) == 2
        assert await them.left(asked(daily_limit=1)) == 4

    both(test)


def test_a_spent_tenant_keeps_its_free_models_and_gets_no_paid_fallback(both: Any) -> None:
    async def test(them: Both) -> None:
        spend = await them.at_replica(asked("dear", daily_limit=1))
        assert spend.held is not None
        await spend.held.booked(1, NANO)
        refused = (await them.at_replica(asked("paid", daily_limit=1))).refusal
        assert refused is not None and (refused.status, refused.kind) == (429, "billing_error")
        assert "ask lead@example.org" in refused.message
        free = await them.at_replica(asked("free", daily_limit=1))
        assert free.refusal is None and free.may_pay is not None
        assert not await free.may_pay("paid")
        assert await free.may_pay("free")

    both(test)


def test_twin_with_money_left_the_fallback_may_be_paid_and_is_settled(both: Any) -> None:
    async def test(them: Both) -> None:
        free = await them.at_replica(asked("free", daily_limit=1))
        assert free.may_pay is not None and free.held is not None
        assert await free.may_pay("dear")
        await free.held.booked(1, NANO // 2)
        assert await them.left(asked(daily_limit=1)) == 2

    both(test)


def test_a_fallback_before_the_hand_over_is_no_part_of_the_ticket(both: Any) -> None:
    """The gateway process asked the budgets for a fallback that did not answer; then LiteLLM answers."""

    async def test(them: Both) -> None:
        what = asked("paid", daily_limit=1)
        admitted = await them.at_gateway(what)
        assert isinstance(admitted, Admitted)
        more = await them.gateway.admit_money(admitted, what.rules, "dear", COST["dear"], datetime.now(UTC))
        assert isinstance(more, Admitted) and len(admitted.calls) == 2
        call = await them.gateway.hand_on(admitted)
        assert call is not None
        ongoing = await them.at_replica(what, sign(SECRET, call, KEY, "paid", time.time()))
        assert isinstance(ongoing.held, Held) and ongoing.taken_over
        them.gateway.forget(admitted)
        await ongoing.held.booked(1, 0)
        assert await them.left(what) == 4

    both(test)


def test_what_only_one_process_has_counted_is_not_handed_on(both: Any) -> None:
    async def test(them: Both) -> None:
        admitted = await them.at_gateway(asked())  # no limits: nothing was taken
        assert isinstance(admitted, Admitted)
        assert await them.gateway.hand_on(admitted) is None

    both(test)
