"""Calls for tests of the direct route's ledger: every figure follows from a number."""

from __future__ import annotations

import hashlib
from typing import Any

from tollgate.services.gateway.ledger.calls import Begun, Outcome, Target
from tollgate.services.gateway.ledger.price import Prices
from tollgate.services.gateway.ledger.usage import Usage

KEY = hashlib.sha256(b"a key").hexdigest()
# 2026-11-21T13:40:00 UTC, in milliseconds.
STARTED = 1_795_268_400_000
PRICES = Prices.of(
    {
        "input": "0.000001",
        "output": "0.000005",
        "cache_read": "0.0000001",
        "cache_write_5m": "0.00000125",
        "cache_write_1h": "0.000002",
    }
)
TARGET = Target("anthropic/claude-sonnet-5-5", "anthropic", "target-1", "https://api.anthropic.com", PRICES)


def request_id(number: int) -> str:
    return f"{number:032x}"


def begun(number: int = 1, **more: Any) -> Begun:
    fields = {"key": KEY, "team": "payer", "model": "sonnet", "call_type": "anthropic_messages", "characters_in": 400}
    return Begun(**{"id": request_id(number), "started": STARTED, "target": TARGET, **fields, **more})


def used(number: int = 1) -> Usage:
    return Usage(100 + number, 10 + number, 20, 30, 40, 5)


def outcome(number: int = 1, **more: Any) -> Outcome:
    return Outcome(**{"ended": STARTED + 2500, "usage": used(number), "first_byte": STARTED + 700, **more})
