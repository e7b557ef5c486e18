"""Tells the other gateway processes which targets rest, through one small hash in Redis, beside all requests.

A process asks Redis twice a second, so all processes know of a rest within a second. A request asks nobody. While Redis
is away, each process knows its own rests only, and tells them when Redis is back, if they still last.

The fields of the hash are ids of targets of the catalogue. Redis is not believed blindly: only known targets rest, and
none longer than `cooldown_s`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection

from tollgate.services.gateway.targets import Cooldowns
from tollgate.services.limits.clock import AHEAD_S
from tollgate.services.limits.counters import AwayError, FullError
from tollgate.services.limits.resp import Redis, Script

HASH = "tollgate:{cooldowns}:resting"
EVERY_S = 0.5
AWAY_S = 5.0
# KEYS: the hash. ARGV: its lifetime in ms, then pairs of a target and the end of its rest in ms since 1970. Redis
# deletes the hash after its lifetime, and with it the targets that no catalogue has any more.
_TELL = """
for i = 2, #ARGV, 2 do redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1]) end
if #ARGV > 1 then redis.call('PEXPIRE', KEYS[1], ARGV[1]) end
return redis.call('HGETALL', KEYS[1])
"""


class SharedCooldowns:
    """`known` are the ids of the catalogue's targets. `now` is in seconds since 1970."""

    def __init__(
        self, redis: Redis, cooldowns: Cooldowns, known: Collection[str], now: Callable[[], float] = time.time
    ) -> None:
        self._redis, self._cooldowns, self._known, self._now = redis, cooldowns, frozenset(known), now
        self._script = Script(_TELL)

    async def run(self) -> None:
        """Until it is cancelled."""
        while self._cooldowns.cooldown_s:
            await asyncio.sleep(EVERY_S if await self.exchange() else AWAY_S)

    async def exchange(self) -> bool:
        """Tell the rests that began here, and learn all. Whether Redis answered."""
        now, most = self._now(), self._cooldowns.cooldown_s
        fresh = self._cooldowns.begun()
        pairs = [word for target, left in fresh.items() for word in (target, str(round((now + left) * 1000)))]
        try:
            reply = await self._redis.run(self._script, [HASH], [str(round(most * 1000)), *pairs])
        except (AwayError, FullError):
            self._cooldowns.tell_again(fresh)
            return False
        now = self._now()
        for target, until in zip(reply[::2], reply[1::2], strict=True):
            left = int(until) / 1000 - now if until.isdecimal() else 0.0
            if target in self._known and 0 < left <= most + AHEAD_S:
                self._cooldowns.rest(target, min(left, most))
        return True
