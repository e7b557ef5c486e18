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
    def order(self) -> tuple[bool, str, int, str]:
        """What is made or changed, then what goes; each by tenant, a team before its keys but going after them.

        A key needs its team, and one that moves to another tenant has to leave before LiteLLM deletes the old team.
        """
        is_team = isinstance(self.subject, Team)
        return self.action.removes, self.subject.tenant, is_team if self.action.removes else not is_team, self.name

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
