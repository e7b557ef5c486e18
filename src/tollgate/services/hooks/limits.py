"""The callback that enforces a tenant's limits, over all replicas and gateway processes. It also separates caches.

The limiter is that of the gateway processes (services/limits), with the same counters in Redis. A request that a
gateway process has let in already is taken over: the replica counts nothing again, and settles it. Any other request
asks the limits here: without gateway processes, when none takes a connection, and when one hands over a request that
it has not counted. While Redis is away, each replica counts alone (docs/refusals.md).
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from typing import Any

from litellm.integrations.custom_logger import CustomLogger
from litellm.proxy._types import ProxyException

from tollgate.services.hooks import ledger, paid_tools
from tollgate.services.hooks.admission import Admission, Asked
from tollgate.services.hooks.litellms_limits import counts_for
from tollgate.services.hooks.names import owner
from tollgate.services.hooks.ongoing import CURRENT
from tollgate.services.limits.counters import AwayError
from tollgate.services.limits.limiter import Limiter
from tollgate.services.limits.redis_counters import RedisCounters
from tollgate.services.limits.resp import Redis
from tollgate.services.limits.rule import NANO, Rule
from tollgate.services.limits.rules import rules_of
from tollgate.services.refusals.refusal import Refusal
from tollgate.services.requests.estimate import tokens_of_any


class LimitsHook(CustomLogger):  # type: ignore[misc]  # LiteLLM is not installed when types are checked
    """`secret` is what gateway processes sign tickets with."""

    def __init__(self, redis: Redis, secret: str = "") -> None:
        super().__init__()
        self._redis = redis
        self._admission = Admission(Limiter(RedisCounters(redis), ledger.spent), secret)

    async def async_pre_call_hook(
        self, user_api_key_dict: Any, cache: Any, data: dict[str, Any], call_type: str
    ) -> dict[str, Any]:
        separate_cache(user_api_key_dict, data)
        ongoing = CURRENT.get()
        team = await _team(user_api_key_dict)
        ongoing.counted_by_us = not counts_for(user_api_key_dict, team)
        if ongoing.held is None and (rules := _rules(user_api_key_dict, team)):
            ongoing.refusal = await self._admission.admit(ongoing, _asked(user_api_key_dict, rules, data))
            if ongoing.refusal is not None:
                raise _as_proxy_exception(ongoing.refusal)
        return data

    async def async_log_success_event(
        self, kwargs: dict[str, Any], response_obj: Any, start_time: Any, end_time: Any
    ) -> None:
        """Replace what was reserved by what the answer used, as LiteLLM counted it."""
        ongoing = CURRENT.get(None)
        if ongoing is None or ongoing.held is None:
            return
        payload = kwargs.get("standard_logging_object") or {}
        tokens = int(payload.get("prompt_tokens") or 0) + int(payload.get("completion_tokens") or 0)
        await ongoing.held.booked(tokens, round(float(payload.get("response_cost") or 0) * NANO))

    async def async_post_call_failure_hook(
        self,
        request_data: dict[str, Any],
        original_exception: Exception,
        user_api_key_dict: Any,
        traceback_str: str | None = None,
    ) -> None:
        """After a refusal by LiteLLM's own limit per minute, of a key that was made by hand: read from Redis when it
        reopens. LiteLLM itself always says 60 s."""
        ongoing, holder = CURRENT.get(None), getattr(original_exception, "descriptor_key", None)
        if ongoing is None or holder not in ("team", "api_key"):
            return
        identity = user_api_key_dict.team_id if holder == "team" else user_api_key_dict.api_key
        with contextlib.suppress(AwayError):
            left = int(await self._redis.command("PTTL", f"{{{holder}:{identity}}}:window"))
            ongoing.reopens_in = None if left < 0 else -(-left // 1000)


def _asked(caller: Any, rules: tuple[Rule, ...], data: Mapping[str, Any]) -> Asked:
    route, tokens = str(caller.request_route or ""), tokens_of_any(data)

    def cost(name: str) -> tuple[str, int]:
        model = ledger.model_of(name)
        return model, ledger.highest_cost(data, model, route, tokens) + paid_tools.handler.most(data, model)

    model = ledger.model_of(str(data.get("model", "")))
    return Asked(str(caller.token), owner(caller), rules, model, tokens, cost)


async def _team(caller: Any) -> Any:
    """LiteLLM's team of a caller that has limits of ours, else None."""
    limited = (caller.team_metadata or {}).get("limits") or (caller.metadata or {}).get("limits")
    return await ledger.team_of(str(caller.team_id)) if caller.token and caller.team_id and limited else None


def _rules(caller: Any, row: Any) -> tuple[Rule, ...]:
    """The limits in the metadata of the caller's team and key. LiteLLM itself holds those in its own fields."""
    team, key = caller.team_metadata or {}, caller.metadata or {}
    if not caller.token or not (team.get("limits") or key.get("limits")):
        return ()
    identity = str(caller.team_id or "")
    of_team = {"team_id": identity, "metadata": team, "created_at": ledger.created_at(identity, row)}
    of_key = {"token": caller.token, "key_alias": caller.key_alias, "metadata": key}
    return rules_of(of_team if identity else None, of_key)


def separate_cache(caller: Any, data: dict[str, Any]) -> None:
    """Set the cache namespace to the tenant, whatever the client sent: LiteLLM's response cache knows no tenants."""
    asked = data.get("cache")
    data["cache"] = {
        **(asked if isinstance(asked, Mapping) else {}),
        "namespace": f"tenant:{caller.team_id}" if caller.team_id else f"key:{caller.token}",
    }


def _as_proxy_exception(refused: Refusal) -> ProxyException:
    """The refusal as an exception, which LiteLLM logs and counts. The client gets the refusal itself."""
    headers = {} if refused.retry_after is None else {"retry-after": str(refused.retry_after)}
    return ProxyException(message=refused.message, type=refused.kind, param=None, code=refused.status, headers=headers)


handler = LimitsHook(
    Redis(os.environ["TOLLGATE_REDIS"], os.environ["REDIS_PASSWORD"]), os.environ.get("TOLLGATE_HANDOVER_KEY", "")
)
