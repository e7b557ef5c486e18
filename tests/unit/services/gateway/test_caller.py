"""The caller, from the rows of LiteLLM's tables: what is open, and which keys LiteLLM must serve."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.unit.services.gateway.process import caller, key_row, team_row
from tollgate.services.gateway.caller import LITELLM_OPTIONS, of_rows

NOW = datetime(2026, 11, 21, 13, 0, tzinfo=UTC)


def test_a_key_that_apply_wrote_is_ours() -> None:
    found = caller({"requests_per_minute": 5, "daily_limit": 3})
    assert (found.reason, found.tenant, found.key_name, found.owner) == ("", "acme", "default", "lead@example.org")
    assert len(found.rules) == 2
    assert not (found.closed or found.suspended or found.operator)


@pytest.mark.parametrize(
    ("key", "team"),
    [
        ({"metadata": {}}, {}),
        ({}, {"metadata": {}}),
        ({}, {"metadata": {"managed_by": "somebody"}}),
        ({"metadata": {"managed_by": "tollgate", "guardrails": ["pii"]}}, {}),
        ({}, {"metadata": {"managed_by": "tollgate", "logging": [{}]}}),
        *(({option: {"x": 1}}, {}) for option in LITELLM_OPTIONS),
        *(({}, {option: ["x"]}) for option in LITELLM_OPTIONS),
    ],
)
def test_a_key_with_anything_that_is_not_ours_is_handed_over(key: Any, team: Any) -> None:
    assert caller(key=key, team=team).reason == "foreign_key"


@pytest.mark.parametrize("option", LITELLM_OPTIONS)
def test_twin_an_empty_option_hands_nothing_over(option: str) -> None:
    for empty in (None, {}):
        assert caller(key={option: empty}, team={option: empty}).reason == ""


def test_a_key_without_its_team_is_handed_over() -> None:
    assert of_rows(key_row(), None).reason == "foreign_key"


def test_a_limit_that_nobody_can_hold_is_handed_over() -> None:
    assert caller({"requests_per_fortnight": 5}).reason == "limit"


@pytest.mark.parametrize(
    ("key", "team", "may", "may_not"),
    [
        ([], [], ["a", "b"], []),
        (["a"], [], ["a"], ["b"]),
        ([], ["a"], ["a"], ["b"]),
        (["a", "b"], ["b", "c"], ["b"], ["a", "c"]),
        (["a"], ["b"], [], ["a", "b"]),
        (["all-team-models"], ["a"], ["a"], ["b"]),
        (["a"], ["all-proxy-models"], ["a"], ["b"]),
        (["no-default-models"], [], [], ["a"]),
    ],
)
def test_a_key_may_use_what_it_and_its_tenant_may(key: Any, team: Any, may: Any, may_not: Any) -> None:
    found = caller(key={"models": key}, team={"models": team})
    assert all(found.may_use(name) for name in may)
    assert not any(found.may_use(name) for name in may_not)


def test_an_alias_is_allowed_by_its_own_name_or_by_the_model_behind() -> None:
    found = caller(key={"models": ["sonnet"]})
    assert found.may_use("fast", "sonnet") and not found.may_use("fast", "opus")


@pytest.mark.parametrize("expires", [NOW.replace(tzinfo=None), NOW, NOW.astimezone()])
def test_a_key_is_closed_from_the_second_at_which_it_expires(expires: datetime) -> None:
    """LiteLLM stores times in UTC without a zone."""
    found = caller(key={"expires": expires})
    assert found.closed_at(NOW)
    assert not found.closed_at(NOW - timedelta(seconds=1))


def test_a_blocked_key_is_closed_and_so_is_that_of_a_suspended_tenant() -> None:
    assert caller(key={"blocked": True}).closed
    suspended = caller(team={"blocked": True})
    assert suspended.suspended and suspended.closed and not suspended.blocked


@pytest.mark.parametrize("metadata", [None, "text", [], 5])
def test_metadata_of_any_kind_is_read_without_a_failure(metadata: Any) -> None:
    assert of_rows(key_row(metadata=metadata), team_row(metadata=metadata)).reason == "foreign_key"
