"""Generated tool inputs satisfy their schema, according to a small validator of our own."""

from __future__ import annotations

import contextlib
import json
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tollgate.services.provider import schema_values
from tollgate.services.provider.schema_values import FORMATS, MAX_SIZE, SchemaError, value_for

CHECKS: dict[str, Any] = {
    "const": lambda value, limit: value == limit,
    "enum": lambda value, limit: value in limit,
    "minimum": lambda value, limit: value >= limit,
    "maximum": lambda value, limit: value <= limit,
    "exclusiveMinimum": lambda value, limit: value > limit,
    "exclusiveMaximum": lambda value, limit: value < limit,
    "multipleOf": lambda value, limit: abs(value / limit - round(value / limit)) < 1e-9,
    "minLength": lambda value, limit: len(value) >= limit,
    "maxLength": lambda value, limit: len(value) <= limit,
    "pattern": lambda value, limit: re.search(limit, value) is not None,
    "minItems": lambda value, limit: len(value) >= limit,
    "uniqueItems": lambda value, limit: not limit or len({json.dumps(item) for item in value}) == len(value),
    "minProperties": lambda value, limit: len(value) >= limit,
    "required": lambda value, limit: set(limit) <= set(value),
}
TYPES: dict[str, Any] = {
    "object": dict,
    "array": list,
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
    "null": type(None),
}


def wrong(value: Any, schema: dict[str, Any], where: str = "$") -> list[str]:
    """The places where `value` breaks `schema`, for the keywords in CHECKS, properties, items and anyOf."""
    kind = schema.get("type")
    if isinstance(kind, str) and not isinstance(value, TYPES[kind]):
        return [f"{where}: {value!r} is no {kind}"]
    problems = [f"{where}: {key}" for key, limit in schema.items() if key in CHECKS and not CHECKS[key](value, limit)]
    if isinstance(value, dict):
        for name, item in value.items():
            problems += wrong(item, schema.get("properties", {}).get(name, {}), f"{where}.{name}")
    if isinstance(value, list) and "items" in schema:
        for place, item in enumerate(value):
            problems += wrong(item, schema["items"], f"{where}[{place}]")
    if "anyOf" in schema and not any(wrong(value, branch) == [] for branch in schema["anyOf"]):
        problems.append(f"{where}: no branch of anyOf")
    return problems


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "string", "pattern": "^[a-f0-9]{64}$"},
        {"type": "string", "pattern": r"^\d+$", "minLength": 3},
        {"type": "string", "pattern": "^[A-Z]{2,5}$"},
        {"type": "string", "pattern": r"^\d{4}-\d{2}-\d{2}$"},
        {"type": "string", "pattern": "^/"},
        {"type": "string", "minLength": 20, "maxLength": 30},
        {"type": "string", "maxLength": 3},
        {"type": "integer", "minimum": 5, "maximum": 9},
        {"type": "integer", "exclusiveMinimum": 0},
        {"type": "integer", "exclusiveMinimum": 1, "multipleOf": 5},
        {"type": "integer", "maximum": -4},
        {"type": "integer", "exclusiveMaximum": 1},
        {"type": "number", "exclusiveMinimum": 1, "exclusiveMaximum": 1.5},
        {"type": "number", "minimum": 0.25, "multipleOf": 0.25, "maximum": 0.75},
        {"type": "array", "items": {"type": "integer", "minimum": 2}, "minItems": 3, "uniqueItems": True},
        {"type": "array", "items": {"enum": ["a", "b", "c"]}, "minItems": 2, "uniqueItems": True},
        {"type": "object", "properties": {"a": {"type": "null"}, "b": {}}, "minProperties": 2, "required": ["b"]},
        {"anyOf": [{"type": "integer", "minimum": 7}, {"type": "null"}]},
        {"type": "string", "enum": ["only"]},
        {"const": {"deep": [1]}},
    ],
    ids=json.dumps,
)
def test_the_value_satisfies_its_schema(schema: dict[str, Any]) -> None:
    assert wrong(value_for(schema), schema) == []


def test_references_and_joined_schemas() -> None:
    schema = {
        "$defs": {"size": {"type": "integer", "minimum": 3}},
        "allOf": [
            {"properties": {"size": {"$ref": "#/$defs/size"}}, "required": ["size"]},
            {"properties": {"name": {"type": ["null", "string"]}}, "required": ["name"]},
        ],
    }
    assert value_for(schema, fill="words") == {"size": 3, "name": "words"}
    assert value_for({"default": 7, "type": "integer"}) == 7
    assert value_for({"examples": ["this"], "type": "string", "pattern": "^(this)$"}) == "this"
    assert value_for({"type": "string", "format": "uuid"}) == FORMATS["uuid"]
    assert value_for({"type": "array", "prefixItems": [{"const": 1}], "items": {"const": 2}, "minItems": 3}) == [
        1,
        2,
        2,
    ]
    assert value_for({}) == "example"
    assert value_for(True) == "example"


