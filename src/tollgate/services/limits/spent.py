"""Asks the ledger for the spend, for counters of money that nobody has seeded or that may lag behind it.

Requests that ask for the same counter at the same time wait for one question. A ledger that fails or does not answer is
not asked again for AWAY_S.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from tollgate.services.limits.clock import Now
from tollgate.services.limits.counters import Take
from tollgate.services.limits.rule import Holder

log = logging.getLogger("tollgate.limits")

TIMEOUT_S = 3.0
# A counter of Redis holds twice as much, in nano-dollars.
MOST = 4 * 10**18
AWAY_S = 5.0


class Question(NamedTuple):
    """The spend of `holder` on `model` (on all models if it is empty) of the calls that began from `start` until `end`.

    `start` is the window's, or the tenant's creation if that is later.
    """

    holder: Holder
    model: str
    start: datetime
    end: datetime


# Answers in nano-dollars, in the order of the questions; None for an amount that it does not know.
Ledger = Callable[[Sequence[Question]], Awaitable[Sequence[int | None]]]


class Spent:
    def __init__(self, ledger: Ledger, *, timeout: float = TIMEOUT_S, away: float = AWAY_S) -> None:
        self._ledger = ledger
        self._timeout = timeout
        self._away_s = away
        self._ask_again_at = 0.0
        self._asking: dict[str, asyncio.Task[Mapping[str, int]]] = {}

    async def ask(self, takes: Sequence[Take], windows: Mapping[str, Now]) -> dict[str, int]:
        """The spend by counter, as far as the ledger knows it."""
        if new := [take for take in takes if take.key not in self._asking]:
            task = asyncio.create_task(self._answers({take.key: _question(take, windows) for take in new}))
            self._asking.update((take.key, task) for take in new)
        amounts: dict[str, int] = {}
        for key, task in {take.key: self._asking[take.key] for take in takes}.items():
            known = await asyncio.shield(task)
            if key in known:
                amounts[key] = known[key]
        return amounts

    async def _answers(self, questions: Mapping[str, Question]) -> Mapping[str, int]:
        try:
            if time.monotonic() < self._ask_again_at:
                return {}
            amounts = await asyncio.wait_for(self._ledger(list(questions.values())), self._timeout)
            answers = zip(questions, amounts, strict=True)
            return {key: min(max(0, amount), MOST) for key, amount in answers if amount is not None}
        except Exception as error:  # noqa: BLE001  a ledger that fails must not stop a request, however it fails
            self._ask_again_at = time.monotonic() + self._away_s
            log.warning("the ledger cannot be asked, so new budgets are not held: %s", type(error).__name__)
            return {}
        finally:
            for key in questions:
                self._asking.pop(key, None)


def _question(take: Take, windows: Mapping[str, Now]) -> Question:
    rule, inside = take.rule, windows[take.rule.window].window
    assert inside is not None, "money always has a window"  # noqa: S101
    start = max(inside.start, rule.holder.created) if rule.holder.created else inside.start
    return Question(rule.holder, rule.model, start, inside.end)
