"""Figures as text for people, the same on the screen and on the page."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal

from tollgate import limits

CENT, FINE = Decimal("0.01"), Decimal("0.0001")
RATES = {limit.name: limit.words for limit in limits.RATES}


def usd(amount: Decimal) -> str:
    """USD to the cent; small amounts get more digits."""
    if 0 < amount < FINE:
        return "<$0.0001"
    step = FINE if 0 < abs(amount) < 1 else CENT
    return f"${amount.quantize(step, ROUND_HALF_UP):,}"


def limit(amount: Decimal) -> str:
    """A limit as in the tenant's file: $50, not $50.00."""
    shown = amount.normalize()
    return f"${shown:,f}" if shown == shown.to_integral() else usd(amount)


def percent(share: Decimal) -> str:
    if 0 < share < FINE * 10:
        return "<0.1%"
    return f"{share * 100:.0f}%" if share >= Decimal("0.1") else f"{share * 100:.1f}%"


def count(number: int) -> str:
    """12,345 in full; from a million on 1.23M."""
    for size, letter in ((10**9, "B"), (10**6, "M")):
        if number >= size:
            return f"{number / size:.2f}{letter}"
    return f"{number:,}"


def moment(when: datetime) -> str:
    return f"{when:%Y-%m-%d %H:%M} UTC"


def span(now: datetime, then: datetime) -> str:
    """`in 3 d 4 h`, `in 10 h 20 min`, `in 5 min`."""
    minutes = max(int((then - now).total_seconds()) // 60, 0)
    days, hours, rest = minutes // 1440, minutes // 60 % 24, minutes % 60
    if days:
        return f"in {days} d {hours} h"
    return f"in {hours} h {rest} min" if hours else f"in {rest} min"


def bar(share: Decimal, width: int = 20) -> str:
    """A bar in eighths of a cell. Any amount above zero is visible, and only a full bar looks full."""
    eighths = int(min(share, Decimal(1)) * width * 8)
    if share > 0 and eighths == 0:
        eighths = 1
    full, rest = divmod(eighths, 8)
    return "█" * full + ("", "▏", "▎", "▍", "▌", "▋", "▊", "▉")[rest]


def listed(words: Iterable[str]) -> str:
    return ", ".join(words)


STATUS_WORDS = {
    "400": "not understood by the model's provider",
    "401": "key refused",
    "403": "not allowed",
    "404": "no such model or route",
    "408": "timed out",
    "413": "too large",
    "422": "not understood",
    "424": "not allowed, or refused by the provider",
    "429": "over a limit or budget",
    "500": "failed",
    "502": "provider failed",
    "503": "provider or database away",
    "504": "provider timed out",
    "529": "provider overloaded",
}


def status_words(status: str) -> str:
    return STATUS_WORDS.get(status, "")
