"""LiteLLM as the limiter needs it: when a tenant was created, models and their prices, and what was spent."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from tollgate.services.limits.questions import statements
from tollgate.services.limits.rule import NANO
from tollgate.services.limits.spent import Question
from tollgate.services.requests.fields import unpacked

log = logging.getLogger("tollgate.limits")

# By tenant, for the time when neither a cache nor Postgres has it.
_CREATED: dict[str, datetime | str | None] = {}
# For a model whose price cannot be computed: budgets are asked, and almost nothing is reserved.
UNKNOWN_PRICE = 1


def aliases() -> Mapping[str, str]:
    """Aliases of models from config/gateway.yaml, each with its model."""
    from litellm.proxy.proxy_server import llm_router  # set after the server has read its configuration

    configured = getattr(llm_router, "model_group_alias", None) or {}
    return {alias: target["model"] if isinstance(target, Mapping) else target for alias, target in configured.items()}


def model_of(name: str) -> str:
    """The model behind an alias or a name of Claude Code's. A limit on a model counts all its names together."""
    known = aliases()
    return known.get(name) or known.get(unpacked(name), unpacked(name))


async def team_of(identity: str) -> Any:
    """LiteLLM's team; None while neither a cache nor Postgres has it.

    LiteLLM's authentication has looked the team up a moment before, so this asks its memory.
    """
    from litellm.proxy import proxy_server as server
    from litellm.proxy.auth.auth_checks import get_team_object

    try:
        return await get_team_object(
            identity, server.prisma_client, server.user_api_key_cache, proxy_logging_obj=server.proxy_logging_obj
        )
    except Exception as error:  # noqa: BLE001  LiteLLM makes every failure of its look-up a 404; no request ends for it
        log.warning("LiteLLM does not say when a tenant was created: %s", type(error).__name__)
        return None


def created_at(identity: str, team: Any) -> datetime | str | None:
    """When the team was created: the counters of a tenant that is created again are new ones.

    Without the team it is what this replica knew; None if it knew nothing.
    """
    if team is not None:
        _CREATED[identity] = team.created_at or _CREATED.get(identity)
    return _CREATED.get(identity)


def highest_cost(data: Mapping[str, Any], model: str, route: str, tokens: int) -> int:
    """In nano-dollars, 0 for a free model. By LiteLLM's own rule for reservations (replica/reservation.py), with our
    estimate of the input."""
    from litellm.proxy.proxy_server import llm_router
    from litellm.proxy.spend_tracking import budget_reservation

    usd = budget_reservation._estimate_request_max_cost_for_model(
        request_body=dict(data), route=route, model=model, llm_router=llm_router, input_tokens=tokens
    )
    return UNKNOWN_PRICE if usd is None else math.ceil(usd * NANO)


async def spent(questions: Sequence[Question]) -> list[int | None]:
    """What services/limits/spent.py asks. It catches every failure."""
    from litellm.proxy.proxy_server import prisma_client

    names = aliases()
    amounts: list[int | None] = []
    for question in questions:
        nano = 0
        for statement in statements(question, names):
            rows = await prisma_client.db.query_raw(statement.sql, *statement.values)
            nano += int(rows[0]["nano"])
        amounts.append(nano)
    return amounts
