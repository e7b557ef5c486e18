"""Writes docs/tenants.md: the fields of a tenant file, from the descriptions in the code, with text around them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tollgate.config.tenant.schema import schema
from tollgate.render.tenant_words import AFTER, BEFORE

# One table each, in the order of the fields in a file.
SECTIONS = (
    ("", "The file"),
    ("tenant", "tenant"),
    ("keys[]", "keys"),
    ("budget", "budget"),
    ("budget.per_model.MODEL", "budget.per_model"),
    ("rate_limits", "rate_limits"),
)
_ORDER = ("tenant", "keys", "allowed_models", "budget", "rate_limits", "metadata", "show_keys", "suspended")
_TYPES = {
    "string": "text",
    "number": "USD",
    "integer": "whole number",
    "boolean": "true or false",
    "array": "list",
    "object": "mapping",
}


def reference() -> str:
    whole = schema()
    tables = "\n".join(part for place, title in SECTIONS for part in _section(whole, place, title))
    return f"{BEFORE}\n{tables}\n{AFTER}"


def _section(whole: Mapping[str, Any], place: str, title: str) -> Iterator[str]:
    node = _at(whole, place)
    yield f"### {title if not place else f'`{title}`'}"
    yield f"{node['description']}\n"
    yield "| field | type | | meaning | example |"
    yield "|---|---|---|---|---|"
    required = node.get("required", ())
    fields = node["properties"]
    for name in _ORDER if not place else fields:
        yield _row(name, fields[name], name in required)
    yield ""


def _at(node: Mapping[str, Any], place: str) -> Mapping[str, Any]:
    for part in place.split(".") if place else ():
        if part == "MODEL":
            node = node["additionalProperties"]
            continue
        node = node["properties"][part.removesuffix("[]")]
        node = node["items"] if part.endswith("[]") else node
    return node


def _row(name: str, field: Mapping[str, Any], required: bool) -> str:
    kinds = [field["type"]] if isinstance(field["type"], str) else [kind for kind in field["type"] if kind != "null"]
    example = " or ".join(f"`{_shown(value)}`" for value in field.get("examples", ()))
    words = (f"`{name}`", _TYPES[kinds[0]], "required" if required else "", field["description"], example)
    return "| " + " | ".join(words) + " |"


def _shown(value: Any) -> str:
    """As it would be written in YAML's flow style."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name}: {_shown(item)}" for name, item in value.items()) + "}"
    return f"[{', '.join(map(_shown, value))}]" if isinstance(value, list) else str(value)
