"""The counters in Redis, or those of this process while Redis is away; and the leases of what runs in this process.

After a failure no request asks Redis for AWAY_S. Then one request tries it, while all others go on without it. A call
is settled at the counters that it took from. If these are in Redis and Redis is away, the settlement waits (`_owed`)
and is sent when Redis is back. A settlement may arrive twice, so nothing is lost or counted double. A settlement that
waited adds no spend, because another process may have read that from the ledger meanwhile: the next request compares.

If Redis is away for longer than a lease, the calls that were running lose their slots there, and a tenant can have that
many more requests running at once until they end. Their reservations on money end too; their cost still counts.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Awaitable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import NamedTuple

from tollgate.services.limits.counters import Answer, AwayError, Call, Counters, FullError, Real, Take, Used
from tollgate.services.limits.figures import Figures
from tollgate.services.limits.local_counters import LocalCounters
from tollgate.services.limits.under_way import Reply, UnderWay

log = logging.getLogger("tollgate.limits")

RENEW_S = 10.0
AWAY_S = 5.0
# The most settlements that wait for Redis. With more, the oldest are dropped; the ledger has what they cost.
MOST_OWED = 10_000
NOTHING = Real(0, 0, False)


class _Held(NamedTuple):
    """A running call, and the counters that it took from."""

    counters: Counters
    call: Call


class SharedCounters:
    """`take` and `seed` raise FullError; Redis being away is handled here."""

    def __init__(
        self, shared: Counters, figures: Figures, *, renew_every: float = RENEW_S, away: float = AWAY_S
    ) -> None:
        self._shared = shared
        self._local = LocalCounters()
        self._figures = figures
        self._renew_every = renew_every
        self._away_s = away
        self._try_at = 0.0
        self._held: dict[str, _Held] = {}
        self._owed: deque[tuple[Call, Real]] = deque()
        # Counters of money that this process counted alone: Redis has to hear of their spend from the ledger.
        self._counted_alone: set[str] = set()
        self._renewal: asyncio.Task[None] | None = None
        self._payment: asyncio.Task[None] | None = None
        self._under_way = UnderWay()
        self._closed = False

    async def take(self, call: Call) -> Answer:
        if not self._may_try():
            return await self.take_alone(call)
        self._held[call.id] = _Held(self._shared, call)
        let_in = False
        try:
            answer = await self._shared.take(call)
            let_in = answer.over is None and not answer.unknown
        except AwayError as error:
            # Redis may have counted the call, and only the reply was lost.
            self._owe(call, NOTHING)
            self._went_away(error)
        except asyncio.CancelledError:
            self._owe(call, NOTHING)
            self._catch_up_soon()
            raise
        else:
            self._is_back()
            return self._with_doubts(call, answer) if let_in else answer
        finally:
            if not let_in:
                self._held.pop(call.id, None)
            self._keep_going()
        return await self.take_alone(call)

    async def take_alone(self, call: Call) -> Answer:
        """From the counters of this process."""
        answer = await self._local.take(call)
        if answer.over is None and not answer.unknown:
            self._held[call.id] = _Held(self._local, call)
        return answer

    async def settle(self, call: Call, real: Real) -> None:
        held = self._held.pop(call.id, None)
        if held is None:
            return
        if held.counters is self._local:
            await self._local.settle(call, real)
        elif real.counts and not self._figures.redis_away and (reply := self._shared.begin_settling(call, real)):
            self._under_way.add(reply, partial(self._settle_again, call, real, reply))
            # Now it leaves, before whatever the caller sends next.
            await asyncio.sleep(0)
        elif not self._may_try() or not await self._settled(call, real, late=False):
            self._owe(call, real)

    async def _settle_again(self, call: Call, real: Real, reply: Reply) -> None:
        if not await self._done(self._shared.settle(call, real, False, reply)):
            self._owe(call, real)

    async def free(self, call: Call) -> None:
        """Gives back the slots of a call that has ended. The rest waits for `settle`, which gives them back too."""
        held = self._held.get(call.id)
        if held is None or not call.slots:
            return
        if held.counters is self._local:
            await self._local.free(call)
        elif self._may_try():
            await self._done(self._shared.free(call))

    def is_shared(self, call: Call) -> bool:
        """Whether other processes can settle this call, because Redis has what it took."""
        held = self._held.get(call.id)
        return held is not None and held.counters is self._shared

    def forget(self, call: Call) -> None:
        """Another process settles this call."""
        self._held.pop(call.id, None)

    def take_over(self, call: Call) -> None:
        """This process settles a call that another one took from Redis."""
        self._held[call.id] = _Held(self._shared, call)
        self._keep_going()

    async def seed(self, call: Call, spent: Mapping[int, int]) -> None:
        if self._may_try():
            try:
                await self._shared.seed(call, spent)
            except AwayError as error:
                self._went_away(error)
            else:
                self._is_back()
                return
        await self._local.seed(call, spent)

    async def look(self, takes: Sequence[Take]) -> Sequence[Used | None]:
        """The state of these counters, without taking from any. While Redis is away: on those of this process."""
        if self._may_try():
            with suppress(FullError):
                try:
                    looked = await self._shared.look(takes)
                except AwayError as error:
                    self._went_away(error)
                else:
                    self._is_back()
                    return looked
        return await self._local.look(takes)

    async def close(self) -> None:
        """Sends what is owed, once, and stops renewing."""
        await self._under_way.end()
        self._closed = True
        tasks = [task for task in (self._renewal, self._payment) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._pay()

    def _may_try(self) -> bool:
        """Whether to ask Redis. While it is away, only one request at a time finds out."""
        if not self._figures.redis_away:
            return True
        now = time.monotonic()
        if now < self._try_at:
            return False
        self._try_at = now + self._away_s
        return True

    def _went_away(self, error: Exception) -> None:
        if not self._figures.redis_away:
            log.warning("Redis is away: each process counts limits alone, from zero (%s)", error)
        self._figures.redis_away = 1
        self._try_at = time.monotonic() + self._away_s

    def _is_back(self) -> None:
        if not self._figures.redis_away:
            return
        log.warning("Redis is back: limits are counted for all processes together again")
        self._figures.redis_away = 0
        self._counted_alone.update(self._local.money)
        self._local.redis_is_back()
        self._catch_up_soon()

    def _with_doubts(self, call: Call, answer: Answer) -> Answer:
        """Money that was counted alone is compared with the ledger once."""
        if not self._counted_alone:
            return answer
        doubtful = {index for index, take in enumerate(call.takes) if take.key in self._counted_alone}
        self._counted_alone.difference_update(call.takes[index].key for index in doubtful)
        return answer._replace(stale=tuple(sorted(doubtful.union(answer.stale))))

    def _owe(self, call: Call, real: Real) -> None:
        if len(self._owed) >= MOST_OWED:
            self._owed.popleft()
            self._figures.settlements_dropped += 1
        self._owed.append((call, real))
        self._keep_going()

    async def _settled(self, call: Call, real: Real, late: bool) -> bool:
        try:
            return await self._done(self._shared.settle(call, real, late))
        except asyncio.CancelledError:
            self._owe(call, real)
            self._catch_up_soon()
            raise

    async def _done(self, work: Awaitable[None]) -> bool:
        """Whether Redis did it. Notes whether Redis is away, full or back."""
        try:
            await work
        except AwayError as error:
            self._went_away(error)
        except FullError:
            self._figures.redis_full += 1
        else:
            self._is_back()
            return True
        return False

    async def _pay(self) -> None:
        """Sends the settlements that wait, the oldest first, until one fails."""
        while self._owed and self._may_try():
            call, real = self._owed.popleft()
            if not await self._settled(call, real, late=True):
                self._owed.appendleft((call, real))
                return

    async def _catch_up(self) -> None:
        calls = [held.call for held in self._held.values() if held.counters is self._shared]
        if calls and self._may_try():
            await self._done(self._shared.renew(calls))
        await self._pay()

    def _catch_up_soon(self) -> None:
        if not self._closed and (self._payment is None or self._payment.done()):
            self._payment = asyncio.create_task(self._catch_up())

    def _keep_going(self) -> None:
        needed = bool(self._held or self._owed) and not self._closed
        if needed and (self._renewal is None or self._renewal.done()):
            self._renewal = asyncio.create_task(self._keep())

    async def _keep(self) -> None:
        """Renews leases and sends what is owed, as long as there is either. The first time is only after a while."""
        while self._held or self._owed:
            await asyncio.sleep(self._renew_every)
            await self._catch_up()
