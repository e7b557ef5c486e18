"""Redis goes away and comes back: each process counts alone meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import pytest

from tests.unit.services.limits.calls import NOTHING, call, take, used
from tollgate.services.limits import shared_counters
from tollgate.services.limits.counters import LET_IN, Answer, AwayError, Call, FullError, Real
from tollgate.services.limits.figures import Figures
from tollgate.services.limits.local_counters import LocalCounters
from tollgate.services.limits.rule import MONEY, PARALLEL, REQUESTS, TOKENS
from tollgate.services.limits.shared_counters import SharedCounters

HOUR, SLOT, TOKEN = take(REQUESTS, 2, name="hour"), take(PARALLEL, 1), take(TOKENS, 100, 60)
CAP = take(MONEY, 100, 60)


class Reachable(LocalCounters):
    """Stands for the counters of all processes in Redis, and can be cut off, full or slow."""

    def __init__(self) -> None:
        super().__init__()
        self.away = self.full = False
        self.lost_reply = False
        self.slow: asyncio.Event | None = None
        self.asked = 0
        self.renewed: list[list[str]] = []
        self.late: list[tuple[str, Real]] = []

    async def take(self, call: Call) -> Answer:
        await self._answer()
        answer = await super().take(call)
        if self.lost_reply:
            raise AwayError("TimeoutError")
        return answer

    async def settle(self, call: Call, real: Real, late: bool = False) -> None:
        await self._answer()
        if late:
            self.late.append((call.id, real))
        await super().settle(call, real, late)

    async def free(self, call: Call) -> None:
        await self._answer()
        await super().free(call)

    async def renew(self, calls: Sequence[Call]) -> None:
        await self._answer()
        self.renewed.append([call.id for call in calls])

    async def seed(self, call: Call, spent: Mapping[int, int]) -> None:
        await self._answer()
        await super().seed(call, spent)

    async def _answer(self) -> None:
        self.asked += 1
        if self.slow is not None:
            await self.slow.wait()
        if self.away:
            raise AwayError("TimeoutError")
        if self.full:
            raise FullError("OOM")


Test = Callable[[Reachable, SharedCounters], Awaitable[None]]


def with_shared(test: Test, **options: Any) -> Figures:
    figures = Figures()

    async def run() -> None:
        shared = Reachable()
        counters = SharedCounters(shared, figures, **options)
        await test(shared, counters)
        await counters.close()

    asyncio.run(run())
    return figures


async def passed(counters: SharedCounters, names: str, *takes: Any) -> list[bool]:
    return [(await counters.take(call(name, *takes))).over is None for name in names]


async def until(what: Callable[[], Any]) -> None:
    for _ in range(10_000):
        if what():
            return
        await asyncio.sleep(0.001)
    raise AssertionError("it did not happen")


def test_while_redis_is_away_each_process_counts_alone_from_zero() -> None:
    async def test(shared: Reachable, counters: SharedCounters) -> None:
        assert await passed(counters, "abc", HOUR) == [True, True, False]
        shared.away = True
        assert await passed(counters, "def", HOUR) == [True, True, False]

    with_shared(test)


def test_redis_is_not_asked_again_at_once(caplog: pytest.LogCaptureFixture) -> None:
    async def test(shared: Reachable, counters: SharedCounters) -> None:
        shared.away = True
        await passed(counters, "abcde", HOUR)
        await counters.seed(call("s", CAP), {0: 5})
        await counters.settle(call("a", HOUR), used())
        assert shared.asked == 1

    figures = with_shared(test)
    assert caplog.text.count("Redis is away") == 1
    assert figures.redis_away == 1


def test_only_one_request_waits_to_find_out_whether_redis_is_back() -> None:
    async def test(shared: Reachable, counters: SharedCounters) -> None:
        shared.away = True
        await counters.take(call("a", HOUR))
        counters._away_s, counters._try_at = 60.0, 0.0
        shared.slow = asyncio.Event()
        probe = asyncio.create_task(counters.take(call("b", HOUR)))
        await asyncio.sleep(0)
        assert (await counters.take(call("c", HOUR))).over is None
        assert (shared.asked, probe.done()) == (2, False)
        shared.slow.set()
        assert (await probe).over == 0

    with_shared(test)


def test_a_redis_that_comes_and_goes_lifts_no_limit() -> None:
    """Each process adds its own limit once in a window, not once for each time Redis was away."""

    async def test(shared: Reachable, counters: SharedCounters) -> None:
        let_in = 0
        for turn in range(5):
            shared.away = True
            let_in += sum(await passed(counters, str(turn) * 3, HOUR))
            let_in += sum([(await counters.take(call(f"{turn}{n}", HOUR))).over is None for n in range(3)])
            shared.away = False
            await counters.take(call(f"asks Redis again {turn}", take(REQUESTS, 99, name="other")))
        assert let_in == 3 + 1, "the first three are one call"

    with_shared(test, away=0.0)


def test_when_redis_is_back_its_counters_hold_again(caplog: pytest.LogCaptureFixture) -> None:
    async def test(shared: Reachable, counters: SharedCounters) -> None:
        await passed(counters, "ab", HOUR)
        shared.away = True
        assert await passed(counters, "c", HOUR) == [True]
        shared.away = False
        assert await counters.take(call("d", HOUR)) == Answer(0, 2)

    figures = with_shared(test, away=0.0)
    assert caplog.text.count("Redis is back") == 1
    assert figures.redis_away == 0


def test_what_was_taken_from_redis_is_not_given_back_to_memory() -> None:
    """Nor the other way round: a refund would lower a counter that the request never raised."""

    async def test(shared: Reachable, counters: SharedCounters) -> None:
        await counters.take(call("a", HOUR))
        shared.away = True
        await counters.take(call("b", HOUR))
        await counters.settle(call("b", HOUR), NOTHING)
        assert shared.numbers[HOUR.key] == 1
        await counters.settle(call("a", HOUR), NOTHING)  # waits until Redis is back
        assert shared.numbers[HOUR.key] == 1
        shared.away = False
        await counters.settle(call("a", HOUR), NOTHING)  # the second time
        assert shared.numbers[HOUR.key] == 1
        await counters.take(call("c", HOUR))
        await until(lambda: shared.numbers[HOUR.key] == 1)
        assert ("a", NOTHING) in shared.late

    with_shared(test, away=0.0)


def test_money_that_was_spent_while_redis_was_away_comes_from_the_ledger() -> None:
    async def test(shared: Reachable, counters: SharedCounters) -> None:
        await counters.seed(call("s", CAP), {0: 10})
        await counters.take(call("a", CAP))
        shared.away = True
        await counters.settle(call("a", CAP), used(nano=7))
        assert shared.money[CAP.key].reserved == 60
        asked = shared.asked
        await until(lambda: shared.asked > asked + 2)  # it is sent again and again, and waits
        shared.away = False
        await until(lambda: shared.money[CAP.key].reserved == 0)
        assert shared.money[CAP.key].spent == 10
        assert await counters.take(call("b", CAP)) == Answer(stale=(0,))

    with_shared(test, away=0.0, renew_every=0.001)


def test_money_that_was_counted_alone_is_compared_with_the_ledger_once() -> None:
    async def test(shared: Reachable, counters: SharedCounters) -> None:
        await counters.seed(call("s", CAP), {0: 10})
        shared.away = True
        assert (await counters.take(call("a", HOUR, CAP))).unknown == (1,)
        await counters.seed(call("s", CAP), {0: 10})
        assert await counters.take(call("a", HOUR, CAP)) == LET_IN
        shared.away = False
        assert await counters.take(call("b", HOUR)) == LET_IN
        assert await counters.take(call("c", HOUR, CAP)) == Answer(stale=(1,))
        await counters.settle(call("c", HOUR, CAP), NOTHING)
        assert await counters.take(call("d", HOUR, CAP)) == LET_IN

    with_shared(test, away=0.0)


def test_a_lost_reply_leaves_nothing_taken() -> None:
    """Redis has counted, then the answer came too late: the request was counted in memory instead."""

    async def test(shared: Reachable, counters: SharedCounters) -> None:
        shared.lost_reply = True
        assert await counters.take(call("a", SLOT, HOUR)) == LET_IN
        assert shared.running[SLOT.key] == {"a"}
        shared.lost_reply = False
        await until(lambda: not shared.running[SLOT.key])
        assert shared.numbers[HOUR.key] == 0
        assert (await counters._local.take(call("b", SLOT))).over == 0, "still running here"

    with_shared(test, away=0.0, renew_every=0.001)


def test_a_client_that_leaves_before_the_answer_takes_nothing() -> None:
    async def test(shared: Reachable, counters: SharedCounters) -> None:
        shared.slow = asyncio.Event()
        leaving = asyncio.create_task(counters.take(call("a", SLOT, HOUR)))
        await asyncio.sleep(0)
        leaving.cancel()
        await asyncio.gather(leaving, return_exceptions=True)
        await shared.__class__.__bases__[0].take(shared, call("a", SLOT, HOUR))  # Redis had the command
        shared.slow.set()
        await until(lambda: not shared.running[SLOT.key])
        assert shared.numbers[HOUR.key] == 0

    with_shared(test)


def test_a_client_that_leaves_while_it_is_settled_is_settled() -> None:
    async def test(shared: Reachable, counters: SharedCounters) -> None:
        await counters.take(call("a", SLOT, TOKEN))
        shared.slow = asyncio.Event()
        leaving = asyncio.create_task(counters.settle(call("a", SLOT, TOKEN), used(tokens=5)))
        await asyncio.sleep(0)
        leaving.cancel()
        await asyncio.gather(leaving, return_exceptions=True)
        shared.slow.set()
        await until(lambda: shared.numbers[TOKEN.key] == 5)
        assert not shared.running[SLOT.key]

    with_shared(test)


def test_leases_are_renewed_as_long_as_the_request_runs() -> None:
    async def test(shared: Reachable, counters: SharedCounters) -> None:
        await counters.take(call("a", SLOT, HOUR))
        await until(lambda: len(shared.renewed) > 1)
        assert shared.renewed[0] == ["a"]
        await counters.settle(call("a", SLOT, HOUR), used())
        task = counters._renewal
        assert task is not None
        await task  # ends by itself when nothing runs
        renewed = len(shared.renewed)
        await counters.take(call("b", HOUR))
        await until(lambda: len(shared.renewed) > renewed)

    with_shared(test, renew_every=0.001)


@pytest.mark.parametrize("trouble", ["away", "full"])
def test_renewing_survives_a_redis_in_trouble(trouble: str) -> None:
    async def test(shared: Reachable, counters: SharedCounters) -> None:
        await counters.take(call("a", SLOT))
        setattr(shared, trouble, True)
        asked = shared.asked
        await until(lambda: shared.asked > asked + 2)
        setattr(shared, trouble, False)
        await until(lambda: shared.renewed)

    with_shared(test, renew_every=0.001, away=0.0)


def test_a_full_redis_is_not_away_and_is_counted() -> None:
    async def test(shared: Reachable, counters: SharedCounters) -> None:
        await counters.take(call("a", HOUR, TOKEN))
        shared.full = True
        with pytest.raises(FullError):
            await counters.take(call("b", HOUR))
        with pytest.raises(FullError):
            await counters.seed(call("s", CAP), {0: 1})
        await counters.settle(call("a", HOUR, TOKEN), used(tokens=5))
        shared.full = False
        await until(lambda: shared.numbers[TOKEN.key] == 5)

    figures = with_shared(test, renew_every=0.001)
    assert (figures.redis_away, figures.redis_full > 0) == (0, True)


def test_only_so_many_settlements_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_counters, "MOST_OWED", 2)

    async def test(shared: Reachable, counters: SharedCounters) -> None:
        for name in "abcd":
            await counters.take(call(name, TOKEN._replace(limit=999)))
        shared.away = True
        for name in "abcd":
            await counters.settle(call(name, TOKEN), used(tokens=1))
        shared.away = False
        await until(lambda: len(shared.late) == 2)
        assert [name for name, _ in shared.late] == ["c", "d"]

    assert with_shared(test, renew_every=0.001, away=0.0).settlements_dropped == 2


def test_closing_sends_what_waits() -> None:
    async def run() -> None:
        shared = Reachable()
        counters = SharedCounters(shared, Figures(), away=0.0)
        await counters.take(call("a", TOKEN))
        shared.away = True
        await counters.settle(call("a", TOKEN), used(tokens=5))
        shared.away = False
        await counters.close()
        assert shared.numbers[TOKEN.key] == 5
        await counters.take(call("b", TOKEN))
        assert len(asyncio.all_tasks()) == 1, "nothing goes on afterwards"

    asyncio.run(run())


def test_money_is_compared_with_the_ledger_while_a_process_counts_alone() -> None:
    now = [100.0]

    async def run() -> None:
        local = LocalCounters(clock=lambda: now[0])
        await local.seed(call("s", CAP), {0: 10})
        assert await local.take(call("a", CAP._replace(add=1))) == LET_IN
        now[0] += 6
        answers = [await local.take(call(name, HOUR, CAP._replace(add=1))) for name in "bc"]
        assert answers == [Answer(stale=(1,)), LET_IN]
        await local.seed(call("s", CAP), {0: 99})
        assert await local.take(call("d", CAP)) == Answer(0, 99, 3)

    asyncio.run(run())


def test_ended_windows_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tollgate.services.limits.local_counters.SWEEP_AT", 3)
    now = [0.0]

    async def run() -> None:
        local = LocalCounters(clock=lambda: now[0])
        local._sweep_at = 3
        for number in range(3):
            await local.take(call(f"a{number}", take(REQUESTS, 9, name=str(number), ttl=10)))
        now[0] = 5.0
        await local.take(call("b", take(REQUESTS, 9, name="b", ttl=10)))
        assert len(local.numbers) == 4
        now[0] = 12.0
        for number in range(5):
            await local.take(call(f"c{number}", take(REQUESTS, 9, name=f"c{number}", ttl=10)))
        assert sorted(local.numbers) == sorted(
            take(REQUESTS, 9, name=name).key for name in ("b", *(f"c{n}" for n in range(5)))
        )

    asyncio.run(run())
