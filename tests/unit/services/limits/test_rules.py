"""From LiteLLM's rows of a team and a key to rules."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tollgate.litellm.fields import team_fields
from tollgate.litellm.state import Budget, Limits, Team
from tollgate.services.limits.rule import MONEY, PARALLEL, REQUESTS, TOKENS, Rule, money_of, of_model
from tollgate.services.limits.rules import rules_of, unread

CREATED = datetime(2026, 11, 1, 9, tzinfo=UTC)
TOKEN = "ab" * 32


def team(limits: Any = None, **columns: Any) -> dict[str, Any]:
    metadata = {"managed_by": "tollgate", "owner": "lead@example.com"}
    if limits is not None:
        metadata["limits"] = limits
    return {"team_id": "acme", "team_alias": "Acme", "created_at": CREATED, "metadata": metadata, **columns}


def key(limits: Any = None, name: str = "alice", **columns: Any) -> dict[str, Any]:
    metadata: dict[str, Any] = {"managed_by": "tollgate", "name": name}
    if limits is not None:
        metadata["limits"] = limits
    return {"token": TOKEN, "team_id": "acme", "key_alias": f"acme/{name}/abab", "metadata": metadata, **columns}


def told(rules: tuple[Rule, ...]) -> list[tuple[Any, ...]]:
    return [(str(rule.holder), rule.kind, rule.window, rule.model, rule.amount) for rule in rules]


def test_all_that_apply_writes_becomes_rules() -> None:
    """The row is what `tollgate apply` sends to LiteLLM."""
    limits = Limits(
        daily_limit=0.1,
        weekly_limit=3.0,
        monthly_limit=9.5,
        requests_per_minute=6,
        tokens_per_minute=5000,
        requests_per_hour=7,
        requests_per_day=8,
        max_parallel_requests=2,
        soft_limit=1.0,
        per_model=(("opus", (Budget(0.5, "1d"), Budget(2, "1mo"))),),
    )
    row = {"team_id": "acme", "created_at": CREATED, **team_fields(Team("acme", "Acme", limits=limits))}
    tenant = 'tenant "acme"'
    assert told(rules_of(row, None)) == [
        (tenant, MONEY, "month", "", 9_500_000_000),
        (tenant, MONEY, "month", "opus", 2_000_000_000),
        (tenant, MONEY, "week", "", 3_000_000_000),
        (tenant, MONEY, "day", "", 100_000_000),
        (tenant, MONEY, "day", "opus", 500_000_000),
        (tenant, REQUESTS, "day", "", 8),
        (tenant, REQUESTS, "hour", "", 7),
        (tenant, REQUESTS, "minute", "", 6),
        (tenant, TOKENS, "minute", "", 5000),
        (tenant, PARALLEL, "", "", 2),
    ]
    assert unread(row, None) == ()


@pytest.mark.parametrize("name", ["daily_limit", "requests_per_hour", "tokens_per_minute", "per_model"])
def test_twin_a_limit_that_is_missing_leaves_its_rule_out(name: str) -> None:
    limits = {"daily_limit": 1, "requests_per_hour": 1, "tokens_per_minute": 1, "per_model": {"opus": {"1d": 1}}}
    assert len(rules_of(team(limits), None)) == 4
    assert len(rules_of(team(limits | {name: None}), None)) == 3


LITELLMS = {
    "rpm_limit": 1,
    "tpm_limit": 1,
    "tpd_limit": 1,
    "max_parallel_requests": 1,
    "max_budget": 0,
    "budget_limits": [{"budget_duration": "1d", "max_budget": 1}],
    "model_max_budget": '{"m": 1}',
}


@pytest.mark.parametrize("column", LITELLMS)
def test_litellms_own_fields_are_litellms(column: str) -> None:
    row = team({"requests_per_hour": 5}, **{column: LITELLMS[column]})
    assert len(rules_of(row, None)) == 1
    assert unread(row, None) == (column,)


@pytest.mark.parametrize("empty", [None, {}, [], "[]", "{}", "null"])
def test_twin_an_empty_field_of_litellms_is_no_limit(empty: Any) -> None:
    assert unread(team(**dict.fromkeys(LITELLMS, empty)), None) == ()


def test_of_two_names_of_one_window_the_smaller_holds() -> None:
    rules = rules_of(team({"per_model": {"m": {"1d": 2, "24h": 1}}}), None)
    assert [rule.amount for rule in rules] == [1_000_000_000]


def test_metadata_may_be_text() -> None:
    row = team({"requests_per_hour": 5, "daily_limit": 2})
    text = {**row, "metadata": json.dumps(row["metadata"])}
    assert [(rule.kind, rule.window) for rule in rules_of(text, None)] == [(MONEY, "day"), (REQUESTS, "hour")]


def test_a_key_has_rules_of_its_own_beside_its_tenants() -> None:
    rules = rules_of(team({"requests_per_minute": 9}), key({"requests_per_day": 2, "weekly_limit": 1}))
    assert told(rules) == [
        ('key "alice"', MONEY, "week", "", 1_000_000_000),
        ('key "alice"', REQUESTS, "day", "", 2),
        ('tenant "acme"', REQUESTS, "minute", "", 9),
    ]
    assert len({rule.tenant for rule in rules}) == 1
    assert all(rule.prefix.startswith(rule.tenant) for rule in rules)


WRONG = ["5", True, False, [5], -1, 0, -0.5, float("nan"), float("inf"), {}]


@pytest.mark.parametrize("wrong", WRONG)
def test_what_is_no_number_above_zero_limits_nothing_and_is_named(wrong: Any) -> None:
    row = team({"requests_per_hour": wrong, "daily_limit": wrong, "per_model": {"m": {"1d": wrong}}})
    assert rules_of(row, None) == ()
    assert set(unread(row, None)) == {"limits.requests_per_hour", "limits.daily_limit", "limits.per_model"}


@pytest.mark.parametrize(
    ("row", "names"),
    [
        (team(budget_limits="no JSON"), ("budget_limits",)),
        (team({"tokens_per_day": 5}), ("limits.tokens_per_day",)),
        (team({"per_model": {"m": 5}}), ("limits.per_model",)),
        (team({"per_model": 5}), ("limits.per_model",)),
        (team({"per_model": {"m": {"1y": 5}}}), ("limits.per_model",)),
        (team("text"), ("limits",)),
        (team() | {"metadata": {"model_rpm_limit": {"m": 1}}}, ("metadata.model_rpm_limit",)),
    ],
)
def test_a_limit_that_no_rule_holds_is_named(row: dict[str, Any], names: tuple[str, ...]) -> None:
    assert rules_of(row, None) == ()
    assert unread(row, None) == names
    assert unread(None, row) == names


@pytest.mark.parametrize(
    "row", [None, {}, team(), team({}), team({"soft_limit": 5, "requests_per_day": None}), {"metadata": "no JSON"}]
)
def test_no_limit_is_no_rule(row: Any) -> None:
    assert rules_of(row, row) == ()
    assert unread(row, row) == ()


def test_a_part_of_a_request_counts_as_a_whole_one() -> None:
    assert [rule.amount for rule in rules_of(team({"requests_per_minute": 2.5}), None)] == [3]


def test_the_least_money_is_one_nano_dollar() -> None:
    assert [rule.amount for rule in rules_of(team({"daily_limit": 1e-12}), None)] == [1]


# ---- whose counters they are


def prefix(team_row: Any, key_row: Any) -> str:
    return rules_of(team_row, key_row)[0].prefix


def test_a_tenant_that_is_created_again_starts_at_zero() -> None:
    again = team({"daily_limit": 1}) | {"created_at": datetime(2026, 11, 1, 10, tzinfo=UTC)}
    assert prefix(team({"daily_limit": 1}), None) != prefix(again, None)
    assert prefix(again, None) == prefix(dict(again), None)
    assert rules_of(again, None)[0].holder.created == again["created_at"]


@pytest.mark.parametrize("written", ["2026-11-01T09:00:00Z", "2026-11-01T10:00:00+01:00", datetime(2026, 11, 1, 9)])
def test_a_creation_is_the_same_however_it_is_written(written: Any) -> None:
    one = team({"daily_limit": 1})
    assert prefix(one, None) == prefix(one | {"created_at": written}, None)


@pytest.mark.parametrize("written", [None, "never", 7])
def test_a_team_without_a_creation_has_counters_too(written: Any) -> None:
    rules = rules_of(team({"daily_limit": 1}) | {"created_at": written}, None)
    assert rules[0].holder.created is None


def test_a_rotated_key_goes_on_where_the_old_one_was() -> None:
    old, new = key({"requests_per_day": 1}), key({"requests_per_day": 1}) | {"token": "cd" * 32, "key_alias": "x"}
    assert prefix(team(), old) == prefix(team(), new)
    assert rules_of(team(), old)[0].holder.named


def test_twin_another_name_or_another_tenant_has_other_counters() -> None:
    one = key({"requests_per_day": 1})
    assert prefix(team(), one) != prefix(team(), key({"requests_per_day": 1}, name="bob"))
    assert prefix(team(), one) != prefix(team() | {"team_id": "other"}, one)


def test_a_key_made_by_hand_is_known_by_its_hash() -> None:
    metadata = {"limits": {"requests_per_day": 1}, "name": "alice"}
    first, second = ({"token": token, "metadata": metadata} for token in ("a", "b"))
    assert prefix(None, first) != prefix(None, second)
    assert not rules_of(None, first)[0].holder.named
    assert rules_of(None, first)[0].tenant != rules_of(None, second)[0].tenant
    bare = {"token": "a", "metadata": {"limits": {"requests_per_minute": 1}}}
    assert str(rules_of(None, bare)[0].holder) == 'key "unnamed"'
    assert str(rules_of(None, bare | {"key_alias": "acme/carol/1"})[0].holder) == 'key "acme/carol"'


HOSTILE = "\r\n}{ \0é" * 100


def test_no_text_gets_into_the_name_of_a_counter() -> None:
    row = team({"per_model": {HOSTILE: {"1d": 1}}, "requests_per_day": 1}) | {"team_id": HOSTILE}
    for rule in rules_of(row, key({"requests_per_day": 1}, name=HOSTILE) | {"token": HOSTILE}):
        assert rule.prefix.isascii() and rule.prefix.isprintable() and " " not in rule.prefix
        assert len(rule.prefix) < 120
        assert rule.prefix.count("{") == rule.prefix.count("}") == 1


def test_no_two_rules_share_a_counter() -> None:
    every = {"daily_limit": 1, "requests_per_day": 1, "max_parallel_requests": 1, "tokens_per_minute": 1}
    every["per_model"] = {"a": {"1d": 1}, "b": {"1d": 1}}  # type: ignore[assignment]
    rules = rules_of(team(every), key(every))
    assert len(rules) == 12
    assert len({rule.prefix for rule in rules}) == 12


# ---- which of them a request meets


def test_a_model_meets_its_own_rules_and_those_for_all() -> None:
    rules = rules_of(
        team({"daily_limit": 9, "per_model": {"a": {"1d": 1}, "b": {"1d": 2}}, "requests_per_day": 3}), None
    )
    assert [rule.model for rule in of_model(rules, "a", costs=True)] == ["", "a", ""]
    assert [rule.amount for rule in money_of(rules, "b")] == [9_000_000_000, 2_000_000_000]


def test_a_model_that_costs_nothing_meets_no_budget() -> None:
    rules = rules_of(team({"daily_limit": 9, "per_model": {"a": {"1d": 1}}, "requests_per_day": 3}), None)
    assert [rule.kind for rule in of_model(rules, "a", costs=False)] == [REQUESTS]


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
COLUMN = st.sampled_from(["metadata", "rpm_limit", "max_budget", "budget_duration", "budget_limits", "created_at"])
LIMIT = st.sampled_from(["requests_per_day", "per_model", "daily_limit", "x"])


@given(st.dictionaries(COLUMN, ANYTHING), st.dictionaries(LIMIT, ANYTHING))
def test_no_row_breaks_it(columns: dict[str, Any], limits: dict[str, Any]) -> None:
    for row in (columns, {**columns, "metadata": {"limits": limits}}):
        rules = rules_of(row, row)
        assert all(rule.amount > 0 for rule in rules)
        assert isinstance(unread(row, row), tuple)
