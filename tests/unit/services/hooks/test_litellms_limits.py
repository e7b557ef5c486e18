"""For whom LiteLLM has to count: for everybody but a key and a team of ours without any limit of LiteLLM's."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from tollgate.services.hooks.litellms_limits import counts_for

OURS = {"managed_by": "tollgate", "limits": {"daily_limit": 5}}

FIELDS = (
    *("token", "user_id", "rpm_limit", "max_budget", "budget_limits", "model_max_budget", "team_max_budget"),
    *("max_parallel_requests", "soft_budget_cooldown", "team_budget_snapshot", "key_alias", "a_later_token_limit"),
)


class Caller(SimpleNamespace):
    """As LiteLLM's UserAPIKeyAuth: a pydantic model knows its fields."""

    model_fields = dict.fromkeys(FIELDS)

    def __init__(self, **fields: Any) -> None:
        unset = dict.fromkeys(self.model_fields)
        super().__init__(**unset | {"metadata": OURS | {"name": "alice"}, "team_metadata": OURS} | fields)


class Team(SimpleNamespace):
    model_fields = dict.fromkeys(("team_id", "organization_id", "tpm_limit", "budget_limits", "budget_duration"))

    def __init__(self, **fields: Any) -> None:
        super().__init__(**dict.fromkeys(self.model_fields) | fields)


def test_a_key_and_a_team_of_ours_are_counted_by_us_alone() -> None:
    empty = {"model_max_budget": {}, "budget_limits": [], "soft_budget_cooldown": False}
    assert not counts_for(
        Caller(**empty, team_budget_snapshot=object(), key_alias="payer/alice"), Team(team_id="payer")
    )


@pytest.mark.parametrize(
    "fields",
    [
        {"rpm_limit": 1},
        {"max_budget": 1.0},
        {"budget_limits": [{"budget_duration": "1d"}]},
        {"model_max_budget": {"m": 1}},
        {"team_max_budget": 1.0},
        {"max_parallel_requests": 1},
        {"a_later_token_limit": 1},
        {"user_id": "somebody"},
        {"metadata": {"name": "alice"}},
        {"team_metadata": {"limits": {}}},
        {"metadata": OURS | {"model_rpm_limit": {"m": 1}}},
        {"team_metadata": OURS | {"team_member_budget_id": "b"}},
        {"metadata": None},
    ],
    ids=str,
)
def test_litellm_counts_for_a_caller_with_something_of_its_own(fields: dict[str, Any]) -> None:
    assert counts_for(Caller(**fields), Team())


@pytest.mark.parametrize(
    "team",
    [None, Team(tpm_limit=1), Team(budget_limits=[{"budget_duration": "1d"}]), Team(organization_id="o")],
    ids=["unknown", "limit", "window", "organization"],
)
def test_litellm_counts_for_a_team_with_something_of_its_own(team: Team | None) -> None:
    """A caller does not show a budget window of its team."""
    assert counts_for(Caller(), team)
