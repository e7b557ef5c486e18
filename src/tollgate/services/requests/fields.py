"""Checks the fields of a request's body.

Pure: the parsed body in, the first problem out. `model` must be one name. Fields that ask for output must be numbers
that a budget can reserve. LiteLLM's own options are refused by name. Ids must be short text.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from tollgate.services.requests.orders import TAKEN_OUT, is_metadata_order, is_order

Body = dict[str, Any]

MODEL_LETTERS = 100
# Claude Code's forms of a name: see `packed`.
PACKED, LARGE = "claude-router-", "[1m]"
# OpenAI's limit for the id of a user. Claude Code's metadata.user_id is JSON of about 200 letters.
ID_LETTERS = 512
USER_ID_LETTERS = 2048
METADATA_FIELDS = 64
METADATA_LETTERS = 16_384
# Fields that ask for output tokens at some upstream (llama.cpp: n_predict, Ollama: num_predict, older servers).
OUTPUT = (
    "max_tokens",
    "max_completion_tokens",
    "max_output_tokens",
    "max_new_tokens",
    "max_tokens_to_sample",
    "max_length",
    "maxOutputTokens",
    "maxTokens",
    "n_predict",
    "num_predict",
)
# The same fields inside an object.
OUTPUT_INSIDE = (
    ("thinking", "budget_tokens"),
    ("reasoning", "max_tokens"),
    ("options", "num_predict"),
    ("inferenceConfig", "maxTokens"),
    ("generationConfig", "maxOutputTokens"),
)
# Fields with the number of answers to one request.
ANSWERS = ("n", "best_of")
MOST_TOKENS = 1_000_000_000
MOST_ANSWERS = 128
IDS = ("user", "safety_identifier", "prompt_cache_key", "user_profile_id", "workspace_id", "inference_geo")
BOOLEANS = ("stream", "echo", "store", "logprobs", "parallel_tool_calls")


def problem(body: Any, *, completions: bool = False, orders: bool = False) -> str:
    """The first problem of a body, as `field: what was expected`; empty without a problem.

    An unknown model passes if its name is well-formed: see `unknown_model`. `completions` means OpenAI's older API.
    `orders` allows LiteLLM's own options, for the operator.
    """
    if not isinstance(body, dict):
        return "the body: expected a JSON object"
    return next(_problems(body, completions, orders), "")


def unknown_model(body: Body, known: Collection[str], *, claude_code: bool = False) -> str | None:
    """The model's name if this gateway does not serve it; else None.

    `claude_code` is for Anthropic's routes: Claude Code appends `[1m]` to names, and encodes names of other models.
    """
    name = str(body["model"])
    return None if name in known or (claude_code and unpacked(name) in known) else name


def packed(name: str, context_tokens: int | None) -> str:
    """The name in the form of Claude Code, which lists only names with "claude" or "anthropic" in them.

    It sends this form in requests too; `unpacked` reads it. `[1m]` tells it that the model has a million tokens.
    """
    shape = name if re.search("claude|anthropic", name, re.IGNORECASE) else PACKED + name.encode().hex()
    large = context_tokens is not None and context_tokens >= 1_000_000 and not shape.lower().endswith(LARGE)
    return shape + LARGE if large else shape


def unpacked(name: str) -> str:
    """The original of a name that Claude Code has changed to `claude-router-<name in hex>` or `<name>[1m]`."""
    if name.lower().endswith(LARGE):
        name = name[: -len(LARGE)]
    code = name.removeprefix(PACKED)
    if code == name:
        return name
    try:
        return bytes.fromhex(code).decode()
    except ValueError:
        return name


def largest_output(body: Mapping[str, Any]) -> int | None:
    """The largest number of output tokens that any field of a checked body asks for; None without such a field."""
    asked = [*(body.get(name) for name in OUTPUT), *(_inside(body, *path) for path in OUTPUT_INSIDE)]
    return max((int(tokens) for tokens in asked if _whole(tokens)), default=None)


def taken_out(body: Body) -> Body:
    """The body without the fields in TAKEN_OUT."""
    return {name: value for name, value in body.items() if name not in TAKEN_OUT} if TAKEN_OUT & body.keys() else body


def shown(name: str) -> str:
    """A client's text for use in a message: short and printable."""
    return "".join(letter for letter in name[:MODEL_LETTERS] if letter.isprintable())


