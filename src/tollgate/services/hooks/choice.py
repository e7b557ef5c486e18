"""Which of several models can do a request, and for how much: plain values in, plain values out."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

# Rather too many tokens than too few: three bytes each, and an image as large as providers scale one down to.
BYTES_A_TOKEN = 3
TOKENS_AN_IMAGE = 1600
# What an answer is taken to need where the request does not say.
USUAL_ANSWER = 4096
_IMAGES = ("image", "image_url", "input_image")
_SKIPPED = {"data", "url"}


@dataclass(frozen=True)
class Candidate:
    """A model that might be chosen; prices are USD a token."""

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
    """What a request asks of a model."""

    prompt: int
    answer: int | None
    tools: bool
    vision: bool


def read(text: str) -> dict[str, Choice]:
    """The file that tollgate/render/litellm.py writes."""
    return {
        name: Choice(
            tuple(
                Candidate(**{**model, "input": Decimal(model["input"]), "output": Decimal(model["output"])})
                for model in one["models"]
            ),
            None if one["max_cost"] is None else Decimal(one["max_cost"]),
        )
        for name, one in json.loads(text).items()
    }


def needs(body: Mapping[str, Any]) -> Needs:
    """Of a body in Anthropic's or OpenAI's form."""
    asked = body.get("max_tokens") or body.get("max_completion_tokens")
    parts = [body.get(name) for name in ("system", "messages", "tools", "functions", "response_format")]
    blocks = list(_blocks(parts))
    images = sum(1 for block in blocks if block.get("type") in _IMAGES)
    text = len(json.dumps(_without_images(parts), ensure_ascii=False, default=str).encode())
    return Needs(
        prompt=-(-text // BYTES_A_TOKEN) + images * TOKENS_AN_IMAGE,
        answer=asked if isinstance(asked, int) else None,
        tools=bool(body.get("tools") or body.get("functions")),
        vision=images > 0,
    )


def unable(model: Candidate, wanted: Needs) -> str:
    """Why a model cannot do it; "" where it can."""
    if wanted.tools and not model.tools:
        return "cannot call tools"
    if wanted.vision and not model.vision:
        return "cannot see images"
    if model.context is not None and wanted.prompt > model.context:
        return f"holds {model.context} tokens"
    return ""


def cost(model: Candidate, wanted: Needs) -> Decimal:
    """What the request costs at most: the prompt, and the longest answer it allows."""
    answer = USUAL_ANSWER if wanted.answer is None else wanted.answer
    if model.max_output is not None:
        answer = min(answer, model.max_output)
    return model.input * wanted.prompt + model.output * answer


def cheapest(models: Sequence[Candidate], wanted: Needs) -> list[tuple[Decimal, Candidate]]:
    """Those that can do it, the cheapest first; of two that cost the same, the one that is named first."""
    able = [(cost(model, wanted), place, model) for place, model in enumerate(models) if not unable(model, wanted)]
    return [(price, model) for price, _, model in sorted(able, key=lambda one: one[:2])]


def _blocks(value: object) -> Iterator[Mapping[str, Any]]:
    if isinstance(value, Mapping):
        yield value
        for inner in value.values():
            yield from _blocks(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _blocks(inner)


def _without_images(value: object) -> object:
    """Everything but what images are made of, which is no text."""
    if isinstance(value, Mapping):
        image = value.get("type") in (*_IMAGES, "base64", "url")
        return {
            key: None if image and key in _SKIPPED | {"image_url"} else _without_images(inner)
            for key, inner in value.items()
        }
    if isinstance(value, list):
        return [_without_images(inner) for inner in value]
    return value
