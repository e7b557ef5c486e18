"""The counters in Redis, which all replicas share. Each question is one Lua script: nothing is read and then written.

Counters are named by their window, so none is ever reset; each expires by itself. Slots are a sorted set of leases, by
the clock of Redis.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Mapping, Sequence
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as BrokenError
from redis.exceptions import RedisError

from tollgate.services.hooks.counters import AwayError, Check, Over

LEASE_S = 30.0
# Seconds for one answer. A frozen Redis costs a request this much once, then nobody asks for a while. With less, a
# replica that is only busy would take Redis for away.
TIMEOUT_S = 3.0

TAKE = """
local checks, request, lease = cjson.decode(ARGV[1]), ARGV[2], tonumber(ARGV[3])
local clock = redis.call('TIME')
local now = tonumber(clock[1]) + tonumber(clock[2]) / 1000000
for i, check in ipairs(checks) do
  local used
  if check.kind == 'slots' then
    redis.call('ZREMRANGEBYSCORE', KEYS[i], '-inf', now)
    used = redis.call('ZCARD', KEYS[i])
  else
    local value = redis.call('GET', KEYS[i])
    if not value and check.kind == 'money' then return {i, 'unknown'} end
    used = tonumber(value or '0')
  end
  if used >= check.limit then return {i, tostring(used)} end
end
for i, check in ipairs(checks) do
  if check.kind == 'requests' then
    redis.call('INCR', KEYS[i])
    redis.call('EXPIREAT', KEYS[i], check.expires)
  elseif check.kind == 'slots' then
    redis.call('ZADD', KEYS[i], now + lease, request)
    redis.call('EXPIRE', KEYS[i], math.ceil(lease * 2))
  elseif check.reserve > 0 then
    redis.call('INCRBYFLOAT', KEYS[i], check.reserve)
  end
end
return {0, ''}
"""

GIVE_BACK = """
local checks, request, refund = cjson.decode(ARGV[1]), ARGV[2], ARGV[3] == '1'
for i, check in ipairs(checks) do
  if check.kind == 'slots' then
    redis.call('ZREM', KEYS[i], request)
  elseif check.kind == 'requests' and refund and tonumber(redis.call('GET', KEYS[i]) or '0') > 0 then
    redis.call('DECR', KEYS[i])
  end
end
"""

RENEW = """
local clock, lease = redis.call('TIME'), tonumber(ARGV[1])
local now = tonumber(clock[1]) + tonumber(clock[2]) / 1000000
for i, key in ipairs(KEYS) do
  redis.call('ZADD', key, 'XX', now + lease, ARGV[i + 1])
  redis.call('EXPIRE', key, math.ceil(lease * 2))
end
"""

# A counter that is gone (a flushed Redis) is not begun anew here: the next request seeds it from the ledger.
SPEND = """
for i, key in ipairs(KEYS) do
  if redis.call('EXISTS', key) == 1 then redis.call('INCRBYFLOAT', key, ARGV[i]) end
end
"""


def connect(address: str, password: str) -> Redis:
    """`address` is host:port. One retry, for an idle connection that Redis closed is found out by using it; none when
    time ran out, for Redis may have counted."""
    host, _, port = address.rpartition(":")
    return Redis(
        host=host,
        port=int(port),
        password=password,
        socket_timeout=TIMEOUT_S,
        socket_connect_timeout=TIMEOUT_S,
        retry=Retry(NoBackoff(), 1, supported_errors=(BrokenError,)),
        decode_responses=True,
    )


class RedisCounters:
    """Raises AwayError where Redis does not answer."""

    def __init__(self, redis: Redis, lease: float = LEASE_S) -> None:
        self._redis = redis
        self._lease = lease
        scripts = (TAKE, GIVE_BACK, RENEW, SPEND)
        self._take, self._give_back, self._renew, self._spend = map(redis.register_script, scripts)

    async def take(self, checks: Sequence[Check], request: str) -> Over | None:
        keys = [check.key for check in checks]
        which, used = await _answer(self._take(keys=keys, args=[_as_json(checks), request, self._lease]))
        if int(which) == 0:
            return None
        return Over(checks[int(which) - 1], None if used == "unknown" else float(used))

    async def give_back(self, checks: Sequence[Check], request: str, refund: bool) -> None:
        keys = [check.key for check in checks]
        await _answer(self._give_back(keys=keys, args=[_as_json(checks), request, int(refund)]))

    async def renew(self, held: Sequence[tuple[str, str]]) -> None:
        requests = [request for _, request in held]
        await _answer(self._renew(keys=[key for key, _ in held], args=[self._lease, *requests]))

    async def seed(self, check: Check, spent: float) -> None:
        await _answer(self._redis.set(check.key, repr(spent), nx=True, exat=check.expires))

    async def spend(self, amounts: Mapping[str, float]) -> None:
        await _answer(self._spend(keys=list(amounts), args=[f"{amount:.12f}" for amount in amounts.values()]))

    async def seconds_left(self, key: str) -> int | None:
        """Until Redis forgets `key`; None where it has."""
        left = int(await _answer(self._redis.pttl(key)))
        return None if left < 0 else -(-left // 1000)


async def _answer(question: Awaitable[Any]) -> Any:
    try:
        return await question
    except (TimeoutError, RedisError, OSError) as error:
        raise AwayError(type(error).__name__) from error


def _as_json(checks: Sequence[Check]) -> str:
    fields = ("kind", "limit", "expires", "reserve")
    return json.dumps([{name: getattr(check, name) for name in fields} for check in checks])