def _problems(body: Body, completions: bool, orders: bool) -> Iterator[str]:
    yield from _model(body.get("model"))
    for name in body:
        if len(name) > MODEL_LETTERS or not name.isprintable():
            yield f"{shown(name)}...: expected the name of a field"
        elif is_order(name) and name not in TAKEN_OUT and not orders:
            yield f"{name}: this gateway does not accept it from a client; leave it out"
    yield from _output(body)
    for name in BOOLEANS:
        # In OpenAI's older API `logprobs` is a number.
        if body.get(name) is not None and not isinstance(body[name], bool) and not (completions and name == "logprobs"):
            yield f"{name}: expected true or false"
    for name in IDS:
        yield from _id(name, body.get(name), ID_LETTERS)
    yield from _metadata(body.get("metadata"), orders)


def _model(name: Any) -> Iterator[str]:
    if name is None:
        yield "model: expected the name of a model"
    elif not isinstance(name, str):
        yield "model: expected text, the name of one model"
    elif not name.strip() or len(name) > MODEL_LETTERS + 2 * MODEL_LETTERS * name.startswith("claude-router-"):
        yield f"model: expected the name of one model, at most {MODEL_LETTERS} letters"
    elif "," in name or not name.isprintable():
        yield "model: expected the name of exactly one model"


def _output(body: Body) -> Iterator[str]:
    for name in OUTPUT:
        yield from _number(name, body.get(name), MOST_TOKENS)
    for outer, inner in OUTPUT_INSIDE:
        yield from _number(f"{outer}.{inner}", _inside(body, outer, inner), MOST_TOKENS)
    for name in ANSWERS:
        yield from _number(name, body.get(name), MOST_ANSWERS)


def _number(name: str, value: Any, most: int) -> Iterator[str]:
    if value is not None and not (_whole(value) and value <= most):
        yield f"{name}: expected a whole number from 1 to {most}"


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _inside(body: Mapping[str, Any], outer: str, inner: str) -> Any:
    value = body.get(outer)
    return value.get(inner) if isinstance(value, Mapping) else None


def _id(name: str, value: Any, most: int) -> Iterator[str]:
    if value is None:
        return
    if not isinstance(value, str):
        yield f"{name}: expected text"
    elif len(value) > most:
        yield f"{name}: expected at most {most} letters"
    elif "\x00" in value:
        yield f"{name}: expected text without a NUL"


def _metadata(metadata: Any, orders: bool) -> Iterator[str]:
    if metadata is None:
        return
    if not isinstance(metadata, dict):
        yield "metadata: expected an object"
        return
    if len(metadata) > METADATA_FIELDS:
        yield f"metadata: expected at most {METADATA_FIELDS} fields"
    for name, value in metadata.items():
        if len(name) > MODEL_LETTERS or not name.isprintable():
            yield f"metadata.{shown(name)}...: expected the name of a field"
        elif is_metadata_order(name) and not orders:
            yield f"metadata.{name}: this gateway does not accept it from a client; leave it out"
        elif name == "user_id":
            yield from _id("metadata.user_id", value, USER_ID_LETTERS)
    yield from _letters("metadata", metadata)


def _letters(name: str, value: Any) -> Iterator[str]:
    """All texts in `value` together must be short, without NUL, because the database refuses NUL."""
    total, waiting = 0, [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, str):
            total += len(item)
            if "\x00" in item:
                yield f"{name}: expected text without a NUL"
                return
        elif isinstance(item, dict):
            waiting += [*item.keys(), *item.values()]
        elif isinstance(item, list):
            waiting += item
        else:
            total += 8
        if total > METADATA_LETTERS:
            yield f"{name}: expected at most {METADATA_LETTERS} letters"
            return
