"""The scripts in Redis, from inside a replica: they are all or nothing, and a slot is leased."""

from __future__ import annotations

import pytest

from tests.contract.litellm.gateway import Gateway

pytestmark = pytest.mark.docker

BEGIN = """
import asyncio, os, time, uuid
from tollgate.services.hooks.counters import MONEY, REQUESTS, SLOTS, Check, Over, SharedCounters
from tollgate.services.hooks.redis_counters import RedisCounters, connect

run, later = uuid.uuid4().hex, int(time.time()) + 60
hour, day = Check(REQUESTS, run + 'hour', 10, later), Check(REQUESTS, run + 'day', 25, later)
slot, cap = Check(SLOTS, run + 'slot', 2), Check(MONEY, run + 'cap', 0.5, later)

def replica(lease=30.0):
    return RedisCounters(connect(os.environ['TOLLGATE_REDIS'], os.environ['REDIS_PASSWORD']), lease)

async def passed(takes):
    return sum(over is None for over in await asyncio.gather(*takes))
"""

CASES = {
    "of a hundred at once over three replicas exactly as many pass as fit": """
    replicas = [replica() for _ in range(3)]
    assert await passed(replicas[n % 3].take([day, hour], str(n)) for n in range(100)) == 10
    assert await replicas[0].take([hour], 'x') == Over(hour, 10.0)
    # The day was not touched by the ninety that the hour refused.
    assert await passed(replicas[n % 3].take([day], str(n)) for n in range(40)) == 15
    """,
    "what is given back is free, a refund counts for nothing": """
    one = replica()
    assert [await one.take([slot, hour], name) is None for name in '01234'] == [True, True, False, False, False]
    await one.give_back([slot, hour], '0', False)
    await one.give_back([slot, hour], '1', True)
    assert await passed(one.take([slot], 'b' + str(n)) for n in range(5)) == 2
    assert await passed(one.take([hour], str(n)) for n in range(20)) == 9
    """,
    "giving back twice, or what was never taken, lowers nothing below zero": """
    one = replica()
    await one.give_back([hour, slot], 'x', True)
    assert await passed(one.take([hour], str(n)) for n in range(20)) == 10
    """,
    "the slots of a killed replica are free when its lease runs out": """
    killed, other = replica(lease=3.0), replica()
    assert [await killed.take([slot], 'a'), await other.take([slot], 'b')] == [None, None]
    assert await other.take([slot], 'c') == Over(slot, 2.0)
    deadline = time.monotonic() + 20
    while (over := await other.take([slot], 'c')) and time.monotonic() < deadline:
        await asyncio.sleep(0.1)
    assert over is None
    assert await other.take([slot], 'd') == Over(slot, 2.0), 'the other one lives'
    """,
    "a replica that lives keeps them": """
    living, other = SharedCounters(replica(lease=2.0), renew_every=0.1), replica()
    assert await passed(living.take([slot], str(n)) for n in range(2)) == 2
    await asyncio.sleep(2.6)
    assert await other.take([slot], 'c') == Over(slot, 2.0)
    await living.give_back('0', False)
    assert await other.take([slot], 'c') is None
    """,
    "money nobody knows is asked for, seeded once, and added up": """
    one, other = replica(), replica()
    assert await one.take([cap, hour], 'a') == Over(cap, None)
    await one.spend({cap.key: 9.0})
    await asyncio.gather(one.seed(cap, 0.25), other.seed(cap, 0.25))
    assert await one.take([cap], 'a') is None
    await asyncio.gather(*(one.spend({cap.key: 0.0125}) for _ in range(20)))
    assert await other.take([cap], 'a') == Over(cap, 0.5)
    """,
    "what is reserved is counted at once and taken off again": """
    one, usual = replica(), Check(MONEY, run + 'cap', 0.5, later, 0.1)
    await one.seed(usual, 0.0)
    assert await passed(one.take([usual], str(n)) for n in range(40)) == 5
    await one.spend({usual.key: 0.01 - 0.1})
    assert await passed(one.take([usual], str(n)) for n in range(40)) == 1
    """,
    "every counter expires": """
    one = replica()
    await one.take([slot, hour], 'a')
    await one.seed(cap, 0.1)
    for check in (slot, hour, cap):
        assert 0 < await one.seconds_left(check.key) <= 61
    """,
    "a Redis that is not there is told apart from an answer": """
    from tollgate.services.hooks.counters import AwayError
    away = RedisCounters(connect('redis:9', 'x'))
    try:
        await away.take([hour], 'a')
    except AwayError:
        return
    raise AssertionError('it answered')
    """,
}


@pytest.mark.parametrize("case", CASES)
def test_counters_in_redis(running: Gateway, case: str) -> None:
    code = f"{BEGIN}\nasync def main():{CASES[case]}\nasyncio.run(main())\n"
    done = running.containers["litellm-1"].get_wrapped_container().exec_run(["python", "-c", code])
    assert done.exit_code == 0, done.output.decode()[-2000:]
