"""Generates a small value that satisfies a JSON Schema, for example as the input of a tool call.

The same schema gives the same value. It reads the keywords that tools use (draft 2020-12): type, enum, const, default,
examples, properties, required, items, prefixItems, the size and range limits, multipleOf, pattern, format, anyOf,
oneOf, allOf, $ref to $defs. Limits: for a `pattern` it only tries a list of common texts; it ignores `not`, `if` and
`contains`; no value has more than MAX_SIZE parts.
"""

from __future__ import annotations

import math
import re
from itertools import chain
from typing import Any

JsonObject = dict[str, Any]

MAX_SIZE = 10_000  # values and characters together
MAX_DEPTH = 24  # a schema that requires itself would never end
FORMATS = {
    "date": "2026-01-01",
    "time": "00:00:00Z",
    "date-time": "2026-01-01T00:00:00Z",
    "duration": "PT1S",
    "email": "someone@example.test",
    "hostname": "example.test",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "uri": "https://example.test/",
    "url": "https://example.test/",
    "uuid": "00000000-0000-4000-8000-000000000000",
}
LENGTHS = (("minLength", 0), ("maxLength", MAX_SIZE))
# A client's pattern can take for ever to match: the time grows with the number of repeats and choices in it, which is
# the power of the text's length. So a pattern with many is tried on short texts only, and a repeated group on none.
_REPEATED_GROUP = re.compile(r"\)[*+?{]")
_REPEAT_OR_CHOICE = re.compile(r"[*+?|]|\{\d*,\d*\}")
_LONGEST_PATTERN = 256
_LONGEST_TEXT = {0: 256, 1: 128, 2: 32}
# So many different ones are tried for one value.
_MOST_PATTERNS = 30
# Texts that are tried against a pattern, in this order.
SHAPES = ("example", "Example", "EXAMPLE", "a", "A", "0", "1", "/example", "./example", "a1", "A1", "#a1b2c3", "1.0.0")


class SchemaError(ValueError):
    """The schema is invalid: a keyword has a value of the wrong kind."""


def value_for(schema: object, *, fill: str = "example") -> Any:
    """A value for `schema`. Free strings contain `fill`, cut or repeated to the allowed length. Raises SchemaError."""
    root = schema if isinstance(schema, dict) else {}
    try:
        return _Filler(root, fill).value(schema, 0)
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        # Only an invalid schema causes this: every keyword is used as the specification says.
        raise SchemaError(str(error)) from error


class _Filler:
    def __init__(self, root: JsonObject, fill: str) -> None:
        self.root = root
        self.fill = fill
        self.size = 0
        # By pattern and the allowed lengths: the text that fits.
        self.fitting: dict[tuple[str, int, int], str] = {}

    def grows(self, size: int) -> None:
        """Count the value's size. Raises ValueError if it is too large: a small schema can describe a huge value."""
        self.size += size
        if self.size > MAX_SIZE:
            raise ValueError(f"a value would need more than {MAX_SIZE} parts")

    def value(self, schema: object, depth: int) -> Any:
        self.grows(1)
        if not isinstance(schema, dict) or depth > MAX_DEPTH:
            return None if depth > MAX_DEPTH else self.fill
        schema = self.resolved(schema)
        if "const" in schema:
            return schema["const"]
        if schema.get("enum"):
            return schema["enum"][0]
        if "default" in schema and schema["default"] is not None:
            return schema["default"]
        if schema.get("examples"):
            return schema["examples"][0]
        match _type_of(schema):
            case "object":
                return self.object_value(schema, depth)
            case "array":
                return self.array_value(schema, depth)
            case "string":
                return self.string_value(schema)
            case "integer" | "number" as kind:
                return number_value(schema, whole=kind == "integer")
            case "boolean":
                return True
            case "null":
                return None
        return self.fill

    def resolved(self, schema: JsonObject) -> JsonObject:
        """`schema` with references followed, allOf merged in and the first anyOf or oneOf branch taken."""
        for _ in range(MAX_DEPTH):
            branches = schema.get("anyOf") or schema.get("oneOf")
            if "$ref" in schema:
                rest = {key: value for key, value in schema.items() if key != "$ref"}
                schema = _merged(self.target(schema["$ref"]), rest)
            elif schema.get("allOf"):
                rest = {key: value for key, value in schema.items() if key != "allOf"}
                for part in schema["allOf"]:
                    rest = _merged(rest, part)
                schema = rest
            elif branches:
                rest = {key: value for key, value in schema.items() if key not in ("anyOf", "oneOf")}
                schema = _merged(rest, branches[0])
            else:
                break
        return schema

    def target(self, reference: object) -> JsonObject:
        place: Any = self.root
        for step in str(reference).removeprefix("#").strip("/").split("/"):
            if step:
                step = step.replace("~1", "/").replace("~0", "~")
                place = place.get(step) if isinstance(place, dict) else None
        return place if isinstance(place, dict) else {}

    def object_value(self, schema: JsonObject, depth: int) -> JsonObject:
        """Only the required properties, and more up to `minProperties`."""
        properties = schema.get("properties") or {}
        other = schema.get("additionalProperties", {})
        names = list(schema.get("required") or [])
        names += [name for name in properties if name not in names][
            : max(0, schema.get("minProperties", 0) - len(names))
        ]
        return {name: self.value(properties.get(name, other), depth + 1) for name in names}

    def array_value(self, schema: JsonObject, depth: int) -> list[Any]:
        least = min(int(schema.get("minItems", 0)), MAX_SIZE)
        first = [self.value(item, depth + 1) for item in schema.get("prefixItems", [])]
        items = [self.value(schema.get("items", {}), depth + 1) for _ in range(least - len(first))]
        if schema.get("uniqueItems") and len(items) > 1:
            items = _distinct(items, self.resolved(schema.get("items") or {}))
        return first + items

    def string_value(self, schema: JsonObject) -> str:
        text = self.fitting_string(schema)
        self.grows(len(text))
        return text

    def fitting_string(self, schema: JsonObject) -> str:
        least, most = (min(int(schema.get(key, size)), MAX_SIZE) for key, size in LENGTHS)
        if (shape := FORMATS.get(schema.get("format", ""))) is not None:
            return shape
        pattern = schema.get("pattern")
        if not isinstance(pattern, str):
            return _fitted(self.fill, least, most)
        asked = pattern, least, most
        if asked not in self.fitting:
            longest = _tried_up_to(pattern) if len(self.fitting) < _MOST_PATTERNS else 0
            found = self.matching(pattern, least, min(most, longest)) if longest else None
            self.fitting[asked] = _fitted(self.fill, least, most) if found is None else found
        return self.fitting[asked]

    def matching(self, pattern: str, least: int, most: int) -> str | None:
        """The first text of an allowed length that matches."""
        candidates = chain((self.fill,), SHAPES, FORMATS.values())
        lengths = chain.from_iterable(
            (text, *(_fitted(text, size, size) for size in (least, most, 2, 3, 4, 6, 8, 10, 12, 16, 32, 40, 64)))
            for text in candidates
        )
        return next((text for text in lengths if least <= len(text) <= most and _matches(pattern, text)), None)


