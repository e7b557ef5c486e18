"""What Tollgate manages in LiteLLM, as values: a tenant's team, its keys, and how much each may use.

Desired state (from tenants/*.yaml) and observed state (from the management API) are both made of these, so that
comparing them is `==`. A field that LiteLLM writes by itself (spend, reset times) has no place here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from sys import intern

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
TEAMS_MODELS = "all-team-models"  # LiteLLM's word for a key that may use whatever its team may
DAY, WEEK, MONTH = "1d", "7d", "1mo"
EXPIRED = "expired"  # in place of a time that has passed: two keys that no longer work differ in nothing that matters

Names = tuple[str, ...]
Pairs = tuple[tuple[str, str], ...]  # sorted names with their values as JSON


@dataclass(frozen=True, order=True, slots=True)
class Budget:
    """At most `usd` in each window: a day (`1d`) or week (`7d`, from Monday) in UTC, or a calendar month (`1mo`)."""

    usd: float
    duration: str | None


@dataclass(frozen=True, slots=True)
class Limits:
    """How much a team or a key may use; None and an empty tuple mean no limit.

    `budget` is LiteLLM's main budget: the only one that shows in its metrics and the only one for which `1mo` is
    safe. `windows` are further budgets beside it, sorted (docs/facts.md 2 and 3). From `requests_per_hour` on LiteLLM
    knows nothing: they travel in metadata and the replicas' hook holds them.
    """

    budget: Budget | None = None
    windows: tuple[Budget, ...] = ()
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
    """A tenant's team: its id is the tenant's. `models` is sorted; empty means every model of the gateway.

    `labels` is the operator's own metadata. `stray` is what somebody else set on it and no tenant file can say: always
    empty in a desired team, so that it shows as a difference and is taken back.
    """

    id: str
    name: str
    models: Names = ()
    limits: Limits = NO_LIMITS
    owner: str = ""
    labels: Pairs = ()
    blocked: bool = False
    stray: Pairs = ()

    @property
    def tenant(self) -> str:
        return self.id


ALL_ROUTES = tuple(sorted(intern(route) for route in TENANT_ROUTES))


@dataclass(frozen=True, slots=True)
class Key:
    """A virtual key of a team, known by its sha256 (LiteLLM's own id for it). Its plain text is never in here.

    `name` is what its tenant calls it. `expires` is a UTC minute (`2027-01-31T00:00Z`) or EXPIRED. `retiring` marks a
    key that was rotated: no file names it, and it lives until it expires.
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
    """All teams and keys by id. `unmanaged_*`: what lacks our mark, id and name; known only so as to be left alone."""

    teams: Mapping[str, Team] = field(default_factory=dict)
    keys: Mapping[str, Key] = field(default_factory=dict)
    unmanaged_teams: Mapping[str, str] = field(default_factory=dict)
    unmanaged_keys: Mapping[str, str] = field(default_factory=dict)
