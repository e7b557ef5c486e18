"""One change to one object, as a value."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from enum import IntEnum, StrEnum
from typing import Any

from tollgate.litellm.state import EXPIRED, Key, Limits, Team


class Action(StrEnum):
    CREATE = "create"
    UPDATE = "update"
    BLOCK = "block"
    DELETE = "delete"

    @property
    def removes(self) -> bool:
        return self in (Action.BLOCK, Action.DELETE)


class Phase(IntEnum):
    """The order of changes: a key needs its team first, and must go before LiteLLM deletes the team."""

    TEAMS = 0
    KEYS = 1
    KEYS_GO = 2
    TEAMS_GO = 3


@dataclass(frozen=True, slots=True)
class Change:
    """From `before` to `after`. None means that the object does not exist."""

    action: Action
    before: Team | Key | None
    after: Team | Key | None

    @property
    def subject(self) -> Team | Key:
        subject = self.after or self.before
        assert subject is not None, "a change is about something"  # noqa: S101
        return subject

    @property
    def kind(self) -> str:
        return "team" if isinstance(self.subject, Team) else "key"

    @property
    def name(self) -> str:
        return self.subject.id if isinstance(self.subject, Team) else self.subject.alias

    @property
    def phase(self) -> Phase:
        if isinstance(self.subject, Team):
            return Phase.TEAMS_GO if self.action.removes else Phase.TEAMS
        return Phase.KEYS_GO if self.action.removes else Phase.KEYS

    @property
    def takes_access(self) -> bool:
        """Whether a client loses access because no file names the object any more.

        An expired key has no access anyway.
        """
        subject = self.subject
        return self.action.removes and not (isinstance(subject, Key) and subject.expires == EXPIRED)

    @property
    def order(self) -> tuple[bool, str, Phase, str]:
        """The order for people: first additions and changes, then removals, tenant by tenant."""
        return self.action.removes, self.subject.tenant, self.phase, self.name

    def differences(self) -> Iterator[tuple[str, Any, Any]]:
        """(field, before, after) of each field that differs; limits, labels and strays one by one."""
        old, new = _flat(self.before), _flat(self.after)
        for name in dict.fromkeys([*new, *old]):
            before, after = old.get(name), new.get(name)
            if before != after:
                yield name, before, after


def _flat(value: Team | Key | None) -> dict[str, Any]:
    if value is None:
        return {}
    flat: dict[str, Any] = {}
    for field in fields(value):
        content = getattr(value, field.name)
        if isinstance(content, Limits):
            flat |= {limit.name: getattr(content, limit.name) for limit in fields(content) if limit.name != "per_model"}
            flat |= {f"per_model.{model}": budgets for model, budgets in content.per_model}
        elif field.name in ("labels", "stray"):
            flat |= {f"{'metadata' if field.name == 'labels' else field.name}.{name}": text for name, text in content}
        else:
            flat[field.name] = content
    return flat
