"""Asking the ledger: once for all who wait, and not for a while after it failed."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.unit.services.limits.calls import take
from tollgate.services.limits.clock import Clock
from tollgate.services.limits.rule import MONEY, TENANT, Holder, Rule
from tollgate.services.limits.spent import Question, Spent

NOW = datetime(2026, 11, 21, 13, 26, tzinfo=UTC)
WINDOWS = Clock().at(NOW)
FIRST, SECOND = take(MONEY, 1, name="first"), take(MONEY, 1, name="second")


class Ledger:
    def __init__(self, *amounts: int | None) -> None:
        self.amounts = amounts
        self.asked: list[Sequence[Question]] = []
        self.error: Exception | None = None
        self.wait: asyncio.Event | None = None

    async def __call__(self, questions: Sequence[Question]) -> Sequence[int | None]:
        self.asked.append(questions)
        if self.wait is not None:
            await self.wait.wait()
        if self.error:
            raise self.error
        return self.amounts


def test_what_the_ledger_knows_by_counter() -> None:
    async def run() -> None:
        assert await Spent(Ledger(5, None)).ask([FIRST, SECOND], WINDOWS) == {FIRST.key: 5}
        assert await Spent(Ledger(-5, 0)).ask([FIRST, SECOND], WINDOWS) == {FIRST.key: 0, SECOND.key: 0}

    asyncio.run(run())


def test_those_who_ask_at_once_share_one_question() -> None:
    async def run() -> None:
        ledger = Ledger(5)
        ledger.wait = asyncio.Event()
        spent = Spent(ledger)
        asking = [asyncio.create_task(spent.ask([FIRST], WINDOWS)) for _ in range(9)]
        both = asyncio.create_task(spent.ask([FIRST, SECOND], WINDOWS))
        await asyncio.sleep(0)
        asking[0].cancel()
        await asyncio.sleep(0)
        ledger.wait.set()
        assert await asyncio.gather(*asking[1:]) == [{FIRST.key: 5}] * 8
        assert await both == {FIRST.key: 5, SECOND.key: 5}
        assert len(ledger.asked) == 2
        assert await spent.ask([FIRST], WINDOWS) == {FIRST.key: 5}
        assert len(ledger.asked) == 3

    asyncio.run(run())


@pytest.mark.parametrize("failure", ["error", "slow", "too few answers"])
def test_a_ledger_that_fails_is_not_asked_again_at_once(failure: str, caplog: pytest.LogCaptureFixture) -> None:
    async def run() -> None:
        ledger = Ledger(*([] if failure == "too few answers" else [5]))
        ledger.error = RuntimeError("secret") if failure == "error" else None
        ledger.wait = asyncio.Event() if failure == "slow" else None
        spent = Spent(ledger, timeout=0.01)
        for _ in range(3):
            assert await spent.ask([FIRST], WINDOWS) == {}
        assert len(ledger.asked) == 1
        spent._ask_again_at = 0.0
        ledger.error = ledger.wait = None
        ledger.amounts = (7,)
        assert await spent.ask([FIRST], WINDOWS) == {FIRST.key: 7}

    asyncio.run(run())
    assert caplog.text.count("the ledger cannot be asked") == 1
    assert "secret" not in caplog.text


def question(created: datetime | None, window: str = "month") -> Question:
    rule = Rule(Holder(TENANT, "acme", "acme", created=created), MONEY, 1, window, "opus")
    ledger = Ledger(1)
    asyncio.run(Spent(ledger).ask([take(MONEY, 1)._replace(rule=rule)], WINDOWS))
    return ledger.asked[0][0]


def test_a_question_names_holder_model_and_window() -> None:
    asked = question(None, "day")
    assert (asked.holder.name, asked.model) == ("acme", "opus")
    assert (asked.start, asked.end) == (datetime(2026, 11, 21, tzinfo=UTC), datetime(2026, 11, 22, tzinfo=UTC))


@pytest.mark.parametrize("window", ["day", "month"])
def test_what_a_deleted_tenant_of_that_name_spent_does_not_count(window: str) -> None:
    created = datetime(2026, 11, 21, 12, tzinfo=UTC)
    assert question(created, window).start == created


def test_twin_an_older_tenant_counts_from_the_windows_start() -> None:
    old: Any = datetime(2026, 1, 1, tzinfo=UTC)
    assert question(old, "month").start == datetime(2026, 11, 1, tzinfo=UTC)
