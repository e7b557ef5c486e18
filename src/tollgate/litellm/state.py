"""What Tollgate manages in LiteLLM, as values: a tenant's team, its keys, and how much each may use.

Desired state (from tenants/*.yaml) and observed state (from the management API) are both made of these, so that
comparing them is `==`. A field that LiteLLM writes by itself (spend, reset times) has no place here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

# What a tenant's key may call: the routes nginx lets through (render/nginx.py; a test compares the two), and
# nothing that shows other tenants' data or the deployment's insides (docs/facts.md 8). The rest is a 403.
TENANT_ROUTES = (
    "/v1/messages",
    "/v1/messages/count_tokens",
    "/v1/chat/completions",
    "/chat/completions",
    "/v1/completions",
    "/completions",
    "/v1/embeddings",
    "/embeddings",
    "/v1/models",
    "/v1/models/*",
    "/models",
    "/health",
)
DAY, MONTH = "1d", "1mo"


@dataclass(frozen=True, order=True)
class Budget:
    """At most `usd` in each window; windows begin at midnight UTC (`1d`) or on the first of the month (`1mo`)."""

    usd: float
    duration: str | None


@dataclass(frozen=True)
class Limits:
    """How much a team or a key may use; None and an empty tuple mean no limit.

    `budget` is LiteLLM's main budget: the only one that shows in its metrics and the only one for which `1mo` is
    safe. `windows` are further budgets beside it, sorted (docs/facts.md 2 and 3).
    """

    budget: Budget | None = None
    windows: tuple[Budget, ...] = ()
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None


@dataclass(frozen=True)
class Team:
    """A tenant's team: its id is the tenant's. `models` is sorted; empty means every model of the gateway."""

    id: str
    name: str
    models: tuple[str, ...] = ()
    limits: Limits = Limits()
    blocked: bool = False

    @property
    def tenant(self) -> str:
        return self.id


@dataclass(frozen=True)
class Key:
    """A virtual key of a team, known by its sha256 (LiteLLM's own id for it). Its plain text is never in here."""

    id: str
    team: str
    alias: str
    models: tuple[str, ...] = ("all-team-models",)
    routes: tuple[str, ...] = tuple(sorted(TENANT_ROUTES))
    limits: Limits = Limits()
    blocked: bool = False

    @property
    def tenant(self) -> str:
        return self.team


@dataclass(frozen=True)
class State:
    """All teams and keys by id. `unmanaged_*`: ids of what lacks our mark; known only so as to be left alone."""

    teams: Mapping[str, Team] = field(default_factory=dict)
    keys: Mapping[str, Key] = field(default_factory=dict)
    unmanaged_teams: frozenset[str] = frozenset()
    unmanaged_keys: frozenset[str] = frozenset()
