"""The answer of `GET /gateway/usage`: money, rates, days, models and last refusals of a tenant, as one key sees them.

Money is in USD, as decimal texts. `spent` is the ledger's, the same as in `tollgate tenant usage --json`. `counted` is
the limiter's. It can be more, because the limiter knows the requests that run.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from tollgate.claude_code import OfferedModel, variables
from tollgate.ledger.summary import DAY, MONTH, WEEK, Summary
from tollgate.ledger.sums import NOTHING
from tollgate.services.gateway.caller import Caller
from tollgate.services.gateway.catalogue import Catalogue
from tollgate.services.gateway.ledger.price import usd
from tollgate.services.gateway.own import models
from tollgate.services.limits.counters import Used
from tollgate.services.limits.rule import KEY, MONEY, PARALLEL, TENANT, Rule
from tollgate.services.limits.windows import window

ZERO = Decimal(0)
_WHAT = {"requests": "requests", "tokens": "tokens", PARALLEL: "at_once"}
_UNITS = (DAY, WEEK, MONTH)

Json = dict[str, Any]


@dataclass(frozen=True)
class Seen:
    """The parts of one answer. `used` has the count of each of the caller's rules."""

    caller: Caller
    catalogue: Catalogue
    summary: Summary
    used: Mapping[Rule, Used | None]
    refusals: Sequence[Json]

    @property
    def own_name(self) -> str:
        """The key's name as the ledger has it."""
        return self.summary.names.get(self.caller.token, self.caller.key_name)


def answer(seen: Seen) -> Json:
    caller, now = seen.caller, seen.summary.now
    return {
        "tenant": caller.tenant,
        "tenant_name": caller.tenant_name,
        "owner": caller.owner,
        "key": caller.key_name,
        "key_expires_at": None if caller.expires is None else moment(caller.expires),
        "at": moment(now),
        "currency": "USD",
        "money": list(_money(seen)),
        "soft_limit": _soft_limit(seen),
        "rates": [_rate(rule, seen.used.get(rule), now) for rule in caller.rules if rule.kind != MONEY],
        "show_keys": caller.show_keys,
        "keys": list(_keys(seen)),
        "days": list(_days(seen.summary)),
        "models": models.entries(seen.catalogue, caller),
        "refusals": [_refusal(entry, caller) for entry in seen.refusals],
        "connect": connect(seen.catalogue, caller),
    }


def plain(amount: Decimal) -> str:
    """Without an exponent and without zeros at the end."""
    return f"{amount.normalize():f}" if amount else "0"


def moment(when: datetime) -> str:
    return f"{when.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def connect(catalogue: Catalogue, caller: Caller) -> list[str]:
    """The lines of `tollgate tenant connect`, without the key."""
    offered = [
        OfferedModel(
            name,
            catalogue.aliases.get(name, name),
            catalogue.listed[name]["tollgate"]["context_tokens"],
            catalogue.listed[name]["tollgate"]["max_output_tokens"],
        )
        for name in models.names(catalogue, caller)
        if catalogue.listed[name]["tollgate"]["mode"] == "chat"
    ]
    set_to = {
        "ANTHROPIC_BASE_URL": catalogue.address,
        "ANTHROPIC_AUTH_TOKEN": "YOUR-KEY",
        **variables(offered),
    }
    return [f"export {name}={shlex.quote(value)}" for name, value in set_to.items()]


def _money(seen: Seen) -> Iterator[Json]:
    rules = [rule for rule in seen.caller.rules if rule.kind == MONEY and rule.window in _UNITS]
    whole = {rule.window: rule for rule in rules if rule.holder.kind == TENANT and not rule.model}
    for unit in _UNITS:
        yield _budget(seen, unit, TENANT, whole.get(unit))
    for rule in rules:
        if rule not in whole.values():
            yield _budget(seen, rule.window, "model" if rule.model else rule.holder.kind, rule)


def _budget(seen: Seen, unit: str, scope: str, rule: Rule | None) -> Json:
    spent = _spent(seen, unit, rule)
    used = seen.used.get(rule) if rule is not None else None
    counted = None if used is None else usd(used.used + used.reserved)
    limit = None if rule is None else usd(rule.amount)
    left = None if limit is None else max(ZERO, limit - max(spent, counted or ZERO))
    return {
        "window": unit,
        "scope": scope,
        "model": rule.model if rule is not None and rule.model else None,
        "limit": None if limit is None else plain(limit),
        "spent": plain(spent),
        "left": None if left is None else plain(left),
        "counted": None if counted is None else plain(counted),
        "resets_at": moment(seen.summary.windows[unit].reopens),
    }


def _spent(seen: Seen, unit: str, rule: Rule | None) -> Decimal:
    """A model's spend is booked under its name and under its aliases."""
    if rule is not None and rule.holder.kind == KEY:
        return seen.summary.spent_by_key(unit, seen.own_name)
    if rule is None or not rule.model:
        return seen.summary.spent(unit)
    aliases = (alias for alias, meant in seen.catalogue.aliases.items() if meant == rule.model)
    return seen.summary.spent(unit, frozenset((rule.model, *aliases)))


def _soft_limit(seen: Seen) -> Json | None:
    """It counts the month, or the day if the tenant has only a daily limit."""
    soft = seen.caller.soft_limit
    if soft is None:
        return None
    budgets = {
        rule.window
        for rule in seen.caller.rules
        if rule.kind == MONEY and rule.holder.kind == TENANT and not rule.model
    }
    held = DAY if budgets == {DAY} else MONTH
    return {"limit": plain(soft), "reached": seen.summary.spent(held) >= soft}


def _rate(rule: Rule, used: Used | None, now: datetime) -> Json:
    return {
        "what": _WHAT[rule.kind],
        "window": rule.window or None,
        "scope": rule.holder.kind,
        "limit": rule.amount,
        "used": None if used is None else used.used,
        "left": None if used is None else max(0, rule.amount - used.used),
        "resets_at": moment(window(rule.window, now).end) if rule.window else None,
    }


def _keys(seen: Seen) -> Iterator[Json]:
    for key in seen.summary.keys:
        yours = key.name == seen.own_name
        if yours or seen.caller.show_keys:
            spent = {"spent": plain(key.totals.spend), "requests": key.totals.requests}
            yield {"name": key.name, "yours": yours, "state": key.state, **spent}


def _days(summary: Summary) -> Iterable[Json]:
    for day, used in summary.days().items():
        whole = sum(used.values(), NOTHING)
        yield {
            "day": day.isoformat(),
            "spent": plain(whole.spend),
            "requests": whole.requests,
            "failed": whole.failed,
            "input_tokens": whole.tokens_in,
            "output_tokens": whole.tokens_out,
            "models": {
                name: {"spent": plain(totals.spend), "requests": totals.requests}
                for name, totals in sorted(used.items(), key=lambda item: (-item[1].spend, item[0]))
            },
        }


def _refusal(entry: Json, caller: Caller) -> Json:
    whose = entry["key"] if caller.show_keys or entry["key"] == caller.key_name else None
    return {**entry, "key": whose}