def number_value(schema: JsonObject, *, whole: bool) -> int | float:
    """1 if it is allowed; else the smallest allowed number, or the largest if there is no minimum."""
    step: float | None = schema.get("multipleOf", 1 if whole else None)
    low: float = max(schema.get("minimum", -math.inf), schema.get("exclusiveMinimum", -math.inf))
    high: float = min(schema.get("maximum", math.inf), schema.get("exclusiveMaximum", math.inf))
    if low <= 1 <= high and 1 not in (schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum")):
        value: float = 1
        if step is None or 1 % step == 0:
            return 1
    value = low if low > -math.inf else high if high < math.inf else 0
    if step is None:
        if value == schema.get("exclusiveMinimum"):
            return (value + min(high, value + 2)) / 2
        return (max(low, value - 2) + value) / 2 if value == schema.get("exclusiveMaximum") else value
    if low > -math.inf:
        value = math.ceil(low / step) * step
        value += step if value == schema.get("exclusiveMinimum") else 0
    else:
        value = math.floor(value / step) * step
        value -= step if value == schema.get("exclusiveMaximum") else 0
    return int(value) if whole else value


def _type_of(schema: JsonObject) -> str:
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = next((name for name in kind if name != "null"), "null")
    if isinstance(kind, str):
        return kind
    if "properties" in schema or "required" in schema:
        return "object"
    return "array" if "items" in schema else "string"


def _merged(base: JsonObject, extra: object) -> JsonObject:
    """Both schemas as one. `properties` and `required` are joined; for other keywords `extra` wins."""
    if not isinstance(extra, dict):
        return base
    joined = {**base, **extra}
    for key in ("properties", "$defs"):
        if key in base and key in extra:
            joined[key] = {**base[key], **extra[key]}
    if "required" in base and "required" in extra:
        joined["required"] = list(dict.fromkeys([*base["required"], *extra["required"]]))
    return joined


def _distinct(items: list[Any], schema: JsonObject) -> list[Any]:
    if len(schema.get("enum", ())) >= len(items):
        return list(schema["enum"][: len(items)])
    if all(isinstance(item, int) for item in items):
        return [item + place for place, item in enumerate(items)]
    return [f"{item}{place}" if place else item for place, item in enumerate(items)]


def _fitted(text: str, least: int, most: int) -> str:
    repeated = text * (-(-least // len(text))) if text and len(text) < least else text
    return repeated[: max(least, len(text))][:most]


def _tried_up_to(pattern: str) -> int:
    """The length of the longest text that is tried against `pattern`; 0 if none is."""
    if len(pattern) > _LONGEST_PATTERN or _REPEATED_GROUP.search(pattern):
        return 0
    return _LONGEST_TEXT.get(len(_REPEAT_OR_CHOICE.findall(pattern)), 0)


def _matches(pattern: str, text: str) -> bool:
    try:
        return re.search(pattern, text) is not None
    except re.error:
        return True  # not a Python pattern (for example a Unicode property), so it cannot be checked
