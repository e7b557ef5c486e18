"""A client does not wait for the reply to its settlement. A failed reply loses nothing, and no limit is passed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.unit.services.limits.calls import call, run, take, used
from tollgate.services.limits.counters import Answer, AwayError, Call, FullError, Real
from tollgate.services.limits.figures import Figures
from tollgate.services.limits.limiter import Limiter
from tollgate.services.limits.local_counters import LocalCounters
from tollgate.services.limits.outcome import Admitted
from tollgate.services.limits.redis_counters import RedisCounters
from tollgate.services.limits.resp import Redis, ReplyError, _Connection
from tollgate.services.limits.rule import MONEY, PARALLEL, REQUESTS, TOKENS
from tollgate.services.limits.shared_counters import SharedCounters

SLOT, CAP = take(PARALLEL, 1), take(MONEY, 100, 60)
NOW = datetime(2026, 11, 29, tzinfo=UTC)


class Sent(LocalCounters):
    """A Redis whose replies to settlements the test gives. It counts them when it replies."""

    def __init__(self) -> None:
        super().__init__()
        self.replies: list[tuple[Call, Real, asyncio.Future[Any]]] = []
        self.again = self.late = 0
        self.away = False

    def begin_settling(self, call: Call, real: Real) -> asyncio.Future[Any] | None:
        reply = asyncio.get_running_loop().create_future()
        self.replies.append((call, real, reply))
        return reply

    async def settle(
        self, call: Call, real: Real, late: bool = False, begun: asyncio.Future[Any] | None = None
    ) -> None:
        self.again, self.late = self.again + 1, self.late + late
        if self.away:
            raise AwayError("TimeoutError")
        await super().settle(call, real)

    async def reply(self) -> None:
        call, real, reply = self.replies.pop(0)
        await super().settle(call, real)
        reply.set_result(1)
        await asyncio.sleep(0)


def with_sent(test: Callable[[Sent, SharedCounters], Awaitable[None]], **options: Any) -> None:
    async def both() -> None:
        sent = Sent()
        counters = SharedCounters(sent, Figures(), **options)
        await counters.take(call("a", SLOT))
        await test(sent, counters)
        await asyncio.wait_for(counters.close(), 5)

    run(both())


def test_nobody_waits_for_the_reply() -> None:
    async def test(sent: Sent, counters: SharedCounters) -> None:
        await asyncio.wait_for(counters.settle(call("a", SLOT), used()), 1)
        assert len(sent.replies) == 1 and sent.running[SLOT.key] == {"a"}
        await sent.reply()
        assert not sent.running[SLOT.key] and not sent.again

    with_sent(test)


def test_a_request_that_counts_for_nothing_waits() -> None:
    """A number of requests is asked only once, so it must be right when the client has its answer."""

    async def test(sent: Sent, counters: SharedCounters) -> None:
        await counters.settle(call("a", SLOT), used(counts=False))
        assert not sent.replies and sent.again == 1 and not sent.running[SLOT.key]

    with_sent(test)


@pytest.mark.parametrize("failure", [ReplyError("NOSCRIPT"), ConnectionError()])
def test_a_failed_reply_is_settled_again(failure: Exception) -> None:
    async def test(sent: Sent, counters: SharedCounters) -> None:
        await counters.settle(call("a", SLOT), used())
        _, _, reply = sent.replies.pop()
        reply.set_result(failure) if isinstance(failure, ReplyError) else reply.set_exception(failure)
        await counters.close()
        assert sent.again == 1 and not sent.late and not sent.running[SLOT.key]

    with_sent(test)


def test_a_redis_that_is_away_gets_it_when_it_is_back() -> None:
    async def test(sent: Sent, counters: SharedCounters) -> None:
        sent.away = True
        await counters.settle(call("a", SLOT), used())
        sent.replies.pop()[2].set_exception(TimeoutError())
        await asyncio.sleep(0.01)
        assert sent.running[SLOT.key] == {"a"}
        sent.away = False
        await counters.close()
        assert sent.late and not sent.running[SLOT.key]

    with_sent(test, away=0.0)


def test_the_end_waits_for_replies() -> None:
    async def test(sent: Sent, counters: SharedCounters) -> None:
        await counters.settle(call("a", SLOT), used())
        closing = asyncio.create_task(counters.close())
        await asyncio.sleep(0.01)
        assert not closing.done()
        await sent.reply()
        await asyncio.wait_for(closing, 5)

    with_sent(test)


class Late(LocalCounters):
    """Its first answer is from before a settlement; `second` is what a second question finds."""

    def __init__(self, second: Answer | None) -> None:
        super().__init__()
        self.second, self.asked = second, 0

    async def take(self, call: Call) -> Answer:
        self.asked += 1
        if self.asked == 1:
            return Answer(0, 1, 5)
        if self.second is None:
            raise FullError("OOM")
        return self.second


@pytest.mark.parametrize("kind", [PARALLEL, TOKENS, MONEY, REQUESTS])
@pytest.mark.parametrize(
    ("second", "passes"), [(Answer(), True), (Answer(0, 1, 5), False), (Answer(unknown=(0,)), False), (None, False)]
)
def test_a_refusal_is_asked_twice(kind: str, second: Answer | None, passes: bool) -> None:
    """Not that of a number of requests, which no settlement changes: clients over it cost one question each."""

    async def test() -> None:
        late = Late(second)
        limiter = Limiter(late, _nothing_spent)
        outcome = await limiter.admit((take(kind, 100).rule,), "a", "m", 1, 1, NOW)
        assert isinstance(outcome, Admitted) is (passes and kind != REQUESTS)
        assert late.asked == (1 if kind == REQUESTS else 2)
        await limiter.close()

    run(test())


async def _nothing_spent(questions: Any) -> list[int | None]:
    return [0 for _ in questions]


def test_a_settlement_has_left_when_its_client_is_answered() -> None:
    """Redis may not have read it, but whatever the client sends afterwards leaves later."""

    async def test() -> None:
        redis = Redis("127.0.0.1:9")
        counters = SharedCounters(RedisCounters(redis), Figures())
        counters.take_over(call("a", CAP))
        assert RedisCounters(redis).begin_settling(call("a"), used()) is None, "there is no connection yet"
        wire = _Wire()
        redis._connection = connection = _Connection(1.0)
        connection.connection_made(wire)  # type: ignore[arg-type]
        await counters.settle(call("a", CAP), used(nano=7))
        assert len(wire.written) == 1 and b"EVALSHA" in wire.written[0]
        connection.data_received(b":1\r\n")
        await asyncio.wait_for(counters.close(), 5)
        redis.close()

    run(test())


class _Wire:
    def __init__(self) -> None:
        self.written: list[bytes] = []

    def write(self, data: bytes) -> None:
        self.written.append(data)

    def abort(self) -> None:
        pass
