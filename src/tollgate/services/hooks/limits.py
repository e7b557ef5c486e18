"""The callback that holds the limits LiteLLM lacks, over all replicas; and keeps tenants' cached answers apart.

Requests per hour and day, requests running at once, and money per model. Redis is asked once for each request. While
it is away each replica counts alone, from zero: at most the limit passes on each replica, once in a window
(docs/limits.md).
"""

from __future__ import annotations

import contextlib
import os
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from litellm.integrations.custom_logger import CustomLogger
from litellm.proxy._types import ProxyException

from tollgate.services.hooks import ledger
from tollgate.services.hooks.counters import AwayError, Over, SharedCounters
from tollgate.services.hooks.ongoing import CURRENT, Ongoing
from tollgate.services.hooks.redis_counters import RedisCounters, connect
from tollgate.services.hooks.refusal import Refusal
from tollgate.services.hooks.tenant_limits import (
    Limit,
    owner,
    refusal,
    request_limits,
)


class Limits(CustomLogger):  # type: ignore[misc]  # LiteLLM is not there when types are checked
    """Runs before LiteLLM's own limiter, which refuses what is over requests or tokens a minute."""

    def __init__(self, shared: RedisCounters) -> None:
        super().__init__()
        self._shared = shared
        self._counters = SharedCounters(shared)
        # By tenant and model, from the answers of this replica: what to reserve for a request that is let in.
        self._usual_cost: dict[tuple[str, str], float] = {}

    async def async_pre_call_hook(
        self, user_api_key_dict: Any, cache: Any, data: dict[str, Any], call_type: str
    ) -> dict[str, Any]:
        separate_cache(user_api_key_dict, data)
        ongoing = CURRENT.get()
        now = datetime.now(UTC)
        model = ledger.model_of(str(data.get("model", "")))
        usual_cost = self._usual_cost.get((str(user_api_key_dict.team_id), model), 0.0)
        limits = request_limits(user_api_key_dict, model, now, usual_cost)
        if limits:
            over = await self._take(ongoing, limits)
            if over is not None:
                which = next(limit for limit in limits if limit.check is over.check)
                ongoing.refusal = refusal(which, over, now, owner(user_api_key_dict))
                raise _as_litellms(ongoing.refusal)
        return data

    async def _take(self, ongoing: Ongoing, limits: list[Limit]) -> Over | None:
        """Take from every counter, or say which one refuses. A counter of money that Redis does not know is seeded."""
        request = uuid.uuid4().hex
        checks = [limit.check for limit in limits]
        over = await self._counters.take(checks, request)
        while over is not None and over.used is None:
            unknown = next(limit for limit in limits if limit.check is over.check)
            inside = unknown.window
            spent = None if inside is None else await ledger.spent(unknown.holder.id, unknown.model, inside)
            if spent is None:
                checks.remove(unknown.check)
            else:
                await self._counters.seed(unknown.check, spent)
            over = await self._counters.take(checks, request)
        if over is None:
            ongoing.settle = lambda refund: self._counters.give_back(request, refund)
            ongoing.reserved = {check.key: check.reserve for check in checks if check.reserve}
        return over

    async def async_log_success_event(
        self, kwargs: dict[str, Any], response_obj: Any, start_time: Any, end_time: Any
    ) -> None:
        """What a request cost, as LiteLLM computes it, onto the counters of its model, for what was reserved."""
        payload = kwargs.get("standard_logging_object") or {}
        cost = float(payload.get("response_cost") or 0)
        amounts = _released()
        for limit in ledger.caps_of(kwargs, payload, datetime.now(UTC)):
            amounts[limit.check.key] = amounts.get(limit.check.key, 0.0) + cost
            whose = (limit.holder.id, limit.model)
            self._usual_cost[whose] = 0.8 * self._usual_cost.get(whose, cost) + 0.2 * cost
        if amounts:
            await self._counters.spend(amounts)

    async def async_post_call_failure_hook(
        self,
        request_data: dict[str, Any],
        original_exception: Exception,
        user_api_key_dict: Any,
        traceback_str: str | None = None,
    ) -> None:
        """What failed costs nothing. And LiteLLM says 60 s whatever is left of a tenant's minute; Redis knows that."""
        if amounts := _released():
            await self._counters.spend(amounts)
        ongoing, holder = CURRENT.get(None), getattr(original_exception, "descriptor_key", None)
        if ongoing is None or holder not in ("team", "api_key"):
            return
        one = user_api_key_dict.team_id if holder == "team" else user_api_key_dict.api_key
        with contextlib.suppress(AwayError):
            ongoing.reopens_in = await self._shared.seconds_left(f"{{{holder}:{one}}}:window")


def _released() -> dict[str, float]:
    """What was reserved for this request, to be taken off; nothing the second time."""
    ongoing = CURRENT.get(None)
    if ongoing is None:
        return {}
    reserved, ongoing.reserved = ongoing.reserved, {}
    return {key: -amount for key, amount in reserved.items()}


def separate_cache(caller: Any, data: dict[str, Any]) -> None:
    """LiteLLM's response cache knows no tenants: the namespace keeps their answers apart, whatever a client sent."""
    asked = data.get("cache")
    data["cache"] = {
        **(asked if isinstance(asked, Mapping) else {}),
        "namespace": f"tenant:{caller.team_id}" if caller.team_id else f"key:{caller.token}",
    }


def _as_litellms(refused: Refusal) -> ProxyException:
    """What LiteLLM logs and counts; the client reads the refusal itself."""
    headers = {} if refused.retry_after is None else {"retry-after": str(refused.retry_after)}
    return ProxyException(message=refused.message, type=refused.kind, param=None, code=refused.status, headers=headers)


handler = Limits(RedisCounters(connect(os.environ["TOLLGATE_REDIS"], os.environ["REDIS_PASSWORD"])))
