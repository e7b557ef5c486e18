"""One thing to do to one object, as a value."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Any

from tollgate.litellm.state import Key, Limits, Team


class Action(StrEnum):
    CREATE = "create"
    UPDATE = "update"
    BLOCK = "block"
    DELETE = "delete"

    @property
    def removes(self) -> bool:
        return self in (Action.BLOCK, Action.DELETE)


@dataclass(frozen=True)
class Change:
    """From `before` to `after`; None is an object that is not there."""

    action: Action
    before: Team | Key | None
    after: Team | Key | None

    @property
    def subject(self) -> Team | Key:
        found = self.after or self.before
        assert found is not None, "a change is about something"  # noqa: S101
        return found

    @property
    def kind(self) -> str:
        return "team" if isinstance(self.subject, Team) else "key"

    @property
    def name(self) -> str:
        return self.subject.id if isinstance(self.subject, Team) else self.subject.alias

    @property
    def order(self) -> tuple[str, int, str]:
        """By tenant; a team comes before its keys when it is made, after them when it goes (a key needs its team)."""
        is_team = isinstance(self.subject, Team)
        step = (2 if not is_team else 3) if self.action.removes else (0 if is_team else 1)
        return self.subject.tenant, step, self.name

    def differences(self) -> Iterator[tuple[str, Any, Any]]:
        """(field, before, after) of each field that differs; limits one by one."""
        old, new = _flat(self.before), _flat(self.after)
        for name in new or old:
            before, after = old.get(name), new.get(name)
            if before != after:
                yield name, before, after


def _flat(value: Team | Key | None) -> dict[str, Any]:
    if value is None:
        return {}
    plain = {field.name: getattr(value, field.name) for field in fields(value)}
    limits: Limits = plain.pop("limits")
    return plain | {field.name: getattr(limits, field.name) for field in fields(limits)}
