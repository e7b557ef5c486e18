"""A ledger that hangs: requests continue after a timeout, one at a time retries, and an answer ends the pause."""

from __future__ import annotations

import asyncio

from tollgate.services.replica.ledger_wait import Bounded


class Ledger:
    """If `spend` is None, it hangs like a frozen Postgres."""

    def __init__(self, spend: float | None) -> None:
        self.spend, self.asked, self.now = spend, 0, 100.0

    async def __call__(self, *, entity: str) -> float | None:
        self.asked += 1
        if self.spend is None:
            await asyncio.Event().wait()
        return self.spend

    def bounded(self) -> Bounded:
        return Bounded(self, deadline=0.05, rest=5.0, clock=lambda: self.now)


def test_a_ledger_that_answers_is_queried_each_time() -> None:
    ledger = Ledger(1.5)

    async def go() -> list[float | None]:
        bounded = ledger.bounded()
        return [await bounded(entity="one"), await bounded(entity="two")]

    assert asyncio.run(go()) == [1.5, 1.5]
    assert ledger.asked == 2


def test_a_ledger_that_hangs_is_retried_by_one_request_at_a_time() -> None:
    ledger = Ledger(None)

    async def go() -> None:
        bounded = ledger.bounded()
        assert await bounded(entity="first") is None
        assert await bounded(entity="resting") is None
        assert ledger.asked == 1
        ledger.now += 5.1
        assert await asyncio.gather(*(bounded(entity="later") for _ in range(10))) == [None] * 10
        assert ledger.asked == 2

    asyncio.run(go())


def test_the_first_answer_ends_the_pause() -> None:
    ledger = Ledger(None)

    async def go() -> None:
        bounded = ledger.bounded()
        await bounded(entity="one")
        ledger.spend, ledger.now = 2.5, ledger.now + 5.1
        assert [await bounded(entity="back"), await bounded(entity="again")] == [2.5, 2.5]

    asyncio.run(go())
    assert ledger.asked == 3


def test_after_none_the_ledger_pauses_too() -> None:
    """LiteLLM's look-up returns None if the database fails, after its own five seconds."""

    async def refused(*, entity: str) -> None:
        asked.append(entity)

    asked: list[str] = []

    async def go() -> None:
        bounded = Bounded(refused)
        assert [await bounded(entity="one"), await bounded(entity="two")] == [None, None]

    asyncio.run(go())
    assert asked == ["one"]
