"""The last refusals of each tenant, for the page /usage; those of everybody, and broken answers, for /console.

They are in Redis, because a tenant's requests go to every gateway process and the page asks only one of them. They also
outlive a restart. Each tenant has at most MOST. All together have MOST_OF_ALL refusals, and as many failures: a client
that hammers must not hide a failure. Redis forgets a list after KEEP_S.
While Redis is away, each process keeps and shows its own.

A sentence is kept only if its code is in OURS: those sentences quote no client and no provider. For every other code
the entry says where the whole sentence is.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Collection
from datetime import UTC, datetime
from typing import Any

from tollgate.services.gateway.caller import Caller
from tollgate.services.gateway.outcomes import not_of_the_client
from tollgate.services.gateway.record import Record
from tollgate.services.limits.counters import AwayError, FullError
from tollgate.services.limits.resp import Redis, Script
from tollgate.services.refusals.refusal import Refusal

MOST = 20
MOST_OF_ALL = 100
# They begin the names of the lists of everybody, as a tenant's `space` begins that of its list.
REFUSED, FAILED = "tollgate:{everybody refused}:", "tollgate:{everybody failed}:"
KEEP_S = 7 * 86400
# Refusals of one tenant within this time are sent together, so a client that hammers costs Redis one command.
GATHER_S = 0.5
TENANTS = 1_000
PATIENCE_S = 1.0
AWAY_S = 5.0
OURS = frozenset(
    (
        *("requests_per_minute", "requests_per_hour", "requests_per_day", "tokens_per_minute"),
        *("max_parallel_requests", "request_too_large_for_limit"),
        *("budget_exceeded", "model_budget_exceeded", "budget_reserved"),
        *("key_expired", "key_revoked", "tenant_suspended", "route_not_allowed"),
        *("body_too_large", "body_too_slow", "encoding_not_supported", "gateway_full"),
        *("gateway_unavailable", "gateway_failed", "replica_lost"),
        *("provider_failed", "provider_model_missing", "provider_rate_limit", "provider_redirects"),
        *("provider_refused_gateway", "provider_answer_too_large"),
    )
)
OTHERS = {
    "model_not_allowed": "The request named a model that this key may not use. GET /v1/models lists those it may use.",
    "invalid_request": "The gateway or the provider could not read the request. The client was told what is wrong.",
}
# KEYS: the list. ARGV: the most entries, the seconds, then the entries, the oldest first.
_ADD = """
for i = 3, #ARGV do redis.call('LPUSH', KEYS[1], ARGV[i]) end
redis.call('LTRIM', KEYS[1], 0, ARGV[1] - 1)
redis.call('EXPIRE', KEYS[1], ARGV[2])
return 0
"""

Entry = dict[str, Any]


class Recent:
    """`models` are the names of the catalogue. No other name is kept."""

    def __init__(self, redis: Redis, models: Collection[str]) -> None:
        self._redis, self._models = redis, models
        self._add = Script(_ADD)
        self._waiting: dict[str, deque[str]] = {}
        self._sending: asyncio.Task[None] | None = None

    def note(self, caller: Caller, record: Record, refusal: Refusal | None) -> None:
        """Keep a refusal. It costs the request nothing. `refusal` is None if LiteLLM or its provider refused."""
        code = refusal.code if refusal is not None else "other_route"
        entry = self._entry(caller, record, code, sentence(record.status, refusal))
        failed = not_of_the_client(record.meant, record.route)
        self._keep(FAILED if failed else REFUSED, {**entry, "tenant": caller.tenant, "failed": failed})
        if caller.space:
            self._keep(caller.space, entry)

    def broke_off(self, caller: Caller, record: Record) -> None:
        """Keep a failure that came after the answer had begun. It is no refusal, so only the operator's list has it."""
        words = f"The answer broke off after it had begun: {record.error}. The log has more."
        entry = self._entry(caller, record, "broke_off", words)
        self._keep(FAILED, {**entry, "tenant": caller.tenant, "failed": True})

    def _entry(self, caller: Caller, record: Record, code: str, words: str) -> Entry:
        return {
            "at": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
            "status": record.status,
            "code": code,
            "sentence": words,
            "request_id": record.request_id,
            "model": record.model if record.model in self._models else None,
            "key": caller.key_name,
        }

    def _keep(self, space: str, entry: Entry) -> None:
        if space not in self._waiting and len(self._waiting) >= TENANTS:
            return
        self._waiting.setdefault(space, deque(maxlen=_most(space))).append(json.dumps(entry))
        if self._sending is None or self._sending.done():
            self._sending = asyncio.create_task(self._send_soon())

    async def read(self, caller: Caller) -> list[Entry]:
        """Those of the caller's tenant, the newest first. While Redis is away: those of this process."""
        return await self._read(caller.space) if caller.space else []

    async def read_all(self) -> list[Entry]:
        """Refusals and failures of everybody, the newest first. `tenant` says whose, `failed` which of both it is."""
        listed = [*await self._read(REFUSED), *await self._read(FAILED)]
        return sorted(listed, key=lambda entry: str(entry["at"]), reverse=True)

    async def _read(self, space: str) -> list[Entry]:
        try:
            async with asyncio.timeout(PATIENCE_S):
                texts = await self._redis.command("LRANGE", _list(space), "0", str(_most(space) - 1))
        except (AwayError, FullError, TimeoutError):
            texts = []
        listed = [json.loads(text) for text in (*reversed(self._waiting.get(space, ())), *texts)]
        return sorted(listed, key=lambda entry: str(entry["at"]), reverse=True)[: _most(space)]

    async def close(self) -> None:
        if self._sending is not None:
            self._sending.cancel()
            await asyncio.gather(self._sending, return_exceptions=True)
        await self._send()

    async def _send_soon(self) -> None:
        pause = GATHER_S
        while self._waiting:
            await asyncio.sleep(pause)
            pause = GATHER_S if await self._send() else AWAY_S

    async def _send(self) -> bool:
        """Whether Redis took all. The rest waits; the limiter logs that Redis is away."""
        while self._waiting:
            space, entries = next(iter(self._waiting.items()))
            sent = list(entries)
            try:
                await self._redis.run(self._add, [_list(space)], [str(_most(space)), str(KEEP_S), *sent])
            except (AwayError, FullError):
                return False
            left = [entry for entry in self._waiting.pop(space) if entry not in sent]
            if left:
                self._waiting[space] = deque(left, maxlen=_most(space))
        return True


def sentence(status: int, refusal: Refusal | None) -> str:
    if refusal is None:
        return f"LiteLLM or its provider answered with status {status}. The client has the whole sentence."
    if refusal.code in OURS:
        return refusal.message
    if refusal.code in OTHERS:
        return OTHERS[refusal.code]
    return f"The request was refused with status {status}. The client has the whole sentence."


def _most(space: str) -> int:
    return MOST_OF_ALL if space in (REFUSED, FAILED) else MOST


def _list(space: str) -> str:
    return f"{space}refusals"
