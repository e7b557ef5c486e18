"""From a Document to a typed model: pydantic decides, this module says it in a person's words with file and line."""

from __future__ import annotations

import difflib
import types
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from tollgate.config.secret import Secret
from tollgate.config.source import Document, Loc, kind
from tollgate.errors import InputError, Problem


class Input(BaseModel):
    """Base of everything a person writes: no unknown keys, no guessing of types, nothing changed after loading.

    A key starting with `x-` is the writer's own (a place for anchors) and is ignored.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, arbitrary_types_allowed=True)

    @model_validator(mode="before")
    @classmethod
    def _ignore_own_keys(cls, data: Any) -> Any:
        if isinstance(data, dict):
            return {key: value for key, value in data.items() if not str(key).startswith("x-")}
        return data


@dataclass(frozen=True)
class Hint:
    """Put on a type (`Annotated[int, Hint("...")]`): what to write instead of a wrong value."""

    text: str


MOST = 200  # problems told of one file: nobody mends more at once

Model = TypeVar("Model", bound=Input)


def validate(model: type[Model], document: Document) -> Model:
    """Build `model` from `document`; InputError with one Problem for each thing wrong."""
    made, problems = validate_partly(model, document)
    if made is None or problems:
        raise InputError(problems)
    return made


def validate_partly(model: type[Model], document: Document) -> tuple[Model | None, list[Problem]]:
    """One Problem for each thing wrong, and the model without those things, so that the rest can be judged too.

    None where it cannot be without them. A list with one wrong item is left out as a whole: the others keep no place.
    """
    try:
        return model.model_validate(document.data), []
    except ValidationError as error:
        # pydantic calls a list too short when its items are wrong; those have their own problems.
        details = [
            found for found in error.errors(include_url=False) if found["type"] != "too_short" or not found["input"]
        ][:MOST]
    data = document.data
    for detail in details:
        data = _without(data, _place(detail["loc"], document))
    problems = [_problem(detail, model, document) for detail in details]
    try:
        return model.model_validate(data), problems
    except ValidationError:  # what is missing cannot be left out; told in `problems` already
        return None, problems


def _without(data: dict[str, Any], loc: Loc) -> dict[str, Any]:
    """A copy of `data` that lacks what stands at `loc`, or the list it stands in."""
    if not loc or loc[0] not in data:
        return data
    name, rest = str(loc[0]), loc[1:]
    inner = data[name]
    if isinstance(inner, dict) and rest:
        return {**data, name: _without(inner, rest)}
    return {key: value for key, value in data.items() if key != name}


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A hint naming the closest of `known`, or all of them where none is close and they are few."""
    names = sorted(known)
    close = difflib.get_close_matches(word, names, n=1, cutoff=0.6)
    if close:
        return f"did you mean {close[0]}?"
    return f"one of: {', '.join(names)}" if 0 < len(names) <= 30 else ""


def _problem(detail: ErrorDetails, model: type[BaseModel], document: Document) -> Problem:
    loc = _place(detail["loc"], document)
    code, context, found = detail["type"], detail.get("ctx", {}), detail.get("input")
    if code == "missing":
        return document.problem(loc, "required key is missing", _description(model, loc))
    if code == "extra_forbidden":
        known = _field_names(_owner(model, loc[:-1]))
        return document.problem(loc, "unknown key", did_you_mean(str(loc[-1]), known))
    if code == "value_error":
        message, _, hint = str(context["error"]).partition("\n")
        return document.problem(loc, message, hint)
    expected = _EXPECTED.get(code, detail["msg"])
    shown = "***" if _is_secret(model, loc) else _show(found)
    bounds = {name: f"{value:.12g}" if isinstance(value, float) else value for name, value in context.items()}
    message = f"expected {expected.format(**bounds)}, found {shown}"
    hint = _description(model, loc)
    if code == "string_pattern_mismatch" and hint:
        return document.problem(loc, f"expected {hint}, found {shown}")
    if code == "literal_error" and isinstance(found, str):
        words = [word.strip(" '") for word in str(context["expected"]).replace(" or ", ",").split(",")]
        closest = did_you_mean(found, words)
        hint = closest if closest.startswith("did") else hint
    return document.problem(loc, message, hint)


