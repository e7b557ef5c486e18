"""Whether an answer passes, by rules that anybody can check. Pure."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import from_json

from tollgate_client.errors import ConfigurationError
from tollgate_client.models import ChatCompletion

# Gets the answer; True or an empty text passes. False, None or a text that says why does not.
Accept = Callable[[ChatCompletion], bool | str]


def problem(
    answer: ChatCompletion,
    response_format: Any = None,
    schema: type[BaseModel] | None = None,
    accept: Accept | None = None,
) -> str:
    """The first rule that `answer` breaks; empty if it passes."""
    if not answer.choices:
        return "it is empty"
    choice = answer.choices[0]
    message = choice.message
    if message.refusal or choice.finish_reason in ("content_filter", "refusal"):
        return "the model refused"
    if choice.finish_reason == "length":
        return "it was cut by its length"
    if not message.text.strip() and not message.tool_calls:
        return "it is empty"
    if not message.tool_calls and (why := _not_in_form(message.text, response_format, schema)):
        return why
    if accept is not None:
        verdict = accept(answer)
        if isinstance(verdict, str):
            return verdict
        return "" if verdict else "your check refused it"
    return ""


def check(schema: Any, accept: Any) -> None:
    """Before anything is paid: ConfigurationError for checks that cannot be used."""
    if schema is not None and not (isinstance(schema, type) and issubclass(schema, BaseModel)):
        raise ConfigurationError(f"expected schema as a pydantic model, found {schema!r:.80}")
    if accept is not None and (not callable(accept) or inspect.iscoroutinefunction(accept)):
        raise ConfigurationError(f"expected accept as a function that is not async, found {accept!r:.80}")


def form_of(schema: type[BaseModel]) -> dict[str, Any]:
    """The response_format that asks for `schema`."""
    stated = {"name": schema.__name__, "schema": schema.model_json_schema()}
    return {"type": "json_schema", "json_schema": stated}


def _not_in_form(text: str, response_format: Any, schema: type[BaseModel] | None) -> str:
    if schema is not None:
        try:
            schema.model_validate_json(text)
        except ValidationError as error:
            return f"it does not meet {schema.__name__} ({error.error_count()} problems)"
        return ""
    kind = response_format.get("type") if isinstance(response_format, Mapping) else None
    if kind not in ("json_object", "json_schema"):
        return ""
    try:
        content = from_json(text)
    except ValueError:
        return "it is not JSON"
    if kind == "json_object":
        return "" if isinstance(content, dict) else "it is not a JSON object"
    return _against(content, response_format.get("json_schema"))


def _against(content: Any, stated: Any) -> str:
    """The top level of a JSON Schema: its type and its required names. For all of a schema, give `schema=`."""
    schema = stated.get("schema") if isinstance(stated, Mapping) else None
    if not isinstance(schema, Mapping) or schema.get("type") != "object":
        return ""
    if not isinstance(content, dict):
        return "it is not a JSON object"
    missing = [name for name in schema.get("required") or () if name not in content]
    return f"it has no {', '.join(map(str, missing))}" if missing else ""
