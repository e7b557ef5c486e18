"""From a Document to a typed model. pydantic checks; this module reports in plain words, with file and line."""

from __future__ import annotations

import difflib
import types
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from tollgate.config.secret import Secret
from tollgate.config.yaml.document import Document, Loc, kind
from tollgate.errors import InputError, Mistake, Problem


class Input(BaseModel):
    """Base of everything a person writes: no unknown keys, no guessing of types, nothing changed after loading.

    A key that starts with `x-` is ignored; the writer can use it, for example for anchors.
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


MOST = 200  # problems reported for one file

Model = TypeVar("Model", bound=Input)
HintOf = Callable[[str], str]


def validate(model: type[Model], document: Document, hint_of: HintOf | None = None) -> Model:
    """Build `model` from `document`; InputError with one Problem for each thing wrong.

    `hint_of` may have a better hint for the name of an unknown key.
    """
    built, problems = validate_partly(model, document, hint_of)
    if built is None or problems:
        raise InputError(problems)
    return built


def validate_partly(
    model: type[Model], document: Document, hint_of: HintOf | None = None
) -> tuple[Model | None, list[Problem]]:
    """One Problem for each mistake, and the model without those values, so that the rest can be checked too.

    None if the model needs them. A list with one wrong item is left out whole, because the other items would move.
    """
    try:
        return model.model_validate(document.data), []
    except ValidationError as error:
        # pydantic calls a list too short if its items are wrong. The items have their own problems.
        details = [
            item for item in error.errors(include_url=False) if item["type"] != "too_short" or not item["input"]
        ][:MOST]
    data = document.data
    for detail in details:
        data = _without(data, _place(detail["loc"], document))
    problems = [_problem(detail, model, document, hint_of) for detail in details]
    try:
        return model.model_validate(data), problems
    except ValidationError:  # a required value is missing; `problems` has it already
        return None, problems


def _without(data: dict[str, Any], loc: Loc) -> dict[str, Any]:
    """A copy of `data` without `loc`, or without the list that contains it."""
    if not loc or loc[0] not in data:
        return data
    name, rest = str(loc[0]), loc[1:]
    inner = data[name]
    if isinstance(inner, dict) and rest:
        return {**data, name: _without(inner, rest)}
    return {key: value for key, value in data.items() if key != name}


def closest(word: str, known: Iterable[str]) -> str:
    """The one of `known` that was probably meant; empty where none is close."""
    return next(iter(difflib.get_close_matches(word, sorted(known), n=1, cutoff=0.6)), "")


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A hint with the closest of `known`. If none is close and they are few, it names all."""
    names = sorted(known)
    if meant := closest(word, names):
        return f"did you mean {meant}?"
    return f"one of: {', '.join(names)}" if 0 < len(names) <= 60 else ""


def _problem(detail: ErrorDetails, model: type[BaseModel], document: Document, hint_of: HintOf | None) -> Problem:
    loc = _place(detail["loc"], document)
    code, context, written = detail["type"], detail.get("ctx", {}), detail.get("input")
    if code == "missing":
        return document.problem(loc, "required key is missing", _description(model, loc))
    if code == "extra_forbidden":
        known = _field_names(_owner(model, loc[:-1]))
        name = str(loc[-1])
        return document.problem(loc, "unknown key", (hint_of and hint_of(name)) or did_you_mean(name, known))
    if code == "value_error":
        error = context["error"]
        return document.problem(loc, str(error), error.hint if isinstance(error, Mistake) else "")
    expected = _EXPECTED.get(code, detail["msg"])
    shown = "***" if _is_secret(model, loc) else _show(written)
    bounds = {name: f"{value:.12g}" if isinstance(value, float) else value for name, value in context.items()}
    message = f"expected {expected.format(**bounds)}, found {shown}"
    hint = _description(model, loc)
    if code == "string_pattern_mismatch" and hint:
        return document.problem(loc, f"expected {hint}, found {shown}")
    if code == "literal_error" and isinstance(written, str):
        words = [word.strip(" '") for word in str(context["expected"]).replace(" or ", ",").split(",")]
        hint = did_you_mean(written, words) if closest(written, words) else hint
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
    """Remove what pydantic adds to a place (union tags, `[key]`): only steps that exist in the document stay."""
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
    """The model class at `loc` below `annotation`."""
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
        return [alternative for argument in get_args(annotation) for alternative in _alternatives(argument)]
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
    """The hint for a wrong value: a Hint on the field or its type, otherwise the field's description."""
    field = _field(model, loc)
    if field is None:
        return ""
    inner = [*field.metadata, *(meta for argument in get_args(field.annotation) for meta in get_args(argument)[1:])]
    hint = next((meta.text for meta in inner if isinstance(meta, Hint)), "")
    described = next((meta.description for meta in inner if isinstance(meta, FieldInfo) and meta.description), "")
    return hint or str(field.description or described or "")


def _is_secret(model: type[BaseModel], loc: Loc) -> bool:
    field = _field(model, loc)
    return field is not None and Secret in _alternatives(field.annotation)
