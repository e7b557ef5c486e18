"""The limiter of several gateway processes at the kit's own Redis: exact over all of them, also when something dies."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.contract.limits.conftest import RedisContainer
from tests.contract.limits.limiter_process import LimiterProcess
from tests.support.eventually import eventually

pytestmark = pytest.mark.docker
NOW = datetime(2026, 11, 21, 13, 26, 30, tzinfo=UTC)
PROCESSES, CLIENTS = 3, 64
NANO = 1_000_000_000


@pytest.fixture
def processes(redis: RedisContainer) -> Iterator[Callable[..., list[LimiterProcess]]]:
    """Starts processes that end with the test."""
    with ExitStack() as stack:

        def start(count: int = 1, **options: float) -> list[LimiterProcess]:
            chosen = {"lease": 30.0, "renew_every": 10.0, "away": 0.5, **options}
            started = [LimiterProcess(uuid.uuid4().hex, redis.address, redis.password, **chosen) for _ in range(count)]
            for one in started:
                stack.callback(one.kill)
            return started

        yield start


def order(now: datetime = NOW, tenant: str = "", **limits: Any) -> dict[str, Any]:
    """For a tenant of its own."""
    team = {"team_id": tenant or uuid.uuid4().hex, "metadata": {"limits": limits}}
    return {"team": team, "now": now.isoformat()}


def all_at_once(processes: list[LimiterProcess], **order: Any) -> list[dict[str, Any]]:
    for process in processes:
        process.begin("many", clients=CLIENTS, **order)
    return [process.answer() for process in processes]


def let_in(answers: list[dict[str, Any]]) -> int:
    return sum(answer["let_in"] for answer in answers)


# ---- exact over all processes


@pytest.mark.parametrize("field", ["requests_per_minute", "requests_per_hour", "requests_per_day"])
def test_exactly_as_many_requests_pass_as_the_limit_says(processes: Any, field: str) -> None:
    assert let_in(all_at_once(processes(PROCESSES), count=500, **order(**{field: 700}))) == 700


def test_twin_without_the_limit_all_pass(processes: Any) -> None:
    assert let_in(all_at_once(processes(PROCESSES), count=500, **order(soft_limit=1))) == 1500


def test_what_one_limit_refuses_counts_for_none(processes: Any) -> None:
    three, both = processes(PROCESSES), order(requests_per_hour=100, requests_per_day=250)
    assert let_in(all_at_once(three, count=200, **both)) == 100
    later = {**both, "now": (NOW + timedelta(hours=1)).isoformat()}
    assert let_in(all_at_once(three, count=200, **later)) == 100
    last = {**both, "now": (NOW + timedelta(hours=2)).isoformat()}
    assert let_in(all_at_once(three, count=200, **last)) == 50


def test_tokens_that_are_known_beforehand_never_pass_the_minute(processes: Any) -> None:
    answers = all_at_once(processes(PROCESSES), count=200, tokens=7, **order(tokens_per_minute=1000))
    assert let_in(answers) == 1000 // 7


def test_only_so_many_run_at_once(processes: Any) -> None:
    three, one = processes(PROCESSES), order(max_parallel_requests=100)
    for process in three:
        process.begin("hold", count=CLIENTS, **one)
    answers = [process.answer()["let_in"] for process in three]
    assert sum(answers) == 100
    fullest = answers.index(max(answers))
    three[fullest].ask("settle")
    assert three[fullest - 1].ask("hold", count=CLIENTS, **one)["let_in"] == min(CLIENTS, answers[fullest])


COST = 7_000_003


@pytest.mark.parametrize(("field", "times"), [("daily_limit", 1), ("weekly_limit", 1), ("monthly_limit", 3)])
def test_reservations_that_cover_the_cost_let_one_call_pass_a_budget(processes: Any, field: str, times: int) -> None:
    answers = all_at_once(processes(PROCESSES), count=200, nano=times * COST, cost=COST, **order(**{field: 1}))
    spent = let_in(answers) * COST
    assert spent < NANO + COST
    if times == 1:
        assert spent >= NANO, "and nobody is refused before it is spent"


def test_without_reservations_the_calls_in_flight_may_pass_it(processes: Any) -> None:
    answers = all_at_once(processes(PROCESSES), count=400, nano=1, cost=COST, **order(daily_limit=1))
    most = sum(answer["most"] for answer in answers)
    assert NANO <= let_in(answers) * COST < NANO + most * COST


def test_twin_without_a_budget_more_is_spent(processes: Any) -> None:
    answers = all_at_once(processes(PROCESSES), count=200, nano=COST, cost=COST, **order(soft_limit=1))
    assert let_in(answers) * COST > NANO + PROCESSES * CLIENTS * COST


def test_each_process_counts_in_the_window_of_its_own_clock(processes: Any) -> None:
    """Clocks that differ: each process counts in the minute of its own clock."""
    (early, late), minute = processes(2), order(requests_per_minute=50, now=NOW.replace(second=59))
    next_minute = {**minute, "now": NOW.replace(minute=27, second=0).isoformat()}
    early.begin("many", count=200, clients=CLIENTS, **minute)
    late.begin("many", count=200, clients=CLIENTS, **next_minute)
    assert [early.answer()["let_in"], late.answer()["let_in"]] == [50, 50]
    assert [early.ask("hold", **next_minute)["let_in"], late.ask("hold", **minute)["let_in"]] == [0, 0]


# ---- a process dies


def test_what_a_killed_process_held_returns(processes: Any) -> None:
    (killed,), (other,) = processes(lease=1.0, renew_every=0.2), processes()
    one = order(max_parallel_requests=5, daily_limit=1)
    assert killed.ask("hold", count=9, nano=NANO // 5, **one)["let_in"] == 5
    assert other.ask("hold", nano=1, **one)["whys"] == {"reserved": 1}
    killed.kill()

    def returned() -> bool:
        """The slots and the money are free again"""
        return bool(other.ask("hold", nano=1, **one)["let_in"])

    eventually(returned, within=30)
    assert other.ask("hold", count=9, nano=1, **one)["let_in"] == 4


def test_twin_what_a_living_process_holds_stays(redis: RedisContainer, processes: Any) -> None:
    (living,), (other,) = processes(lease=2.0, renew_every=0.2), processes()
    one = order(max_parallel_requests=1)
    assert living.ask("hold", **one)["let_in"] == 1
    begun = int(redis.cli("TIME").split()[0])

    def three_leases_later() -> bool:
        """Three leases have passed by the clock of Redis, and the slot was never free"""
        if other.ask("hold", **one)["let_in"]:
            raise RuntimeError("the slot of a living process was free")
        return int(redis.cli("TIME").split()[0]) > begun + 6

    eventually(three_leases_later, within=60)


# ---- Redis is frozen, stopped, flushed or full


def back(process: LimiterProcess) -> None:
    other = order(requests_per_day=10**6)

    def is_back() -> bool:
        """The process counts in Redis again"""
        process.ask("hold", **other)
        return process.ask("figures")["redis_away"] == 0

    eventually(is_back, within=60)


def test_while_redis_is_frozen_each_process_counts_alone_and_once(redis: RedisContainer, processes: Any) -> None:
    two, one = processes(2), order(requests_per_day=10, daily_limit=1)
    assert two[0].ask("hold", count=20, nano=1, **one)["let_in"] == 10
    container = redis.container.get_wrapped_container()
    for _ in range(2):
        container.pause()
        try:
            answers = [process.ask("hold", count=20, nano=1, **one)["let_in"] for process in two]
            assert [process.ask("figures")["redis_away"] for process in two] == [1, 1]
        finally:
            container.unpause()
        for process in two:
            back(process)
            assert process.ask("hold", count=20, nano=1, **one)["let_in"] == 0
        assert answers in ([10, 10], [0, 0])
    assert answers == [0, 0], "the second time nothing is left of this window"


def test_a_stopped_redis_comes_back_with_its_counters(redis: RedisContainer, processes: Any) -> None:
    (process,), one = processes(), order(requests_per_day=10, daily_limit=1)
    assert process.ask("hold", count=4, nano=NANO // 100, **one)["let_in"] == 4
    process.ask("ledger", spent=5)
    container = redis.container.get_wrapped_container()
    container.stop()
    try:
        process.ask("settle", cost=NANO // 4)  # waits for Redis
        assert process.ask("hold", count=20, nano=0, **one)["let_in"] == 10
    finally:
        container.start()
    back(process)
    let_in_before = 0

    def settled() -> bool:
        """What ended while Redis was away is on its counters"""
        nonlocal let_in_before
        answer = process.ask("hold", nano=1, **one)
        let_in_before += answer["let_in"]
        return bool(answer["whys"] == {"reached": 1})

    eventually(settled, within=30)
    assert let_in_before + process.ask("hold", count=20, **one)["let_in"] == 6


def test_a_flushed_redis_counts_from_zero_and_money_from_the_ledger(redis: RedisContainer, processes: Any) -> None:
    (process,), one = processes(), order(requests_per_day=10, daily_limit=1)
    assert process.ask("hold", count=20, nano=1, **one)["let_in"] == 10
    redis.cli("FLUSHALL")
    assert process.ask("hold", count=3, nano=1, **one)["let_in"] == 3
    redis.cli("FLUSHALL")
    process.ask("ledger", spent=NANO)
    assert process.ask("hold", nano=1, **one)["whys"] == {"reached": 1}
    assert process.ask("hold", nano=0, **one)["let_in"] == 1


def test_a_full_redis_refuses_what_costs_money_and_shows_it(redis: RedisContainer, processes: Any) -> None:
    (process,), one = processes(), order(requests_per_day=10, daily_limit=1)
    assert process.ask("hold", nano=1, **one)["let_in"] == 1
    redis.cli("CONFIG", "SET", "maxmemory", "1")
    try:
        assert process.ask("hold", nano=1, **one)["whys"] == {"uncounted": 1}
        assert process.ask("hold", nano=0, **one)["let_in"] == 1
        figures = process.ask("settle", cost=NANO)
        assert figures["redis_full"] == 2
        assert figures["redis_away"] == 0
    finally:
        redis.cli("CONFIG", "SET", "maxmemory", "0")
    assert process.ask("hold", nano=1, **one)["whys"] == {"reached": 1}


def test_twin_a_redis_with_room_refuses_nobody(processes: Any) -> None:
    (process,), one = processes(), order(requests_per_day=10, daily_limit=1)
    assert process.ask("hold", nano=1, **one)["let_in"] == 1
    assert process.ask("figures") == {"redis_away": 0, "redis_full": 0, "money_unheld": 0}
