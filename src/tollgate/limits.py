"""Every limit of a tenant, in one table: its name, its window, its option on the command line, its words.

`config/tenant/model.py` declares the fields with their types, and services/limits has a small table of its own, because
services import nothing of this. A test compares both with this one. `budget.per_model` has budgets of the same names
inside.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

# LiteLLM's words for the windows of budgets.
DURATIONS = {"day": "1d", "week": "7d", "month": "1mo"}


@dataclass(frozen=True)
class Limit:
    """One limit. `section` and `name` are its place in a tenant's file, `option` is its name on the command line.

    `short` is for a list of tenants, `words` for sentences after the number, `help` for the command line.
    """

    section: Literal["budget", "rate_limits"]
    name: str
    option: str
    window: Literal["", "minute", "hour", "day", "week", "month"]
    help: str
    short: str = ""
    words: str = ""

    @property
    def path(self) -> str:
        return f"{self.section}.{self.name}"


SOFT = Limit("budget", "soft_limit", "soft", "", "`tenant usage` marks a tenant that has spent this")
# Shortest first.
BUDGETS = (
    Limit("budget", "daily_limit", "daily", "day", "budget per day", "${:g}/day"),
    Limit("budget", "weekly_limit", "weekly", "week", "budget per week", "${:g}/week"),
    Limit("budget", "monthly_limit", "monthly", "month", "budget per month", "${:g}/month"),
)
REQUESTS = (
    Limit(
        "rate_limits",
        "requests_per_minute",
        "rpm",
        "minute",
        "requests per minute",
        "{}/min",
        "requests a minute",
    ),
    Limit("rate_limits", "requests_per_hour", "rph", "hour", "requests per hour", "{}/h", "requests an hour"),
    Limit("rate_limits", "requests_per_day", "rpd", "day", "requests per day", "{}/day", "requests a day"),
)
TOKENS = Limit(
    "rate_limits",
    "tokens_per_minute",
    "tpm",
    "minute",
    "tokens per minute",
    "{} tokens/min",
    "tokens a minute",
)
PARALLEL = Limit(
    "rate_limits",
    "max_parallel_requests",
    "parallel",
    "",
    "requests at the same time",
    "{} at once",
    "requests at once",
)
RATES = (*REQUESTS, TOKENS, PARALLEL)
LIMITS = (*BUDGETS, SOFT, *RATES)
OPTIONS = {limit.option: limit for limit in LIMITS}
