"""Raw SQL: rows with their columns and types, as LiteLLM's reports, spend writes and view check use it."""

from __future__ import annotations

import pytest

from tests.support.engine import Engine

pytestmark = pytest.mark.docker

VIEW_CHECK = """
SELECT COUNT(*) AS count, ARRAY_AGG(viewname) AS names FROM pg_views
WHERE schemaname = 'pg_catalog' AND viewname IN ('pg_user', 'pg_roles') GROUP BY schemaname
"""


def one(engine: Engine, expression: str, *parameters: object) -> tuple[str, object]:
    """(type, value) of the only cell of SELECT expression."""
    answer = engine.raw(f"SELECT {expression} AS cell", *parameters)
    assert answer["columns"] == ["cell"]
    return answer["types"][0], answer["rows"][0][0]


@pytest.mark.parametrize(
    ("expression", "kind", "value"),
    [
        ("1::int4", "int", 1),
        ("9007199254740993::int8", "bigint", "9007199254740993"),
        ("1.25::float8", "double", 1.25),
        ("1.10::numeric", "decimal", "1.1"),
        ("true", "bool", True),
        ("'x'::text", "string", "x"),
        ("'x'::name", "string", "x"),
        ("NULL::text", "string", None),
        ("'{\"a\": [1]}'::jsonb", "json", {"a": [1]}),
        ("'{\"a\": [1]}'::json", "json", {"a": [1]}),
        ("'2024-02-29'::date", "date", "2024-02-29"),
        ("ARRAY['a', 'b,c', NULL]", "string-array", ["a", "b,c", None]),
        ("ARRAY['a']::name[]", "string-array", ["a"]),
        ("ARRAY[1, 2]", "int-array", [1, 2]),
        ("ARRAY['2026-03-29T03:30:00.123456+02'::timestamptz]", "datetime-array", ["2026-03-29T01:30:00.123456+00:00"]),
        ("'11111111-2222-3333-4444-555555555555'::uuid", "uuid", "11111111-2222-3333-4444-555555555555"),
    ],
)
def test_a_cell_says_what_it_is(engine: Engine, expression: str, kind: str, value: object) -> None:
    assert one(engine, expression) == (kind, value)


def test_an_empty_list(engine: Engine) -> None:
    kind, value = one(engine, "ARRAY[]::text[]")
    assert kind.endswith("-array")
    assert value == []


@pytest.mark.parametrize(
    "expression", ["'2026-03-29T03:30:00.5+02'::timestamptz", "'2026-03-29 01:30:00.5'::timestamp"]
)
def test_a_timestamp_is_in_utc(engine: Engine, expression: str) -> None:
    kind, value = one(engine, expression)
    assert kind == "datetime"
    assert str(value).startswith("2026-03-29T01:30:00.5")
    assert str(value).endswith("+00:00")


def test_litellms_view_check(engine: Engine) -> None:
    """LiteLLM learns with such a query at start which of its views are missing."""
    answer = engine.raw(VIEW_CHECK)
    assert answer["types"] == ["bigint", "string-array"]
    count, names = answer["rows"][0]
    assert (int(count), sorted(names)) == (2, ["pg_roles", "pg_user"])


def test_parameters_of_each_kind(engine: Engine) -> None:
    assert one(engine, "$1::text", "o'clock") == ("string", "o'clock")
    assert one(engine, "$1::int", 7) == ("int", 7)
    assert one(engine, "$1::float8", 0.5) == ("double", 0.5)
    assert one(engine, "$1::bool", True) == ("bool", True)
    assert one(engine, "$1::text[]", ["a", "b"]) == ("string-array", ["a", "b"])
    assert one(engine, "$1::jsonb", {"a": 1}) == ("json", {"a": 1})
    assert one(engine, "$1::text IS NULL", None) == ("bool", True)
    assert one(engine, "$1::text = ANY($2::text[])", "b", ["a", "b"]) == ("bool", True)
    kind, moment = one(engine, "$1::timestamptz", "2026-03-29T03:30:00+02:00")
    assert (kind, str(moment)[:19]) == ("datetime", "2026-03-29T01:30:00")


def test_execute_tells_how_many_rows(engine: Engine) -> None:
    insert = 'INSERT INTO "Counter" (name, value) SELECT $1, generate_series(1, 3)'
    assert engine.raw(insert, "c", action="executeRaw") == 3
    assert engine.raw('UPDATE "Counter" SET value = value + 10 WHERE value > 1', action="executeRaw") == 2
    assert engine.raw('SELECT value FROM "Counter" ORDER BY 1')["rows"] == [[1], [12], [13]]


def test_no_rows_are_an_empty_list(engine: Engine) -> None:
    assert engine.raw('SELECT id, name FROM "Counter"')["rows"] == []


def test_a_broken_statement_carries_the_sqlstate(engine: Engine) -> None:
    refusal = engine.refusal('mutation { result: queryRaw(query: "SELECT * FROM nowhere", parameters: "[]") }')
    assert refusal["error_code"] == "P2010"
    assert refusal["meta"]["code"] == "42P01"
    assert "nowhere" in refusal["meta"]["message"]
