"""Whether LiteLLM itself has something to enforce for a caller: a limit or a budget in its own fields.

`tollgate apply` leaves those fields empty. A gateway process asks the same of the rows (gateway/caller.py).
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any

from tollgate.services.limits.rules import OURS

# LiteLLM's names for what it enforces: rpm_limit, team_max_budget, max_parallel_requests, budget_limits ... Snapshots
# repeat the fields of others.
_ENFORCED = re.compile(r"(?:limit|budget|parallel)(?!.*_snapshot$)")
# In metadata: ours, with all limits of a tenant's file.
_OUR_LIMITS = "limits"
# These can have a budget that neither the key nor its team shows.
_OTHERS = (
    "user_id",
    "org_id",
    "organization_id",
    "project_id",
    "agent_id",
    "end_user_id",
    "access_group_ids",
    "team_member",
)


def counts_for(caller: Any, team: Any) -> bool:
    """Whether LiteLLM must count this call. `caller` is its UserAPIKeyAuth, `team` its team, or None if unknown.

    False only for a key and a team that `tollgate apply` made and in which nobody has set one of LiteLLM's limits.
    """
    rows = (caller.metadata or {}, caller.team_metadata or {})
    if team is None or any(row.get("managed_by") != OURS for row in rows):
        return True
    if any(getattr(who, name, None) for who in (caller, team) for name in _OTHERS):
        return True
    if any(getattr(who, name) for who in (caller, team) for name in _enforced_fields(who.__class__)):
        return True
    return any(value for row in rows for name, value in row.items() if name != _OUR_LIMITS and _ENFORCED.search(name))


@cache
def _enforced_fields(model: Any) -> tuple[str, ...]:
    """The fields of LiteLLM's pydantic model, a class, that limit something, also those of a later release."""
    return tuple(name for name in model.model_fields if _ENFORCED.search(name))
