"""Which limits hold for a caller, from the metadata that `tollgate apply` put on its team and key, and their words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from tollgate.services.hooks.counters import MONEY, REQUESTS, SLOTS, Check, Over
from tollgate.services.hooks.refusal import Refusal, budget_spent, rate_limited
from tollgate.services.hooks.windows import Window, window

# Field of metadata.limits, and the window it is counted in.
PER_WINDOW = {"requests_per_hour": "hour", "requests_per_day": "day"}
PARALLEL = "max_parallel_requests"
PER_MODEL = {"1d": "day", "1mo": "month"}
# A counter outlives its window by this, for a request that ends late.
KEEP_S = 3600
# Money is taken from the ledger anew this often: it also has what no callback tells, an answer cut off for one.
LEDGER_S = 300


@dataclass(frozen=True)
class Holder:
    """Whose limit it is: a tenant (team) or one of its keys."""

    kind: str
    id: str
    name: str
    limits: Mapping[str, Any]

    def __str__(self) -> str:
        return f'tenant "{self.name}"' if self.kind == "team" else f'key "{self.name}"'


@dataclass(frozen=True)
class Limit:
    """One limit with its counter. `window` is None for parallel requests."""

    check: Check
    holder: Holder
    window: Window | None
    model: str = ""


def holders(caller: Any) -> Iterator[Holder]:
    """The caller's team, then its key; what somebody made by hand may have neither limits nor team."""
    for kind, one, name, metadata in (
        ("team", caller.team_id, tenant_name(caller), caller.team_metadata),
        ("key", caller.token, key_name(caller), caller.metadata),
    ):
        limits = (metadata or {}).get("limits")
        if one and isinstance(limits, Mapping):
            yield Holder(kind, str(one), name, limits)


def tenant_name(caller: Any) -> str:
    return str(getattr(caller, "team_id", None) or "")


def key_name(caller: Any) -> str:
    """As the tenant's file has it. Never the hash."""
    return str((caller.metadata or {}).get("name") or str(caller.key_alias or "").rpartition("/")[0] or "unnamed")


def owner(caller: Any) -> str:
    """The e-mail address to ask for more, from the tenant's file; empty where there is none."""
    return str((caller.team_metadata or {}).get("owner") or "")


def request_limits(caller: Any, model: str, now: datetime, usual_cost: float = 0.0) -> list[Limit]:
    """Every limit of ours that a request for `model` has to pass."""
    found: list[Limit] = []
    for holder in holders(caller):
        prefix = f"tollgate:{{{holder.kind}:{holder.id}}}"
        for field, unit in PER_WINDOW.items():
            if limit := _positive(holder.limits.get(field)):
                inside = window(unit, now)
                check = Check(REQUESTS, f"{prefix}:requests:{inside.label}", limit, inside.resets_at + KEEP_S)
                found.append(Limit(check, holder, inside))
        if limit := _positive(holder.limits.get(PARALLEL)):
            found.append(Limit(Check(SLOTS, f"{prefix}:parallel", limit), holder, None))
        if holder.kind == "team":
            found += money_limits(holder, model, now, usual_cost)
    return found


def money_limits(holder: Holder, model: str, now: datetime, usual_cost: float = 0.0) -> Iterator[Limit]:
    caps = holder.limits.get("per_model")
    mine = caps.get(model) if isinstance(caps, Mapping) else None
    for duration, unit in PER_MODEL.items():
        limit = _positive(mine.get(duration)) if isinstance(mine, Mapping) else 0
        if limit:
            inside = window(unit, now)
            key = f"tollgate:{{team:{holder.id}}}:spend:{model}:{unit}:{inside.label}"
            check = Check(MONEY, key, limit, int(now.timestamp()) + LEDGER_S, usual_cost)
            yield Limit(check, holder, inside, model)


def _positive(value: Any) -> float:
    """A limit as a number; 0 where there is none. `true` is not a number here."""
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) and value > 0 else 0


def refusal(limit: Limit, over: Over, now: datetime, ask: str = "") -> Refusal:
    """What to tell whoever ran into `limit`; `ask` is who may raise it."""
    who = str(limit.holder)
    if limit.window is None:
        message = (
            f"Too many requests at once: {who} may have {limit.check.limit:g} running at a time. "
            "Wait for one to finish and try again."
        )
        return rate_limited("max_parallel_requests", _capital(message), 1)
    left, reopens = limit.window.seconds_left(now), limit.window.reopens
    if limit.check.kind == MONEY:
        message = spent_message(f"{who} on model {limit.model}", over.used or 0, limit.check.limit, limit.window, ask)
        return budget_spent("model_budget_exceeded", message, left, limit.window.resets_at, limit.window.adjective)
    message = (
        f"{who} has used its {plural(limit.check.limit, 'request')} per {limit.window.unit}. "
        f"The next {limit.window.unit} begins {reopens}; requests are taken again then."
    )
    return rate_limited(f"requests_per_{limit.window.unit}", _capital(message), left)


def spent_message(who: str, spent: float, limit: float, inside: Window, ask: str) -> str:
    """The one sentence Claude Code shows of a spent budget: who, how much of what, until when, and what to do."""
    whom = f"{ask} or whoever" if ask else "whoever"
    return _capital(
        f"{who} has spent {usd(spent)} of its {inside.adjective} budget of {usd(limit)}. "
        f"It reopens {inside.reopens}; for more before then ask {whom} runs this gateway."
    )


def plural(count: float, what: str) -> str:
    return f"{count:,.0f} {what}{'' if count == 1 else 's'}"


def usd(amount: float) -> str:
    """Two digits, or as many as a small amount needs to be seen."""
    digits = 2 if amount >= 1 or amount == 0 else 6
    text = f"{amount:,.{digits}f}"
    while digits > 2 and text.endswith("0"):
        text, digits = text[:-1], digits - 1
    return f"${text}"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
