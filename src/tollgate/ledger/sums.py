"""Entries of the ledger, one for each day, key and model, and totals over them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import TypeVar

ZERO = Decimal(0)
Name = TypeVar("Name")


@dataclass(frozen=True)
class Totals:
    """USD, requests and tokens. `tokens_in` contains `cache_read` and `cache_written`, as LiteLLM counts them;
    `requests` contains `failed`."""

    spend: Decimal = ZERO
    requests: int = 0
    failed: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    cache_read: int = 0
    cache_written: int = 0

    def __add__(self, other: Totals) -> Totals:
        return Totals(
            self.spend + other.spend,
            self.requests + other.requests,
            self.failed + other.failed,
            self.tokens_in + other.tokens_in,
            self.tokens_out + other.tokens_out,
            self.cache_read + other.cache_read,
            self.cache_written + other.cache_written,
        )


NOTHING = Totals()


@dataclass(frozen=True)
class Entry:
    """The use of one model by one key (by its hash) on one day."""

    day: date
    key: str
    model: str
    totals: Totals


def total(entries: Iterable[Entry]) -> Totals:
    return sum((entry.totals for entry in entries), NOTHING)


def by(entries: Iterable[Entry], name: Callable[[Entry], Name]) -> dict[Name, Totals]:
    """Totals for each name, the most expensive first. Together they are the whole total."""
    groups: dict[Name, Totals] = {}
    for entry in entries:
        groups[name(entry)] = groups.get(name(entry), NOTHING) + entry.totals
    return dict(sorted(groups.items(), key=lambda group: (-group[1].spend, -group[1].requests, str(group[0]))))
