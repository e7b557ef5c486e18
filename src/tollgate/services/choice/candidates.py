"""Finds the models that can handle a request, and their cost. Pure: plain values in, plain values out."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

# These estimate too many tokens rather than too few. An image has the size to which providers scale it down.
BYTES_A_TOKEN = 3
TOKENS_AN_IMAGE = 1600
# Tokens of an answer if the request sets no maximum.
USUAL_ANSWER = 4096
_IMAGES = ("image", "image_url", "input_image")
_SKIPPED = {"data", "url"}


@dataclass(frozen=True)
class Candidate:
    """A model that can be chosen; prices are USD per token."""

    name: str
    input: Decimal
    output: Decimal
    context: int | None
    max_output: int | None
    tools: bool
    vision: bool


@dataclass(frozen=True)
class Choice:
    """One `cheapest` name of config/gateway.yaml."""

    models: tuple[Candidate, ...]
    max_cost: Decimal | None


@dataclass(frozen=True)
class Needs:
    """The needs of a request. `prompt` and `answer` are tokens; `answer` is None if the request sets no maximum."""

    prompt: int
    answer: int | None
    tools: bool
    vision: bool


def read(stated: Mapping[str, Any]) -> dict[str, Choice]:
    """The table that tollgate/render/litellm.py writes, for replicas and in the catalogue of gateway processes."""
    return {
        name: Choice(
            tuple(
                Candidate(**{**model, "input": Decimal(model["input"]), "output": Decimal(model["output"])})
                for model in choice["models"]
            ),
            None if choice["max_cost"] is None else Decimal(choice["max_cost"]),
        )
        for name, choice in stated.items()
    }


def needs(body: Mapping[str, Any]) -> Needs:
    """The needs of a request body in Anthropic's or OpenAI's form."""
    asked = body.get("max_tokens") or body.get("max_completion_tokens")
    parts = [body.get(name) for name in ("system", "messages", "tools", "functions", "response_format")]
    blocks = list(_blocks(parts))
    images = sum(1 for block in blocks if block.get("type") in _IMAGES)
    text = len(json.dumps(_without_images(parts), ensure_ascii=False, default=str).encode(errors="surrogatepass"))
    return Needs(
        prompt=-(-text // BYTES_A_TOKEN) + images * TOKENS_AN_IMAGE,
        answer=asked if isinstance(asked, int) else None,
        tools=bool(body.get("tools") or body.get("functions")),
        vision=images > 0,
    )


def unable(model: Candidate, wanted: Needs) -> str:
    """Why a model cannot handle the request; "" if it can."""
    if wanted.tools and not model.tools:
        return "cannot call tools"
    if wanted.vision and not model.vision:
        return "cannot see images"
    if model.context is not None and wanted.prompt > model.context:
        return f"has a context of {model.context} tokens"
    return ""


def cost(model: Candidate, wanted: Needs) -> Decimal:
    """The maximum cost in USD: the prompt and the longest answer that the request allows."""
    answer = USUAL_ANSWER if wanted.answer is None else wanted.answer
    if model.max_output is not None:
        answer = min(answer, model.max_output)
    return model.input * wanted.prompt + model.output * answer


def cheapest(models: Sequence[Candidate], wanted: Needs) -> list[tuple[Decimal, Candidate]]:
    """The models that can handle the request, with their costs, cheapest first; equal costs in the given order."""
    able = [(cost(model, wanted), place, model) for place, model in enumerate(models) if not unable(model, wanted)]
    return [(price, model) for price, _, model in sorted(able, key=lambda entry: entry[:2])]


def _blocks(value: object) -> Iterator[Mapping[str, Any]]:
    if isinstance(value, Mapping):
        yield value
        for inner in value.values():
            yield from _blocks(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _blocks(inner)


def _without_images(value: object) -> object:
    """The value without the data and URLs of images, because they are not text."""
    if isinstance(value, Mapping):
        image = value.get("type") in (*_IMAGES, "base64", "url")
        return {
            key: None if image and key in _SKIPPED | {"image_url"} else _without_images(inner)
            for key, inner in value.items()
        }
    if isinstance(value, list):
        return [_without_images(inner) for inner in value]
    return value
