"""config/gateway.schema.json for editors: rules for single values of gateway.yaml. Our code checks all other rules."""

from __future__ import annotations

import json
from typing import Any

from tollgate.config.gateway.file import Gateway


def schema() -> dict[str, Any]:
    whole = Gateway.model_json_schema()
    whole["$schema"] = "http://json-schema.org/draft-07/schema#"
    whole["title"] = "config/gateway.yaml of Tollgate"
    for node in (whole, *whole["$defs"].values()):
        if node.get("additionalProperties") is False:
            node["patternProperties"] = {"^x-": {}}  # for the writer's own use, such as anchors
    # Draft 7, which editors know, has `definitions`.
    text = json.dumps({"$schema": whole.pop("$schema"), **whole})
    draft_7: dict[str, Any] = json.loads(text.replace("#/$defs/", "#/definitions/"))
    draft_7["definitions"] = draft_7.pop("$defs")
    return draft_7


def text() -> str:
    return json.dumps(schema(), indent=1) + "\n"
