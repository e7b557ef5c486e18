"""What LiteLLM knows of money: which model a name means, what a tenant has spent on it, what one request cost."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from tollgate.services.hooks.tenant_limits import Holder, Limit, money_limits
from tollgate.services.hooks.windows import Window

log = logging.getLogger("litellm.tollgate.limits")

# One row a day, team, key and model; LiteLLM writes it within seconds, by the day (UTC) a request began.
SPENT = """
SELECT COALESCE(SUM(spend), 0)::float8 AS spent FROM "LiteLLM_DailyTeamSpend"
 WHERE team_id = $1 AND date >= $2 AND date < $3 AND model_group IN ({names})
"""


def _aliases() -> Mapping[str, str]:
    """Other names of models, as config/gateway.yaml has them."""
    from litellm.proxy.proxy_server import llm_router  # set when the server has read its configuration

    aliases = getattr(llm_router, "model_group_alias", None) or {}
    return {alias: one["model"] if isinstance(one, Mapping) else one for alias, one in aliases.items()}


def model_of(name: str) -> str:
    """The model behind an alias: a cap on a model is no cap on one of its names."""
    return _aliases().get(name, name)


async def spent(team: str, model: str, inside: Window) -> float | None:
    """What a tenant has spent on a model in a window, in USD; None where the ledger cannot be asked."""
    from litellm.proxy.proxy_server import prisma_client

    names = [model, *(alias for alias, meant in _aliases().items() if meant == model)]
    query = SPENT.format(names=", ".join(f"${number}" for number in range(4, 4 + len(names))))
    days = (f"{inside.start:%Y-%m-%d}", f"{inside.end:%Y-%m-%d}")
    try:
        rows = await prisma_client.db.query_raw(query, team, *days, *names)
    except Exception as error:  # noqa: BLE001  Prisma's errors have no common base, and a ledger away stops nobody
        log.warning("the ledger cannot be asked, a limit per model is not held: %s", type(error).__name__)
        return None
    return float(rows[0]["spent"])


def caps_of(kwargs: Mapping[str, Any], payload: Mapping[str, Any], now: datetime) -> list[Limit]:
    """The limits of money that a finished request counts for: those of the model that answered, in its team."""
    params = kwargs.get("litellm_params") or {}
    metadata = {**(params.get("metadata") or {}), **(params.get("litellm_metadata") or {})}
    team, limits = (
        metadata.get("user_api_key_team_id"),
        (metadata.get("user_api_key_team_metadata") or {}).get("limits"),
    )
    if not team or not isinstance(limits, Mapping):
        return []
    model = model_of(str(payload.get("model_group") or metadata.get("model_group") or ""))
    return list(money_limits(Holder("team", str(team), str(team), limits), model, now))
