"""A team as a team lead sees it on the page /usage: some weeks of work, limits of which one is near, and refusals."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from tests.unit.services.gateway.own.books import LIMITS, TOKEN, Books

KEYS = ("default", "alice", "ci-pipeline", "nightly")
_SHARES = {"default": 0.5, "alice": 1.0, "ci-pipeline": 0.7, "nightly": 0.25}
_MODELS = {"sonnet": 1.1, "claude-opus-5-5": 0.9, "claude-haiku-5-5": 0.12, "free": 0.0}


def _told(input_price: str, output_price: str, context: int, longest: int, *able: str, **more: Any) -> dict[str, Any]:
    price = {"unit": "USD per million tokens", "input": input_price, "output": output_price, "cache_read": "0.1"}
    fields = {"price": price, "context_tokens": context, "max_output_tokens": longest, "free": False, "mode": "chat"}
    return {**fields, "capabilities": ["streaming", "tools", *able], **more}


LISTED = {
    "sonnet": {
        "display_name": "Claude Sonnet 5.5",
        "description": "The everyday model",
        "tollgate": _told("2", "10", 1_000_000, 128_000, "images", "reasoning"),
    },
    "claude-opus-5-5": {
        "display_name": "Claude Opus 5.5",
        "description": "For long work",
        "tollgate": _told("4", "20", 1_000_000, 128_000, "images", "reasoning"),
    },
    "claude-haiku-5-5": {
        "display_name": "Claude Haiku 5.5",
        "description": "Small and fast, for background calls",
        "tollgate": _told("0.1", "0.5", 1_000_000, 128_000, "images"),
    },
    "free": {
        "display_name": "qwen3-coder-30b",
        "description": "On our own hardware",
        "tollgate": _told(
            "0", "0", 131_072, 32_768, free=True, price={"unit": "USD per million tokens", "input": "0", "output": "0"}
        ),
    },
    "auto": {
        "display_name": "auto",
        "description": "The cheapest model that can do it",
        "tollgate": _told("0", "0", 0, 0, price=None, context_tokens=None, max_output_tokens=None),
    },
}
# Requests before a visit. Each is refused.
REFUSED: list[dict[str, Any]] = [
    {"model": "claude-mythos", "headers": {"x-request-id": "5f1c0a9be2d94b0e"}},
    {"max_tokens": "many", "headers": {"x-request-id": "7bb04d1fc3aa4e62"}},
]


def history(books: Books) -> None:
    """A team with limits a day, week and month, which works on weekdays."""
    today = datetime.now(UTC).date()
    limits = {**LIMITS, "daily_limit": 12, "weekly_limit": 90, "monthly_limit": 500, "soft_limit": 200}
    limits |= {"per_model": {"claude-opus-5-5": {"1d": 5}}}
    books.team("platform", limits)
    books.run("UPDATE \"LiteLLM_TeamTable\" SET team_alias = 'Platform engineering'")
    tokens = {name: books.key(name, "platform", at=TOKEN if name == "default" else "") for name in KEYS}
    rows = []
    for back in range(31):
        day = today - timedelta(days=back)
        work = 1 + (day.toordinal() * 7 % 11) / 6 if day.weekday() < 5 else 0.15
        for key, share in _SHARES.items():
            for model, price in _MODELS.items():
                if (day.toordinal() + len(key) + len(model)) % 3 == 0 and back:
                    continue
                requests = round(40 * share * work) + 1
                figures = {"api_requests": requests, "failed_requests": requests // 30}
                figures |= {"prompt_tokens": requests * 21_000, "completion_tokens": requests * 600}
                rows.append(books.day(day, tokens[key], model, price * share * work * 1.9, "platform", **figures))
    books.insert("DailyTeamSpend", rows)


def usd(text: str) -> str:
    """A decimal text of the answer as the page shows it."""
    amount = float(text)
    if 0 < amount < 0.0001:
        return "<$0.0001"
    return f"${amount:,.4f}" if 0 < amount < 1 else f"${amount:,.2f}"
