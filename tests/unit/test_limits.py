"""One table of limits: the fields of tenant files, our values and the limiter's own table agree with it."""

from __future__ import annotations

from collections import Counter
from dataclasses import fields

import pytest
from typer.main import get_command

from tollgate.cli.app import app
from tollgate.config.tenant.model import Budget, ModelBudget, RateLimits, Windows
from tollgate.limits import BUDGETS, DURATIONS, LIMITS, OPTIONS, RATES, SOFT
from tollgate.litellm.state import DAY, MONTH, WEEK, Limits
from tollgate.services.limits.rules import rules_of, unread


def test_the_fields_of_a_tenants_file_are_the_tables() -> None:
    assert [limit.name for limit in BUDGETS] == list(Windows.model_fields)
    assert set(Budget.model_fields) == {limit.name for limit in (*BUDGETS, SOFT)} | {"per_model"}
    assert [limit.name for limit in RATES] == list(RateLimits.model_fields)
    assert set(ModelBudget.model_fields) <= {limit.name for limit in BUDGETS}


def test_what_is_compared_with_litellm_has_each_of_them() -> None:
    assert {field.name for field in fields(Limits)} - {"per_model"} == {limit.name for limit in LIMITS}
    assert {"day": DAY, "week": WEEK, "month": MONTH} == DURATIONS


def test_the_limiter_holds_every_limit_that_refuses() -> None:
    amounts = {limit.name: 1 for limit in LIMITS}
    per_model = {"m": {DURATIONS[limit.window]: 1 for limit in BUDGETS if limit.name in ModelBudget.model_fields}}
    team = {"team_id": "acme", "metadata": {"limits": {**amounts, "per_model": per_model}}}
    assert unread(team, None) == ()
    rules = rules_of(team, None)
    assert Counter(rule.window for rule in rules if not rule.model) == Counter(
        limit.window for limit in (*BUDGETS, *RATES)
    )
    assert {rule.window for rule in rules if rule.model} == {"day", "month"}


@pytest.mark.parametrize(("command", "without"), [("create", {"soft"}), ("update", set())])
def test_each_has_its_option(command: str, without: set[str]) -> None:
    group = get_command(app).commands["tenant"].commands[command]  # type: ignore[attr-defined]
    named = {parameter.name: parameter for parameter in group.params}
    assert set(OPTIONS) - set(named) == without
    for option in set(OPTIONS) - without:
        assert named[option].help == OPTIONS[option].help


def test_no_two_share_a_name_or_an_option() -> None:
    assert len({limit.name for limit in LIMITS}) == len({limit.option for limit in LIMITS}) == len(LIMITS)
