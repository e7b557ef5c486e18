"""From a refused rule to its sentence, its status and when to ask again."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from tollgate.services.limits.outcome import REACHED, RESERVED, TOO_LARGE, UNCOUNTED, Refused
from tollgate.services.limits.refusals import refusal_of
from tollgate.services.limits.rules import rules_of
from tollgate.services.refusals.refusal import Refusal

NOW = datetime(2026, 11, 21, 13, 26, 20, tzinfo=UTC)  # a Saturday
ASK = "lead@example.com"


def told(limits: dict[str, Any], why: str = REACHED, now: datetime = NOW, ask: str = ASK, **figures: int) -> Refusal:
    (rule,) = rules_of({"team_id": "acme", "metadata": {"limits": limits}}, None)
    return refusal_of(Refused(rule, why, **figures), now, ask)


@pytest.mark.parametrize(
    ("limits", "message", "code", "left"),
    [
        (
            {"requests_per_minute": 5},
            'Tenant "acme" has used its 5 requests per minute. It can go on in 40 s.',
            "requests_per_minute",
            40,
        ),
        (
            {"requests_per_hour": 5},
            'Tenant "acme" has used its 5 requests per hour. The next hour begins Nov 21 14:00 UTC; try again then.',
            "requests_per_hour",
            33 * 60 + 40,
        ),
        (
            {"requests_per_day": 1},
            'Tenant "acme" has used its 1 request per day. The next day begins Nov 22 00:00 UTC; try again then.',
            "requests_per_day",
            10 * 3600 + 33 * 60 + 40,
        ),
        (
            {"tokens_per_minute": 5000},
            'Tenant "acme" has used its 5,000 tokens per minute. It can go on in 40 s.',
            "tokens_per_minute",
            40,
        ),
    ],
)
def test_a_count_that_is_used_up(limits: dict[str, Any], message: str, code: str, left: int) -> None:
    refusal = told(limits, used=5000)
    assert (refusal.message, refusal.code, refusal.retry_after) == (message, code, left)
    assert (refusal.status, refusal.kind) == (429, "rate_limit_error")
    assert refusal.retry == (left <= 60)


def test_tokens_that_are_left_but_too_few() -> None:
    refusal = told({"tokens_per_minute": 5000}, used=3000, wanted=2500)
    assert refusal.message == (
        'Tenant "acme" has used 3,000 of its 5,000 tokens per minute, and this request needs 2,500. '
        "It can go on in 40 s."
    )
    assert refusal.retry is True


def test_a_request_that_is_larger_than_the_limit_is_told_so_for_good() -> None:
    refusal = told({"tokens_per_minute": 5000}, TOO_LARGE, wanted=40_000)
    assert refusal.message == (
        'This request alone is larger than the limit: it needs about 40,000 tokens, and tenant "acme" may use '
        "5,000 tokens per minute. Send less, or ask lead@example.com or the operator of this gateway for a higher "
        "limit."
    )
    assert (refusal.status, refusal.retry, refusal.retry_after) == (429, False, None)
    assert "ask the operator" in told({"tokens_per_minute": 5000}, TOO_LARGE, ask="", wanted=40_000).message


def test_too_many_at_once() -> None:
    refusal = told({"max_parallel_requests": 2}, used=2)
    assert refusal.message.startswith('Too many requests at once: tenant "acme" may have 2 running at a time.')
    assert (refusal.retry, refusal.retry_after, refusal.code) == (True, 1, "max_parallel_requests")


@pytest.mark.parametrize(
    ("field", "adjective", "reopens", "left"),
    [
        ("daily_limit", "daily", "Nov 22 00:00 UTC", 38020),
        ("weekly_limit", "weekly", "Nov 23 00:00 UTC", 38020 + 86400),
        ("monthly_limit", "monthly", "Dec 1 00:00 UTC", 38020 + 9 * 86400),
    ],
)
def test_a_spent_budget_reopens_with_its_own_window(field: str, adjective: str, reopens: str, left: int) -> None:
    refusal = told({field: 9.5}, used=9_530_000_000)
    assert refusal.message == (
        f'Tenant "acme" has spent $9.53 of its {adjective} budget of $9.50. '
        f"It reopens {reopens}; for more before then ask lead@example.com or the operator of this gateway."
    )
    assert (refusal.status, refusal.kind, refusal.code) == (429, "billing_error", "budget_exceeded")
    assert (refusal.retry, refusal.retry_after) == (False, left)
    assert ("anthropic-ratelimit-unified-overage-period", adjective) in refusal.headers
    assert ("anthropic-ratelimit-unified-reset", str(int(NOW.timestamp()) + left)) in refusal.headers


def test_a_model_whose_money_is_spent() -> None:
    refusal = told({"per_model": {"opus": {"1d": 1}}}, used=10**9)
    assert refusal.message.startswith('Tenant "acme" on model opus has spent $1.00 of its daily budget of $1.00.')
    assert refusal.code == "model_budget_exceeded"


def test_a_budget_that_running_requests_hold_may_be_asked_again() -> None:
    refusal = told({"daily_limit": 1}, RESERVED, used=10**8, reserved=10**10)
    assert refusal.message == (
        'Tenant "acme" has spent $0.10 of its daily budget of $1.00, and its running requests may need the rest. '
        "Try again when one has finished."
    )
    assert (refusal.status, refusal.kind, refusal.code) == (429, "rate_limit_error", "budget_reserved")
    assert (refusal.retry, refusal.retry_after) == (True, 5)


def test_money_that_cannot_be_counted_is_the_gateways_fault() -> None:
    refusal = told({"daily_limit": 1}, UNCOUNTED)
    assert (refusal.status, refusal.kind, refusal.retry, refusal.retry_after) == (529, "overloaded_error", True, 5)


def test_a_key_is_told_by_its_name_never_by_its_hash() -> None:
    key = {
        "token": "ab" * 32,
        "metadata": {"managed_by": "tollgate", "name": "alice", "limits": {"requests_per_minute": 1}},
    }
    (rule,) = rules_of({"team_id": "acme"}, key)
    message = refusal_of(Refused(rule, REACHED, 1), NOW).message
    assert message.startswith('Key "alice" has used its 1 request per minute.')
    assert "abab" not in message
