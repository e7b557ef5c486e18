"""A plan as text for people: `+ ~ -`, one line an object, its fields below, counts at the end."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tollgate.litellm.state import TENANT_ROUTES, Budget
from tollgate.reconcile.change import Action, Change
from tollgate.reconcile.plan import Plan

_SIGN = {Action.CREATE: "+", Action.UPDATE: "~", Action.BLOCK: "-", Action.DELETE: "-"}
_REMOVAL = {
    Action.BLOCK: "would be blocked; --allow-delete deletes it",
    Action.DELETE: "would be deleted; its spend stays in the ledger",
}
_SAID_IN_THE_HEAD = frozenset({"id", "alias"})
_NOTHING = "(none)"


def text(plan: Plan) -> str:
    """The whole plan, ending in a line of counts."""
    lines = [line for change in plan.changes for line in describe(change)]
    lines += [f"! {conflict}" for conflict in plan.conflicts]
    return "\n".join([*lines, summary(plan)])


def summary(plan: Plan) -> str:
    counts = plan.counts
    left_alone = plan.unmanaged_teams + plan.unmanaged_keys
    line = "Nothing to change."
    if not plan.empty:
        line = (
            f"Plan: {counts[Action.CREATE]} to add, {counts[Action.UPDATE]} to change, "
            f"{counts[Action.BLOCK]} to block, {counts[Action.DELETE]} to delete."
        )
    return line + (f" {left_alone} object(s) are not Tollgate's and are left alone." if left_alone else "")


def describe(change: Change) -> Iterator[str]:
    """One change: a line for the object, an indented line for each field."""
    head = f"{_SIGN[change.action]} {change.kind} {change.name}"
    if change.action.removes:
        yield f"{head}: {_REMOVAL[change.action]}"
        return
    yield head
    if change.action is Action.CREATE and change.kind == "key":
        yield "    key: (redacted)"
    for field, before, after in change.differences():
        shown = _show(field, after)
        if change.action is Action.UPDATE:
            yield f"    {field}: {_show(field, before)} -> {shown}"
        elif field not in _SAID_IN_THE_HEAD and shown != _NOTHING:
            yield f"    {field}: {shown}"


def _show(field: str, value: Any) -> str:
    if field == "models" and value == ():
        return "every model"
    if field == "routes" and value == tuple(sorted(TENANT_ROUTES)):
        return "what nginx lets through"
    if value in (None, (), ""):
        return _NOTHING
    if isinstance(value, Budget):
        return f"${value.usd:g}" + (f" per {value.duration}" if value.duration else " in all")
    if isinstance(value, tuple):
        return ", ".join(_show("", item) for item in value)
    if isinstance(value, bool):
        return "yes" if value else _NOTHING
    return str(value)