def test_a_schema_without_a_finite_value_ends() -> None:
    endless = {"type": "object", "properties": {"me": {"$ref": "#"}}, "required": ["me"]}
    assert "me" in value_for(endless)
    for huge in (
        {"type": "array", "minItems": 10**9},
        {"type": "array", "minItems": 5000, "items": {"type": "array", "minItems": 5000}},
        {"type": "array", "minItems": 900, "items": {"type": "string", "minLength": 900}},
    ):
        with pytest.raises(SchemaError, match=str(MAX_SIZE)):
            value_for(huge)


@pytest.mark.parametrize(
    "pattern",
    [
        "^(a+)+$",
        "^(a|a)*$",
        "^(a|aa)+$",
        "(" + "|".join("." * 20) + "){12}X",
        "(a?){30}a{30}$",
        ".*" * 30 + "X",
        "(a|a)" * 40 + "X",
        ".*a.*a.*X",
        "a{1,200}" * 4 + "X",
        "[" + "ab" * 200 + "]X",
    ],
)
def test_a_pattern_that_could_match_forever_is_not_tried(pattern: str) -> None:
    endless = "a" * 40 + "!"
    assert value_for({"type": "string", "pattern": pattern, "minLength": 3000}, fill=endless).startswith(endless)


@pytest.mark.parametrize(("pattern", "fill"), [(r"\d{200}X", "1" * 290), ("a*X", "a" * 290), ("a*a*X", "a" * 290)])
def test_long_texts_are_not_tried_against_a_pattern_with_repeats(
    monkeypatch: pytest.MonkeyPatch, pattern: str, fill: str
) -> None:
    tried: list[int] = []
    found = schema_values._matches

    def matches(pattern: str, text: str) -> bool:
        tried.append(len(text))
        return found(pattern, text)

    monkeypatch.setattr(schema_values, "_matches", matches)
    many = {f"a{number}": {"type": "string", "pattern": f"{pattern}{number}"} for number in range(33)}
    value_for({"type": "object", "properties": many, "required": [*many]}, fill=fill)
    repeats = pattern.count("*")
    assert 0 < max(tried) <= (256, 128, 32)[repeats], "twin: short ones are"
    assert len(tried) < 20_000, "of the first patterns only"


@pytest.mark.parametrize("schema", [{"type": "object", "properties": 3, "required": ["x"]}, {"anyOf": {"a": 1}}])
def test_an_invalid_schema_is_an_error(schema: Any) -> None:
    with pytest.raises(SchemaError):
        value_for(schema)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from([*CHECKS, "type", "anyOf", "allOf", "$ref", "properties", "items", "format", "default"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@settings(deadline=None)
@given(json_values)
def test_any_json_gives_a_value_or_a_schema_error(schema: Any) -> None:
    with contextlib.suppress(SchemaError):
        json.dumps(value_for(schema))


def bounded(kind: str) -> st.SearchStrategy[dict[str, Any]]:
    limits = st.tuples(st.integers(-20, 20), st.integers(0, 9))
    if kind == "string":
        return limits.map(lambda x: {"type": kind, "minLength": abs(x[0]), "maxLength": abs(x[0]) + x[1]})
    return limits.map(lambda x: {"type": kind, "minimum": x[0], "maximum": x[0] + x[1]})


schemas = st.recursive(
    st.sampled_from(["string", "integer", "number"]).flatmap(bounded) | st.just({"type": "boolean"}),
    lambda inner: (
        st.dictionaries(st.text("abc", min_size=1, max_size=2), inner, max_size=4).map(
            lambda properties: {"type": "object", "properties": properties, "required": list(properties)}
        )
        | st.tuples(inner, st.integers(0, 3)).map(lambda x: {"type": "array", "items": x[0], "minItems": x[1]})
        | inner.map(lambda schema: {"anyOf": [schema, {"type": "null"}]})
    ),
    max_leaves=8,
)


@settings(deadline=None)
@given(schemas)
def test_every_ordinary_schema_is_satisfied(schema: dict[str, Any]) -> None:
    assert wrong(value_for(schema), schema) == []


def test_twin_the_validator_finds_a_wrong_value() -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer", "minimum": 3}}, "required": ["n"]}
    assert wrong({"n": 3}, schema) == []
    assert wrong({"n": 2}, schema) == ["$.n: minimum"]
    assert wrong({}, schema) == ["$: required"]
    assert wrong([], schema)
