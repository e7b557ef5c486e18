"""Finds the models that can handle a request, and their cost. Pure: plain values in, plain values out."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from tollgate.services.requests import estimate, paid_tools
from tollgate.services.requests.longest_answer import LongestAnswer, longest_answer
from tollgate.services.requests.routes import Api

# These estimate too many tokens rather than too few. An image has the size to which providers scale it down.
BYTES_A_TOKEN = 3
TOKENS_AN_IMAGE = 1600
NANO = Decimal("1e-9")
# Fields of OpenAI's older API and of embeddings. A list in them is read piece by piece.
_PIECES = ("prompt", "input")
_IMAGES = ("image", "image_url", "input_image")
_SKIPPED = {"data", "url"}


@dataclass(frozen=True)
class Candidate:
    """A model that can be chosen; prices are USD per token. `tool_prices` are nano-dollars for one use of a tool that
    its provider runs."""

    name: str
    input: Decimal
    output: Decimal
    context: int | None
    max_output: int | None
    tools: bool
    vision: bool
    tool_prices: paid_tools.Prices = field(default_factory=dict)


@dataclass(frozen=True)
class Choice:
    """One `cheapest` name of config/gateway.yaml."""

    models: tuple[Candidate, ...]
    max_cost: Decimal | None


@dataclass(frozen=True)
class Needs:
    """The needs of a request. `prompt` is all tokens that the model reads, `context` those that it reads at once.
    `body` is the request, for the tools in it."""

    prompt: int
    context: int
    answer: LongestAnswer
    tools: bool
    vision: bool
    body: Mapping[str, Any] = field(repr=False)


def read(stated: Mapping[str, Any]) -> dict[str, Choice]:
    """The table that tollgate/render/litellm.py writes, for replicas and in the catalogue of gateway processes."""
    return {
        name: Choice(
            tuple(_candidate(model) for model in choice["models"]),
            None if choice["max_cost"] is None else Decimal(choice["max_cost"]),
        )
        for name, choice in stated.items()
    }


def _candidate(stated: Mapping[str, Any]) -> Candidate:
    prices = {kind: Decimal(stated[kind]) for kind in ("input", "output")}
    return Candidate(**{**stated, **prices, "tool_prices": paid_tools.nano_each(stated["tool_prices"])})


def needs(body: Mapping[str, Any], api: Api | None) -> Needs:
    """The needs of a checked request body in Anthropic's or OpenAI's form. None: see `longest_answer`."""
    pieces = [body.get(name) for name in _PIECES]
    lists = [piece for piece in pieces if isinstance(piece, list)]
    parts = [
        *(body.get(name) for name in estimate.COUNTED),
        *(piece for piece in pieces if not isinstance(piece, list)),
    ]
    images = documents = 0
    for block in _blocks(parts):
        kind = block.get("type")
        if kind in _IMAGES:
            images += 1
        elif kind == "base64" and not estimate.is_image(block):
            documents += estimate.encoded_tokens(block)
    context = _tokens(_without_images(parts)) + images * TOKENS_AN_IMAGE + documents
    return Needs(
        # Never less than the limits reserve for the prompt.
        prompt=max(context + _tokens(lists), estimate.tokens_of_any(body)),
        context=context,
        answer=longest_answer(body, api),
        tools=bool(body.get("tools") or body.get("functions")),
        vision=images > 0,
        body=body,
    )


def unable(model: Candidate, wanted: Needs) -> str:
    """Why a model cannot handle the request; "" if it can."""
    if wanted.tools and not model.tools:
        return "cannot call tools"
    if wanted.vision and not model.vision:
        return "cannot see images"
    if model.context is not None and wanted.context > model.context:
        return f"has a context of {model.context} tokens"
    return ""


def cost(model: Candidate, wanted: Needs) -> Decimal:
    """The maximum cost in USD: the prompt, the longest answers that the request allows, and all uses of its tools."""
    tools = paid_tools.most(wanted.body, model.tool_prices) * NANO
    return model.input * wanted.prompt + model.output * wanted.answer.together(model.max_output) + tools


def cheapest(models: Sequence[Candidate], wanted: Needs) -> list[tuple[Decimal, Candidate]]:
    """The models that can handle the request, with their costs, cheapest first; equal costs in the given order."""
    able = [(cost(model, wanted), place, model) for place, model in enumerate(models) if not unable(model, wanted)]
    return [(price, model) for price, _, model in sorted(able, key=lambda entry: entry[:2])]


def _tokens(parts: object) -> int:
    text = json.dumps(parts, ensure_ascii=False, default=str).encode(errors="surrogatepass")
    return -(-len(text) // BYTES_A_TOKEN)


def _blocks(value: object) -> Iterator[Mapping[str, Any]]:
    """All objects in `value`. It reads each value once, however deep the values are nested."""
    waiting = [value]
    while waiting:
        outer = waiting.pop()
        if isinstance(outer, dict):
            yield outer
            waiting += outer.values()
        elif isinstance(outer, list):
            waiting += outer


def _without_images(value: object) -> object:
    """The value without the data and URLs of images, because they are not text."""
    if isinstance(value, dict):
        image = value.get("type") in (*_IMAGES, "base64", "url")
        return {
            key: None if image and key in _SKIPPED | {"image_url"} else _without_images(inner)
            for key, inner in value.items()
        }
    if isinstance(value, list):
        return [_without_images(inner) for inner in value]
    return value
