"""Keeps LiteLLM from counting calls that our limits count already.

After each call LiteLLM adds its tokens and its cost to counters of its own in Redis, also if no limit reads them: two
to three round trips through a slow client. They are left out for a key and a team in which nobody has set one of
LiteLLM's limits (hooks/litellms_limits.py). All other calls are counted as before. If somebody sets a budget by hand
later, LiteLLM finds no counter, and begins with what the ledger has.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Any

from tollgate.services.hooks.ongoing import CURRENT

Counting = Callable[..., Awaitable[Any]]


def count_once() -> None:
    """Patch LiteLLM. If one of its functions is missing, the replica does not start."""
    from litellm.proxy import proxy_server
    from litellm.proxy.hooks.parallel_request_limiter_v3 import _PROXY_MaxParallelRequestsHandler_v3 as Limiter

    Limiter.async_log_success_event = unless_ours(Limiter.async_log_success_event)
    # LiteLLM looks both up here for each call.
    proxy_server.increment_spend_counters = unless_ours(proxy_server.increment_spend_counters)
    proxy_server.update_cache = unless_ours(proxy_server.update_cache)


def unless_ours(counting: Counting) -> Counting:
    """`counting`, which does nothing for a call that only our limits count. A reservation is always settled."""

    @wraps(counting)
    async def counted(*args: Any, **kwargs: Any) -> Any:
        ongoing = CURRENT.get(None)
        if ongoing is not None and ongoing.counted_by_us and kwargs.get("budget_reservation") is None:
            return None
        return await counting(*args, **kwargs)

    return counted
