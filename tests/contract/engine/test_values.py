"""Values keep their type and their last digit on the way in and out."""

from __future__ import annotations

import json

import pytest

from tests.support.engine import Engine

pytestmark = pytest.mark.docker


def store(engine: Engine, field: str, value: str) -> object:
    """Write `value` (GraphQL text) to a field of a new team, and read it back with another query."""
    created = engine.run(f"mutation {{ result: createOneTeam(data: {{{field}: {value}}}) {{ id }} }}")
    return engine.run(f'query {{ result: findUniqueTeam(where: {{id: "{created["id"]}"}}) {{ {field} }} }}')[field]


@pytest.mark.parametrize(
    "value", [{}, {"a": [1, 2.5, None, 'é😀"\\']}, [], "text", 5, {"deep": {"list": [{"x": True}]}}]
)
def test_json_is_stored_as_json_and_read_as_text(engine: Engine, value: object) -> None:
    text = store(engine, "metadata", json.dumps(json.dumps(value)))
    assert isinstance(text, str)
    assert json.loads(text) == value
    kind = 'SELECT jsonb_typeof(metadata) AS kind FROM "Team"'
    expected = {dict: "object", list: "array", str: "string", int: "number"}[type(value)]
    assert engine.raw(kind)["rows"] == [[expected]]


def test_json_can_be_filtered_by_value_and_by_path(engine: Engine) -> None:
    store(engine, "metadata", json.dumps('{"owner": {"name": "ann"}, "n": 3}'))
    store(engine, "metadata", json.dumps('{"owner": {"name": "bob"}}'))

    def matching(where: str) -> int:
        return len(engine.run(f"query {{ result: findManyTeam(where: {{metadata: {where}}}) {{ id }} }}"))

    assert matching('{equals: "{\\"owner\\": {\\"name\\": \\"bob\\"}}"}') == 1
    assert matching('{path: ["owner", "name"], equals: "\\"ann\\""}') == 1
    assert matching('{path: ["owner", "name"], string_starts_with: "b"}') == 1
    assert matching('{path: ["n"], gt: "2"}') == 1
    assert matching('{path: ["n"], gt: "3"}') == 0


def test_lists_of_json_are_set_and_pushed_to(engine: Engine) -> None:
    engine.run("""mutation { result: createOneTeam(data: {id: "t", members: {create: {user_id: "u",
        history: {set: ["{\\"a\\": 1}", "2"]}}}}) { id } }""")
    push = (
        'updateOneMember(where: {team_id_user_id: {team_id: "t", user_id: "u"}} data: {history: {push: ["\\"x\\""]}})'
    )
    pushed = engine.run(f"mutation {{ result: {push} {{ history }} }}")
    assert [json.loads(item) for item in pushed["history"]] == [{"a": 1}, 2, "x"]


def test_a_list_of_strings(engine: Engine) -> None:
    values = ["a", "with, comma", 'quote"', "brace}", "", "NULL", "é"]
    assert store(engine, "models", json.dumps(values)) == values
    assert store(engine, "models", "[]") == []
    has = 'findManyTeam(where: {models: {has: "with, comma"}})'
    assert len(engine.run(f"query {{ result: {has} {{ id }} }}")) == 1
    push = engine.run('mutation { result: updateManyTeam(data: {models: {push: ["more"]}}) { count } }')
    assert push == {"count": 2}


@pytest.mark.parametrize("number", [0, 9007199254740993, -9223372036854775808, 9223372036854775807])
def test_a_bigint_keeps_every_digit(engine: Engine, number: int) -> None:
    assert int(str(store(engine, "limit", str(number)))) == number


@pytest.mark.parametrize("number", ["0.1", "12345678901234567890.0123456789", "-7.25"])
def test_a_decimal_keeps_every_digit(engine: Engine, number: str) -> None:
    assert store(engine, "budget", json.dumps(number)) == number


@pytest.mark.parametrize("number", [0.1, 1e-7, 1234.5, 3, 1e21])
def test_a_float_is_a_number(engine: Engine, number: float) -> None:
    assert store(engine, "spend", repr(number)) == number


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ("2026-03-29T01:30:00.123+00:00", "2026-03-29T01:30:00.123Z"),
        ("2026-03-29T03:30:00.000+02:00", "2026-03-29T01:30:00.000Z"),
        ("1969-12-31T23:59:59.999Z", "1969-12-31T23:59:59.999Z"),
    ],
)
def test_a_date_is_read_in_utc_with_milliseconds(engine: Engine, given: str, read: str) -> None:
    assert store(engine, "created_at", json.dumps(given)) == read
    found = engine.run(f'query {{ result: findManyTeam(where: {{created_at: {{equals: "{given}"}}}}) {{ id }} }}')
    assert len(found) == 1


def test_a_day_without_time(engine: Engine) -> None:
    assert store(engine, "born", '"2024-02-29T00:00:00.000Z"') == "2024-02-29T00:00:00.000Z"


def test_enum_bytes_and_null(engine: Engine) -> None:
    assert store(engine, "mood", '"BUSY"') == "BUSY"
    assert store(engine, "secret", '"AP+A"') == "AP+A"
    assert store(engine, "alias", "null") is None
    assert (
        store(engine, "alias", json.dumps("line\nbreak\ttab \x7f é \U0001f600")) == "line\nbreak\ttab \x7f é \U0001f600"
    )