_EXPECTED = {
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "string_type": "text",
    "list_type": "a list",
    "tuple_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
    "greater_than": "more than {gt}",
    "greater_than_equal": "at least {ge}",
    "less_than": "less than {lt}",
    "less_than_equal": "at most {le}",
    "too_short": "at least {min_length} entry",
    "string_too_short": "at least {min_length} character",
    "string_too_long": "at most {max_length} characters",
    "string_pattern_mismatch": "text that matches {pattern}",
    "literal_error": "{expected}",
    "none_required": "nothing",
}


def _place(loc: tuple[int | str, ...], document: Document) -> Loc:
    """Drop what pydantic adds to a place (union tags, `[key]`): only steps that lead somewhere in the document stay."""
    place: Loc = ()
    value: Any = document.data
    for index, part in enumerate(loc):
        inside_list = isinstance(value, list) and isinstance(part, int) and part < len(value)
        if inside_list or (isinstance(value, dict) and part in value):
            value = value[part]
        elif index < len(loc) - 1 or part == "[key]" or not isinstance(value, dict):
            continue
        place = (*place, part)
    return place


def _show(value: object) -> str:
    if isinstance(value, str):
        return ascii(value if len(value) <= 60 else value[:57] + "...")
    if isinstance(value, (bool, int, float)):
        return str(value).lower() if isinstance(value, bool) else f"{value:.12g}"[:40]
    return kind(value) if value else "none"


def _owner(annotation: Any, loc: Loc) -> type[BaseModel] | None:
    """The model class that stands at `loc` below `annotation`."""
    for candidate in _alternatives(annotation):
        if isinstance(candidate, type) and issubclass(candidate, BaseModel):
            if not loc:
                return candidate
            field = candidate.model_fields.get(str(loc[0])) or _by_alias(candidate, str(loc[0]))
            return _owner(field.annotation, loc[1:]) if field is not None else None
        arguments = get_args(candidate)
        if loc and arguments and get_origin(candidate) in (dict, list, tuple):
            return _owner(arguments[1] if get_origin(candidate) is dict else arguments[0], loc[1:])
    return None


def _alternatives(annotation: Any) -> list[Any]:
    if get_origin(annotation) is Annotated:
        return _alternatives(get_args(annotation)[0])
    if get_origin(annotation) in (Union, types.UnionType):
        return [found for argument in get_args(annotation) for found in _alternatives(argument)]
    return [annotation]


def _by_alias(model: type[BaseModel], name: str) -> Any:
    return next((field for field in model.model_fields.values() if field.alias == name), None)


def _field(model: type[BaseModel], loc: Loc) -> Any:
    owner = _owner(model, loc[:-1]) if loc else None
    if owner is None or not isinstance(loc[-1], str):
        return None
    return owner.model_fields.get(loc[-1]) or _by_alias(owner, loc[-1])


def _field_names(model: type[BaseModel] | None) -> list[str]:
    return [] if model is None else [field.alias or name for name, field in model.model_fields.items()]


def _description(model: type[BaseModel], loc: Loc) -> str:
    """The hint for a wrong value: a Hint on the field or its type, else what the field is described as."""
    field = _field(model, loc)
    if field is None:
        return ""
    inner = [*field.metadata, *(meta for argument in get_args(field.annotation) for meta in get_args(argument)[1:])]
    hint = next((meta.text for meta in inner if isinstance(meta, Hint)), "")
    said = next((meta.description for meta in inner if isinstance(meta, FieldInfo) and meta.description), "")
    return hint or str(field.description or said or "")


def _is_secret(model: type[BaseModel], loc: Loc) -> bool:
    field = _field(model, loc)
    return field is not None and Secret in _alternatives(field.annotation)
