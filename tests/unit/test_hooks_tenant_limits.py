"""From metadata to limits, and from a limit to its sentence."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from tollgate.services.hooks.counters import Over
from tollgate.services.hooks.tenant_limits import refusal, request_limits, usd

NOW = datetime(2026, 11, 21, 13, 26, tzinfo=UTC)
TOKEN = "ab" * 32


def caller(team: Any = None, key: Any = None, **more: Any) -> Any:
    return SimpleNamespace(
        **{
            "team_id": "acme",
            "team_alias": "Acme",
            "token": TOKEN,
            "key_alias": "acme/alice/abababab",
            "team_metadata": {"owner": "lead@example.com", "limits": team} if team is not None else {},
            "metadata": {"name": "alice", "limits": key} if key is not None else {"name": "alice"},
            **more,
        }
    )


def keys(one: Any, model: str = "m") -> dict[str, float]:
    return {limit.check.key: limit.check.limit for limit in request_limits(one, model, NOW)}


def test_every_limit_has_a_counter_named_by_holder_and_window() -> None:
    team = {"requests_per_hour": 5, "requests_per_day": 50, "max_parallel_requests": 2}
    team["per_model"] = {"m": {"1d": 1, "1mo": 9.5}, "other": {"1d": 1}}
    assert keys(caller(team, {"requests_per_hour": 3})) == {
        "tollgate:{team:acme}:requests:2026-11-21T13": 5,
        "tollgate:{team:acme}:requests:2026-11-21": 50,
        "tollgate:{team:acme}:parallel": 2,
        "tollgate:{team:acme}:spend:m:day:2026-11-21": 1,
        "tollgate:{team:acme}:spend:m:month:2026-11": 9.5,
        f"tollgate:{{key:{TOKEN}}}:requests:2026-11-21T13": 3,
    }


def test_a_counter_outlives_its_window() -> None:
    (limit,) = request_limits(caller({"requests_per_hour": 5}), "m", NOW)
    assert limit.window is not None
    assert limit.check.expires > limit.window.resets_at


@pytest.mark.parametrize("nothing", [None, {}, {"requests_per_hour": None}, {"requests_per_hour": 0}, "text", 7])
def test_no_limit_is_no_limit(nothing: Any) -> None:
    assert keys(caller(nothing)) == {}


@pytest.mark.parametrize("wrong", ["5", True, [5], -1])
def test_what_is_not_a_number_limits_nothing(wrong: Any) -> None:
    assert keys(caller({"requests_per_hour": wrong, "per_model": {"m": {"1d": wrong}}})) == {}


def test_a_key_made_by_hand_has_no_limits_of_ours() -> None:
    assert keys(caller(team_id=None, team_metadata=None, metadata=None)) == {}


def test_money_of_a_model_is_the_tenants_not_a_keys() -> None:
    assert keys(caller(key={"per_model": {"m": {"1d": 1}}})) == {}


def test_what_such_requests_cost_is_reserved_on_money_only() -> None:
    one = caller({"requests_per_hour": 5, "per_model": {"m": {"1d": 1}}})
    reserves = [limit.check.reserve for limit in request_limits(one, "m", NOW, usual_cost=0.25)]
    assert reserves == [0, 0.25]


def sentence(team: Any, used: float = 0) -> Any:
    (limit,) = request_limits(caller(team), "m", NOW)
    return refusal(limit, Over(limit.check, used), NOW, "lead@example.com")


def test_an_hour_that_is_used_up() -> None:
    said = sentence({"requests_per_hour": 5})
    assert said.message == (
        'Tenant "acme" has used its 5 requests per hour. '
        "The next hour begins Nov 21 14:00 UTC; requests are taken again then."
    )
    assert (said.status, said.kind, said.code) == (429, "rate_limit_error", "requests_per_hour")
    assert (said.retry, said.retry_after) == (False, 34 * 60)


def test_asking_again_is_of_use_in_the_last_minute_only() -> None:
    (limit,) = request_limits(caller({"requests_per_hour": 5}), "m", NOW)
    late = NOW.replace(minute=59, second=30)
    assert refusal(limit, Over(limit.check, 5), late).retry is True


def test_too_many_at_once() -> None:
    said = sentence({"max_parallel_requests": 2})
    assert said.message.startswith('Too many requests at once: tenant "acme" may have 2 running at a time.')
    assert (said.retry, said.retry_after, said.code) == (True, 1, "max_parallel_requests")


def test_a_model_whose_money_is_spent() -> None:
    said = sentence({"per_model": {"m": {"1mo": 9.5}}}, used=9.53)
    assert said.message == (
        'Tenant "acme" on model m has spent $9.53 of its monthly budget of $9.50. '
        "It reopens Dec 1 00:00 UTC; for more before then ask lead@example.com or whoever runs this gateway."
    )
    assert (said.status, said.kind, said.retry) == (429, "billing_error", False)


def test_a_key_is_told_by_its_name_never_by_its_hash() -> None:
    (limit,) = request_limits(caller(key={"requests_per_day": 1}), "m", NOW)
    said = refusal(limit, Over(limit.check, 1), NOW).message
    assert said.startswith('Key "alice" has used its 1 request per day.')
    assert TOKEN not in said


@pytest.mark.parametrize(
    ("amount", "text"), [(0, "$0.00"), (0.000252, "$0.000252"), (0.1, "$0.10"), (1234.5, "$1,234.50")]
)
def test_small_amounts_can_be_seen(amount: float, text: str) -> None:
    assert usd(amount) == text
