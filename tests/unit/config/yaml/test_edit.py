"""Editing a tenant file as text: only what was asked changes; comments, order, quotes and layout stay."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tollgate.config.yaml.document import parse
from tollgate.config.yaml.edit import append, new, put, remove
from tollgate.errors import TollgateError

FILE = Path("tenants/acme.yaml")
ACME = """\
# The first team; ask Mia before you change it.
tenant:
  id: acme
  name: 'Acme, "the" team'   # as in the wiki

# Cheap ones only.
allowed_models:
  - test-model   # free
  # agreed in May
  - "gpt-4o-mini"
budget:
  daily_limit: 100  # USD
  # the finance department's figure
  monthly_limit: 1_500.50
keys:
  - name: alice
    owner: alice@acme.example
  # for the nightly build
  - {name: ci, expires: 2027-01-31}
rate_limits: {requests_per_minute: 60, requests_per_hour: 1000}  # both
metadata:
  note: |
    two
    lines
# the end
"""


def data(text: str) -> Any:
    return parse(text, FILE).data


def changed(before: str, after: str) -> list[str]:
    lines = difflib.ndiff(before.splitlines(), after.splitlines())
    return [line for line in lines if line[0] in "+-"]


def test_a_number_changes_and_nothing_else() -> None:
    after = put(ACME, FILE, ("budget", "daily_limit"), 50.0)
    assert changed(ACME, after) == ["-   daily_limit: 100  # USD", "+   daily_limit: 50  # USD"]


def test_a_limit_that_was_not_there_comes_last_in_its_section() -> None:
    after = put(ACME, FILE, ("budget", "weekly_limit"), 400)
    assert changed(ACME, after) == ["+   weekly_limit: 400"]
    assert "1_500.50\n  weekly_limit: 400\nkeys:" in after


def test_a_section_that_was_not_there_comes_where_a_new_file_has_it() -> None:
    after = put("tenant:\n  id: a\nmetadata: {x: 1}\n", FILE, ("budget", "daily_limit"), 5)
    assert after == "tenant:\n  id: a\n\nbudget:\n  daily_limit: 5\nmetadata: {x: 1}\n"


def test_inside_braces_it_stays_inside_braces() -> None:
    after = put(ACME, FILE, ("rate_limits", "requests_per_day"), 9)
    line = "rate_limits: {requests_per_minute: 60, requests_per_hour: 1000, requests_per_day: 9}  # both"
    assert changed(ACME, after)[-1] == f"+ {line}"
    assert changed(ACME, remove(after, FILE, ("rate_limits", "requests_per_day"))) == []


def test_suspending_and_resuming_gives_the_same_rules_back() -> None:
    suspended = put(ACME, FILE, ("suspended",), True)
    assert data(suspended)["suspended"] is True
    assert suspended.startswith(ACME[: ACME.index("# the end")])
    assert remove(suspended, FILE, ("suspended",)) == ACME


def test_models_that_stay_keep_their_comments() -> None:
    after = put(ACME, FILE, ("allowed_models",), ["qwen-coder", "test-model"])
    assert "  - test-model   # free\n  # agreed in May\n  - qwen-coder\nbudget" in after


def test_a_key_is_added_behind_the_others_and_removed_with_its_lines_only() -> None:
    after = append(ACME, FILE, ("keys",), {"name": "bob", "owner": "bob@acme.example"})
    assert changed(ACME, after) == ["+   - name: bob", "+     owner: bob@acme.example"]
    assert changed(after, remove(after, FILE, ("keys", 0))) == ["-   - name: alice", "-     owner: alice@acme.example"]
    assert remove(after, FILE, ("keys", 2)) == ACME


def test_the_first_key_makes_the_section_and_the_last_takes_it_away() -> None:
    text = "tenant: {id: a}\n"
    with_key = append(text, FILE, ("keys",), {"name": "bob"})
    assert with_key == "tenant: {id: a}\n\nkeys:\n  - name: bob\n"
    assert data(remove(with_key, FILE, ("keys", 0))) == data(text)


def test_removing_what_is_not_there_changes_nothing() -> None:
    assert remove(ACME, FILE, ("suspended",)) == ACME


def test_no_limit_at_all_is_null() -> None:
    assert "daily_limit: null  # USD" in put(ACME, FILE, ("budget", "daily_limit"), None)


@pytest.mark.parametrize("text", ["tenant: {id: a}\nbudget:\n", "tenant: {id: a}\nbudget: {}", "{tenant: {id: a}}"])
def test_odd_but_legal_layouts(text: str) -> None:
    assert data(put(text, FILE, ("budget", "daily_limit"), 5)) == {"tenant": {"id": "a"}, "budget": {"daily_limit": 5}}


def test_an_anchor_that_others_use_is_left_to_a_person() -> None:
    text = "tenant: {id: a}\nbudget: &b\n  daily_limit: 5\nmetadata: *b\n"
    with pytest.raises(TollgateError, match=r"budget\.daily_limit cannot be changed without touching") as refused:
        put(text, FILE, ("budget", "daily_limit"), 6)
    assert "edit the file" in refused.value.hint


def test_twin_the_same_file_without_the_alias_is_changed() -> None:
    text = "tenant: {id: a}\nbudget: &b\n  daily_limit: 5\n"
    assert data(put(text, FILE, ("budget", "daily_limit"), 6))["budget"] == {"daily_limit": 6}


def test_a_new_file_reads_like_one_written_by_hand() -> None:
    text = new(
        {
            "budget": {"daily_limit": 100.0},
            "tenant": {"id": "eng", "name": "R&D: 1"},
            "allowed_models": ["a", "group:b"],
        },
        "One line.\nAnd another.",
    )
    assert text == (
        '# One line.\n# And another.\ntenant:\n  id: eng\n  name: "R&D: 1"\n\n'
        "allowed_models:\n  - a\n  - group:b\n\nbudget:\n  daily_limit: 100\n"
    )


SCALARS = (
    st.none() | st.booleans() | st.integers(-9, 10**9) | st.floats(0.01, 1e6) | st.text(st.characters(codec="ascii"))
).filter(lambda value: not isinstance(value, str) or value.isprintable())
PLACES = st.sampled_from(
    [
        ("budget", "daily_limit"),
        ("budget", "x"),
        ("rate_limits", "y"),
        ("tenant", "name"),
        ("tenant", "owner"),
        ("suspended",),
        ("metadata", "new"),
        ("metadata", "note"),
        ("deep", "er"),
        ("keys", 0, "owner"),
    ]
)


@settings(deadline=None, max_examples=60)  # the machine may be busy
@given(st.lists(st.tuples(PLACES, SCALARS), max_size=6))
def test_any_edits_keep_every_comment_and_say_what_was_asked(edits: list[tuple[Any, Any]]) -> None:
    text = ACME
    for place, value in edits:
        text = put(text, FILE, place, value)  # reads its own result again and refuses what differs
    comments = [line for line in ACME.splitlines() if line.strip().startswith("#")]
    assert [line for line in text.splitlines() if line in comments] == comments
    for place, value in dict(edits).items():
        found = data(text)
        for part in place:
            found = found[part]
        assert found == value
