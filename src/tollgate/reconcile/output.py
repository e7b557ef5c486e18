"""A plan as text for people: `+ ~ -`, one line for each object, its fields below, counts at the end."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tollgate.limits import BUDGETS, SOFT
from tollgate.litellm.state import ALL_ROUTES, EXPIRED, TEAMS_MODELS, Budget, Key
from tollgate.reconcile.change import Action, Change
from tollgate.reconcile.plan import Plan

_SIGN = {Action.CREATE: "+", Action.UPDATE: "~", Action.BLOCK: "-", Action.DELETE: "-"}
_REMOVAL = {
    Action.BLOCK: "would be blocked; --allow-delete deletes it",
    Action.DELETE: "would be deleted; its spend stays in the ledger",
}
_ROTATED_OUT = "was rotated and has expired; would be deleted"
_MONEY = frozenset(limit.name for limit in (*BUDGETS, SOFT))
_SAID_IN_THE_HEAD = frozenset({"id", "alias"})
_NOTHING = "(none)"
_FEW = 5  # how many unmanaged objects are named by default


def text(plan: Plan, *, verbose: bool = False) -> str:
    """The whole plan, ending in a line of counts."""
    lines = [line for change in plan.changes for line in describe(change)]
    lines += [f"! {conflict}" for conflict in plan.conflicts]
    lines += _unmanaged(plan, verbose=verbose)
    return "\n".join([*lines, summary(plan)])


def summary(plan: Plan) -> str:
    counts = plan.counts
    if plan.empty:
        return "Nothing to change."
    return (
        f"Plan: {counts[Action.CREATE]} to add, {counts[Action.UPDATE]} to change, "
        f"{counts[Action.BLOCK]} to block, {counts[Action.DELETE]} to delete."
    )


def describe(change: Change) -> Iterator[str]:
    """One change: a line for the object, an indented line for each field."""
    head = f"{_SIGN[change.action]} {change.kind} {change.name}"
    if change.action.removes:
        yield f"{head}: {_REMOVAL[change.action] if not _is_rotated_out(change) else _ROTATED_OUT}"
        return
    yield head
    if change.action is Action.CREATE and change.kind == "key":
        yield "    key: (redacted)"
    for field, before, after in change.differences():
        shown = _show(field, after)
        if change.action is Action.UPDATE:
            yield f"    {field}: {_show(field, before)} -> {shown}"
        elif shown != _NOTHING and field not in _SAID_IN_THE_HEAD and not (field == "name" and shown in change.name):
            yield f"    {field}: {shown}"


def _is_rotated_out(change: Change) -> bool:
    key = change.before
    return change.action is Action.DELETE and isinstance(key, Key) and key.retiring and key.expires == EXPIRED


def _unmanaged(plan: Plan, *, verbose: bool) -> Iterator[str]:
    for kind, names in (("team", plan.unmanaged_teams), ("key", plan.unmanaged_keys)):
        if not names:
            continue
        shown = names if verbose else names[:_FEW]
        more = f" and {len(names) - len(shown)} more (--verbose)" if len(names) > len(shown) else ""
        yield f"Not Tollgate's and left alone: {len(names)} {kind}(s): {', '.join(shown)}{more}"


def _show(field: str, value: Any) -> str:
    if field == "models" and value == ():
        return "every model"
    if field == "models" and value == (TEAMS_MODELS,):
        return "all of its tenant's"
    if field == "routes":
        return "what nginx lets through" if value == ALL_ROUTES else ", ".join(value) or "every route"
    if value in (None, (), ""):
        return _NOTHING
    if isinstance(value, Budget):
        return f"${value.usd:.12g} per {value.duration}"
    if field in _MONEY:
        return f"${value:.12g}"
    if isinstance(value, tuple):
        return ", ".join(_show("", item) for item in value)
    if isinstance(value, bool):
        return "yes" if value else _NOTHING
    return f"{value:.12g}" if isinstance(value, float) else str(value)
