"""The objects that Tollgate manages in LiteLLM, as values: a tenant's team, its keys, and their limits.

Desired state (from tenants/*.yaml) and observed state (from the management API) both consist of these values and are
compared with `==`. Fields that LiteLLM writes by itself (spend, reset times) are not here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from sys import intern

from tollgate.limits import DURATIONS

# The routes that a tenant's key may call. nginx lets the same routes through (render/nginx.py; a test compares the
# two). No route here shows other tenants' data or internals of the deployment (docs/facts.md 8). Others get a 403.
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
TEAMS_MODELS = "all-team-models"  # LiteLLM's word for a key that may use every model of its team
DAY, WEEK, MONTH = (DURATIONS[window] for window in ("day", "week", "month"))
EXPIRED = "expired"  # stands for each time in the past, so that two expired keys compare equal

Names = tuple[str, ...]
Pairs = tuple[tuple[str, str], ...]  # sorted names with their values as JSON


@dataclass(frozen=True, order=True, slots=True)
class Budget:
    """At most `usd` for one model in each window: a day (`1d`) or a calendar month (`1mo`), in UTC."""

    usd: float
    duration: str


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of a team or a key, by their names in the tenant's file. None and an empty tuple mean no limit.

    All of them are in the metadata, where services/limits reads them. LiteLLM's own fields stay empty: a limit there
    would be counted apart from ours, so it is `stray`. Money is in USD.
    """

    daily_limit: float | None = None
    weekly_limit: float | None = None
    monthly_limit: float | None = None
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    requests_per_hour: int | None = None
    requests_per_day: int | None = None
    max_parallel_requests: int | None = None
    soft_limit: float | None = None
    per_model: tuple[tuple[str, tuple[Budget, ...]], ...] = ()


NO_LIMITS = Limits()


@dataclass(frozen=True, slots=True)
class Team:
    """A tenant's team, with the tenant's id. `models` is sorted; empty means every model of the gateway.

    `labels` is the operator's own metadata. `stray` has values that no tenant file can set; a person or another
    program set them. It is empty in a desired team, so the plan shows it as a difference and removes it.
    """

    id: str
    name: str
    models: Names = ()
    limits: Limits = NO_LIMITS
    owner: str = ""
    labels: Pairs = ()
    blocked: bool = False
    show_keys: bool = False
    stray: Pairs = ()

    @property
    def tenant(self) -> str:
        return self.id


ALL_ROUTES = tuple(sorted(intern(route) for route in TENANT_ROUTES))


@dataclass(frozen=True, slots=True)
class Key:
    """A virtual key of a team. `id` is its sha256, as in LiteLLM. Its plain text is never in here.

    `name` is the name in the tenant's file. `expires` is a UTC minute (`2027-01-31T00:00Z`) or EXPIRED. `retiring`
    marks a rotated key: no file names it, and it works until it expires.
    """

    id: str
    team: str
    alias: str
    name: str = ""
    owner: str = ""
    models: Names = (TEAMS_MODELS,)
    routes: Names = ALL_ROUTES
    limits: Limits = NO_LIMITS
    expires: str | None = None
    retiring: bool = False
    blocked: bool = False
    stray: Pairs = ()

    @property
    def tenant(self) -> str:
        return self.team


@dataclass(frozen=True)
class State:
    """All teams and keys by id. `unmanaged_*` map ids to names of objects without our mark; nothing changes them."""

    teams: Mapping[str, Team] = field(default_factory=dict)
    keys: Mapping[str, Key] = field(default_factory=dict)
    unmanaged_teams: Mapping[str, str] = field(default_factory=dict)
    unmanaged_keys: Mapping[str, str] = field(default_factory=dict)
