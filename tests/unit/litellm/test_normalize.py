"""The rules that make LiteLLM's rows comparable, and the fields that change one object into another."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.support.reconcile import wanted
from tollgate.litellm import expiry, normalize
from tollgate.litellm.fields import key_difference, key_fields, team_difference, team_fields
from tollgate.litellm.state import EXPIRED, Key, Limits, Team

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)

ROW: dict[str, Any] = {"team_id": "acme", "team_alias": "Acme", "metadata": {"managed_by": "tollgate"}}


@pytest.mark.parametrize(
    ("metadata", "managed"),
    [
        ({"managed_by": "tollgate", "more": 1}, True),
        ('{"managed_by": "tollgate"}', True),
        ({"managed_by": "terraform"}, False),
        ({}, False),
        (None, False),
    ],
)
def test_only_our_mark_makes_an_object_ours(metadata: Any, managed: bool) -> None:
    assert normalize.is_managed({"metadata": metadata}) is managed


def test_null_means_no_limit_and_not_blocked() -> None:
    row = {**ROW, "models": None, "blocked": None, "max_budget": None, "budget_limits": None, "rpm_limit": None}

    assert normalize.team(row) == normalize.team(ROW) == Team("acme", "Acme")


def test_the_order_of_a_list_means_nothing() -> None:
    assert normalize.team({**ROW, "models": ["b", "a"]}) == normalize.team({**ROW, "models": ["a", "b"]})


def test_a_cleared_budget_leaves_its_duration_behind() -> None:
    assert normalize.team({**ROW, "max_budget": None, "budget_duration": "1mo"}) == normalize.team(ROW)


def test_a_keys_spend_and_times_are_not_compared() -> None:
    row = {"token": "h", "team_id": "acme", "key_alias": "a", "models": [], "allowed_routes": []}

    assert normalize.key({**row, "spend": 3.2, "updated_at": "x", "last_active": "y"}, NOW) == normalize.key(row, NOW)


# ---- fields


def test_only_fields_that_differ_are_sent() -> None:
    before = Team("acme", "Acme", limits=Limits(daily_limit=5.0, requests_per_minute=60))
    after = replace(before, limits=replace(before.limits, daily_limit=7.5))

    limits = {"daily_limit": 7.5, "requests_per_minute": 60}
    assert team_difference(before, after) == {"metadata": {"managed_by": "tollgate", "limits": limits}}
    assert team_difference(before, replace(before, name="A")) == {"team_alias": "A"}


LITELLMS = {
    "max_budget": 100.0,
    "budget_duration": "1mo",
    "budget_limits": [{"budget_duration": "1d", "max_budget": 5.0, "reset_at": "2026-11-22T00:00:00+00:00"}],
    "rpm_limit": 60,
    "tpm_limit": 1000,
}


@pytest.mark.parametrize("form", [list, json.dumps])
def test_limits_in_litellms_own_fields_are_moved_to_ours(form: Callable[[Any], Any]) -> None:
    """Earlier versions wrote them there. The plan shows them, and one apply moves them."""
    found = normalize.team({**ROW, **LITELLMS, "budget_limits": form(LITELLMS["budget_limits"])})
    wanted = Team("acme", "Acme", limits=Limits(daily_limit=5.0, monthly_limit=100.0, requests_per_minute=60))

    assert found.limits == Limits()
    assert dict(found.stray) == {
        "max_budget": "100.0",
        "budget_limits": '[{"budget_duration": "1d", "max_budget": 5.0}]',
        "rpm_limit": "60",
        "tpm_limit": "1000",
    }
    assert team_difference(found, wanted) == {
        "max_budget": None,
        "budget_duration": None,
        "budget_limits": [],
        "rpm_limit": None,
        "tpm_limit": None,
        "metadata": {
            "managed_by": "tollgate",
            "limits": {"daily_limit": 5.0, "monthly_limit": 100.0, "requests_per_minute": 60},
        },
    }


def test_twin_after_the_move_nothing_is_left_to_do() -> None:
    limits = {"daily_limit": 5, "monthly_limit": 100, "requests_per_minute": 60}
    row = {**ROW, **dict.fromkeys(LITELLMS), "budget_duration": "1mo", "budget_limits": []}
    found = normalize.team({**row, "metadata": {"managed_by": "tollgate", "limits": limits}})

    assert found == Team("acme", "Acme", limits=Limits(daily_limit=5, monthly_limit=100, requests_per_minute=60))


def test_unchanged_metadata_is_not_sent() -> None:
    before = Team("acme", "Acme", labels=(("centre", "1"),))

    assert team_difference(before, replace(before, name="A")) == {"team_alias": "A"}
    assert team_difference(before, replace(before, labels=())) == {"metadata": {"managed_by": "tollgate"}}


# ---- metadata

FULL = """
tenant: {id: acme, name: Acme, owner: lead@example.org}
budget: {daily_limit: 5, weekly_limit: 9, monthly_limit: 20, soft_limit: 9, per_model: {claude: {daily_limit: 2}}}
rate_limits: {requests_per_minute: 6, requests_per_hour: 50, requests_per_day: 60, max_parallel_requests: 4}
metadata: {centre: 4711, tags: [a, b], deep: {ü: null}}
show_keys: true
keys: [{name: ci, owner: ci@example.org, expires: 2027-01-31, rate_limits: {requests_per_day: 5}}]
"""


def as_row(fields: dict[str, Any], **more: Any) -> dict[str, Any]:
    """The row that LiteLLM would return, through JSON."""
    row: dict[str, Any] = json.loads(json.dumps({**fields, **more}))
    return row


def test_a_team_and_its_keys_are_equal_after_writing_and_reading() -> None:
    state = wanted(FULL, now=NOW)
    (team,) = state.teams.values()

    assert normalize.team(as_row(team_fields(team), team_id="acme")) == team
    for key in state.keys.values():
        ends = key.expires and key.expires.replace("Z", ":12+00:00")
        assert normalize.key(as_row(key_fields(key), token=key.id, expires=ends), NOW) == key


def test_the_limits_are_where_the_limiter_reads_them() -> None:
    state = wanted(FULL, now=NOW)

    assert team_fields(state.teams["acme"])["metadata"] == {
        "managed_by": "tollgate",
        "owner": "lead@example.org",
        "labels": {"centre": 4711, "tags": ["a", "b"], "deep": {"ü": None}},
        "limits": {
            "daily_limit": 5.0,
            "weekly_limit": 9.0,
            "monthly_limit": 20.0,
            "requests_per_minute": 6,
            "requests_per_hour": 50,
            "requests_per_day": 60,
            "max_parallel_requests": 4,
            "soft_limit": 9.0,
            "per_model": {"claude": {"1d": 2.0}},
        },
        "show_keys": True,
    }
    assert [key_fields(key)["metadata"] for key in state.keys.values() if key.name == "ci"] == [
        {"managed_by": "tollgate", "name": "ci", "owner": "ci@example.org", "limits": {"requests_per_day": 5}}
    ]
    assert "routes" not in team_fields(state.teams["acme"])["metadata"]


@pytest.mark.parametrize(
    ("metadata", "stray"),
    [
        ({"tags": ["x"]}, "tags"),
        ({"limits": "none"}, "limits"),
        ({"limits": {"requests_per_hour": "5"}}, "limits.requests_per_hour"),
        ({"limits": {"requests_per_hour": True}}, "limits.requests_per_hour"),
        ({"limits": {"tokens_per_year": 5}}, "limits.tokens_per_year"),
        ({"limits": {"per_model": {"claude": 5}}}, "limits.per_model"),
        ({"limits": {"per_model": {"claude": {"1d": "x"}}}}, "limits.per_model"),
        ({"labels": []}, "labels"),
        ({"owner": 5}, "owner"),
    ],
)
def test_foreign_entries_in_our_metadata_are_removed(metadata: Any, stray: str) -> None:
    team = normalize.team({**ROW, "metadata": {"managed_by": "tollgate", **metadata}})

    assert [name for name, _ in team.stray] == [stray]
    assert team_difference(team, Team("acme", "Acme")) == {"metadata": {"managed_by": "tollgate"}}


def test_a_value_that_could_be_a_credential_is_redacted() -> None:
    logging = [{"callback_name": "langfuse", "callback_vars": {"langfuse_secret_key": "sk-lf-very-secret"}}]
    metadata = {"managed_by": "tollgate", "logging": logging, "model_rpm_limit": {"claude": 1}}
    team = normalize.team({**ROW, "metadata": metadata})

    assert team.stray == (("logging", '"(redacted)"'), ("model_rpm_limit", '{"claude": 1}'))


def test_litellms_own_metadata_is_no_difference() -> None:
    row = {**ROW, "metadata": {"managed_by": "tollgate", "team_member_budget_id": "x", "service_account_id": "y"}}

    assert normalize.team(row) == Team("acme", "Acme")


def test_a_limit_that_no_file_can_set_is_cleared_by_its_own_field() -> None:
    team = normalize.team({**ROW, "tpd_limit": 5})
    assert team_difference(team, Team("acme", "Acme")) == {"tpd_limit": None}

    key = normalize.key({"token": "h", "max_parallel_requests": 3}, NOW)
    assert key_difference(key, replace(key, stray=()), NOW) == {"max_parallel_requests": None}


# ---- expiry


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (None, None),
        ("2026-12-01T10:00:12.345000+00:00", "2026-12-01T10:00Z"),
        ("2026-12-01T09:59:59.999000Z", "2026-12-01T10:00Z"),
        ("2026-12-01T10:00:12.345000", "2026-12-01T10:00Z"),
        ("2026-12-01T12:00:00+02:00", "2026-12-01T10:00Z"),
        ("2026-11-21T12:00:00+00:00", EXPIRED),
        ("2026-11-21T11:59:59+00:00", EXPIRED),
    ],
)
def test_expiry_is_compared_by_the_minute(row: str | None, expected: str | None) -> None:
    assert expiry.observed(row, NOW) == expected


def test_a_key_never_lives_longer_than_its_file_says() -> None:
    assert expiry.wanted(datetime(2026, 12, 1, 10, 0, 59, tzinfo=UTC), NOW) == "2026-12-01T10:00Z"
    assert expiry.wanted(NOW + timedelta(seconds=59), NOW) == EXPIRED


@pytest.mark.parametrize(
    ("expires", "duration"), [(None, "-1"), (EXPIRED, "0s"), ("2026-11-21T12:01Z", "60s"), ("2026-11-21T11:00Z", "0s")]
)
def test_litellm_gets_a_duration(expires: str | None, duration: str) -> None:
    before, after = Key("h", "acme", "a", expires="2030-01-01T00:00Z"), Key("h", "acme", "a", expires=expires)

    assert key_difference(before, after, NOW) == {"duration": duration}
    assert key_difference(after, after, NOW) == {}
