"""The JSON Schemas of a tenant file and of tenants/_defaults.yaml, for editors.

With a schema an editor completes keys, shows descriptions and marks mistakes. The schemas are made from the model, so
they always agree with it. Simple editors can read them: there are no references, each field has one type (or null), and
everything has a description.
"""

from __future__ import annotations

import json
from typing import Any

from tollgate.config.tenant.model import Defaults, Tenant

_NOTE = (
    "Generated from src/tollgate/config/tenant/model.py by `make docs`. Rules over several fields are checked later."
)
# Fields in which null would allow more. config/tenant/load.py refuses it.
_NEVER_NULL = ("allowed_models",)


def text(model: type[Defaults] = Tenant) -> str:
    return json.dumps(schema(model), indent=2, ensure_ascii=False) + "\n"


def schema(model: type[Defaults] = Tenant) -> dict[str, Any]:
    raw = model.model_json_schema()
    plain = _plain(raw, raw.get("$defs", {}))
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": model.__name__,
        "$comment": _NOTE,
        **plain,
    }


def _plain(node: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    if "$ref" in node:
        target = definitions[node["$ref"].rpartition("/")[2]]
        node = {**target, **{key: value for key, value in node.items() if key != "$ref"}}
    plain = {key: value for key, value in node.items() if key not in ("$defs", "title", "anyOf", "default")}
    if "anyOf" in node:
        (kept,) = (choice for choice in node["anyOf"] if choice != {"type": "null"})
        kept = _plain(kept, definitions)
        plain = {**kept, "type": [kept["type"], "null"], **plain}
    if node.get("default") not in (None, "", []) and not isinstance(node["default"], dict):
        plain["default"] = node["default"]
    if "items" in node:
        plain["items"] = _plain(node["items"], definitions)
    if isinstance(node.get("additionalProperties"), dict):
        plain["additionalProperties"] = _plain(node["additionalProperties"], definitions)
    if "properties" in node:
        plain["properties"] = {name: _field(name, value, definitions) for name, value in node["properties"].items()}
        plain["patternProperties"] = {"^x-": {"description": "Your own; ignored. A place for YAML anchors."}}
    return plain


def _field(name: str, node: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    field = _plain(node, definitions)
    if name in _NEVER_NULL:
        field["type"] = field["type"][0]
    return field
