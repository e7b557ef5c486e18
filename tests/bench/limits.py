"""How many requests the limiter lets in and settles. Run `python -m tests.bench.limits HOST:PORT`, a Redis of yours.

Each request meets seven rules: requests and tokens a minute, running at once, money a day and a month of a tenant, and
requests a minute and a day of a key. Twenty tenants share the work. The figures for "a core" count only the processor
time of this process, so that other work on the machine changes them little. It writes nothing to the repository.
"""

from __future__ import annotations

import asyncio
import sys
import time
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime

from tollgate.services.limits.limiter import Limiter
from tollgate.services.limits.outcome import Admitted
from tollgate.services.limits.redis_counters import RedisCounters
from tollgate.services.limits.resp import Redis
from tollgate.services.limits.rules import rules_of
from tollgate.services.limits.spent import Question

REQUESTS, TENANTS = 8000, 20
LIMITS = {"requests_per_minute": 10**8, "tokens_per_minute": 10**12, "monthly_limit": 1e8, "daily_limit": 1e6}
METADATA = {"limits": {"max_parallel_requests": 1000, **LIMITS}}
KEY = {"token": "ab" * 32, "metadata": {"limits": {"requests_per_day": 10**8, "requests_per_minute": 10**8}}}


async def ledger(questions: Sequence[Question]) -> list[int | None]:
    return [0] * len(questions)


async def measure(address: str, clients: int) -> str:
    redis = Redis(address)
    limiter = Limiter(RedisCounters(redis), ledger)
    run = uuid.uuid4().hex
    tenants = [rules_of({"team_id": f"{run}{n}", "metadata": METADATA}, KEY) for n in range(TENANTS)]
    left, waited = REQUESTS, []

    async def client() -> None:
        nonlocal left
        while left > 0:
            left -= 1
            begun = time.perf_counter()
            rules = tenants[left % TENANTS]
            outcome = await limiter.admit(rules, uuid.uuid4().hex, "m", 1000, 5_000_000, datetime.now(UTC))
            waited.append(time.perf_counter() - begun)
            assert isinstance(outcome, Admitted)
            await limiter.settle(outcome, 900, 4_000_000, True)

    begun, worked = time.perf_counter(), time.process_time()
    await asyncio.gather(*(client() for _ in range(clients)))
    took, worked = time.perf_counter() - begun, time.process_time() - worked
    await limiter.close()
    redis.close()
    waited.sort()
    half, most = (1000 * waited[round(share * len(waited)) - 1] for share in (0.5, 0.99))
    speed = f"{REQUESTS / took:6.0f} requests/s, {REQUESTS / worked:6.0f} a core"
    return f"{clients:3} clients: {speed}; letting in took {half:.2f} ms (p50), {most:.2f} ms (p99)"


if __name__ == "__main__":
    for number in (1, 16, 64):
        sys.stdout.write(asyncio.run(measure(sys.argv[1], number)) + "\n")
