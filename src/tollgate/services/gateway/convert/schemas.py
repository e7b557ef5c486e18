"""JSON schemas of tools and answers, changed as little as OpenAI's checks allow."""

from __future__ import annotations

from typing import Any

from tollgate.services.gateway.convert.refusal import Json, as_object, malformed

EMPTY = {"type": "object", "properties": {}}


def of_tool(schema: Any, field: str) -> Json:
    """The `parameters` of a function. OpenAI refuses an object schema without `properties`; the rest stays as it is."""
    if schema is None:
        return dict(EMPTY)
    given = as_object(schema, field)
    if given.get("type", "object") != "object":
        raise malformed(f"{field}.type", "'object'")
    properties = given.get("properties")
    if properties is not None and not isinstance(properties, dict):
        raise malformed(f"{field}.properties", "an object")
    if "type" in given and properties is not None:
        return given
    return {**given, "type": "object", "properties": properties or {}}


def is_strict(schema: Json) -> bool:
    """Whether OpenAI takes it as strict: every object is closed and requires all of its properties.

    https://platform.openai.com/docs/guides/structured-outputs, "supported schemas".
    """
    waiting: list[Any] = [schema]
    while waiting:
        value = waiting.pop()
        if isinstance(value, list):
            waiting += value
        elif isinstance(value, dict):
            properties = value.get("properties")
            if value.get("type") == "object" and not _is_closed(value, properties):
                return False
            waiting += properties.values() if isinstance(properties, dict) else ()
            waiting += (
                inner for name, inner in value.items() if name not in ("properties", "enum", "const", "default")
            )
    return True


def _is_closed(schema: Json, properties: Any) -> bool:
    required = schema.get("required")
    names = list(properties) if isinstance(properties, dict) else []
    listed = [name for name in required if isinstance(name, str)] if isinstance(required, list) else []
    return schema.get("additionalProperties") is False and set(listed) >= set(names)
