"""One limit as a value, and who has it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

REQUESTS, TOKENS, PARALLEL, MONEY = "requests", "tokens", "parallel", "money"
TENANT, KEY = "tenant", "key"
NANO = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Holder:
    """Whose limit it is: a tenant or one of its keys. `created` is when the tenant was created.

    `name` is for people: the tenant's id, or the key's name. `token` is the key's hash. `named` means that the name is
    from the tenant's file, so that the spend of all keys of this name counts, deleted ones too.
    """

    kind: str
    tenant: str
    name: str
    token: str = ""
    named: bool = False
    created: datetime | None = None

    def __str__(self) -> str:
        return f'{self.kind} "{self.name}"'


@dataclass(frozen=True, slots=True)
class Rule:
    """At most `amount` in each `window` (a unit of windows.py; empty for requests that run at once).

    Money is in nano-dollars. `model` is empty for a limit on all models. `tenant` begins the name of everything that
    Redis keeps for this tenant, and `prefix` begins the name of this rule's counters.
    """

    holder: Holder
    kind: str
    amount: int
    window: str
    model: str = ""
    tenant: str = field(default="", repr=False)
    prefix: str = field(default="", repr=False)


def of_model(rules: Sequence[Rule], model: str, costs: bool) -> list[Rule]:
    """The rules for a request that `model` answers. Money is not asked of a model that costs nothing."""
    return [rule for rule in rules if rule.model in ("", model) and (costs or rule.kind != MONEY)]


def money_of(rules: Sequence[Rule], model: str) -> list[Rule]:
    return [rule for rule in rules if rule.kind == MONEY and rule.model in ("", model)]
