"""The model that `cheapest` chooses: the needs of a request, the models that can handle it, and their maximum cost."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path

import pytest

from tollgate.config.env import settings as env
from tollgate.config.gateway import load as gateway
from tollgate.render.litellm import render_litellm
from tollgate.services.choice.candidates import Candidate, cheapest, cost, needs, read, unable

ROOT = Path(__file__).parents[4]


def _model(name: str, price: str = "0.000001", **more: object) -> Candidate:
    base = {"context": None, "max_output": None, "tools": True, "vision": True}
    return Candidate(name, Decimal(price), Decimal(price), **{**base, **more})  # type: ignore[arg-type]


PLAIN = {"messages": [{"role": "user", "content": "hello"}], "max_tokens": 100}
TOOLS = {**PLAIN, "tools": [{"name": "ls", "input_schema": {}}]}
ANTHROPIC_IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "A" * 90_000}}
OPENAI_IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 90_000}}


def test_a_plain_request_needs_only_context() -> None:
    wanted = needs(PLAIN)
    assert (wanted.tools, wanted.vision, wanted.answer) == (False, False, 100)
    assert 5 < wanted.prompt < 100


@pytest.mark.parametrize("image", [ANTHROPIC_IMAGE, OPENAI_IMAGE], ids=["anthropic", "openai"])
def test_an_image_counts_as_an_image_and_not_as_text(image: dict[str, object]) -> None:
    wanted = needs({"messages": [{"role": "user", "content": [image]}]})
    assert wanted.vision
    assert 1600 < wanted.prompt < 2000


def test_an_image_inside_a_tool_result_counts() -> None:
    result = {"type": "tool_result", "tool_use_id": "x", "content": [ANTHROPIC_IMAGE]}
    assert needs({"messages": [{"role": "user", "content": [result]}]}).vision


def test_system_prompt_and_tools_count_as_prompt() -> None:
    assert needs({**PLAIN, "system": "x" * 3000}).prompt > needs(PLAIN).prompt + 900
    assert needs(TOOLS).prompt > needs(PLAIN).prompt


def test_suitable_models_come_by_price_and_unsuitable_ones_are_left_out() -> None:
    models = [
        _model("dear", "0.01"),
        _model("blind", "0.001", vision=False),
        _model("handless", "0.0001", tools=False),
        _model("small", "0.00001", context=3),
    ]
    assert [model.name for _, model in cheapest(models, needs(PLAIN))] == ["handless", "blind", "dear"]
    assert [model.name for _, model in cheapest(models, needs(TOOLS))] == ["blind", "dear"]
    assert unable(models[3], needs(PLAIN)) == "has a context of 3 tokens"


def test_of_two_models_at_the_same_price_the_first_wins() -> None:
    assert [model.name for _, model in cheapest([_model("b"), _model("a")], needs(PLAIN))] == ["b", "a"]


def test_the_cost_is_that_of_the_longest_answer() -> None:
    wanted = needs({**PLAIN, "max_tokens": 1000})
    assert cost(_model("m", "0.5"), wanted) == Decimal("0.5") * (wanted.prompt + 1000)
    assert cost(_model("m", "0.5", max_output=10), wanted) == Decimal("0.5") * (wanted.prompt + 10)


def test_the_hook_reads_the_rendered_file() -> None:
    text = (
        "models:\n"
        "  a: {targets: [{model: embedded/a}], price: {input_per_million: 0.1, output_per_million: 2}}\n"
        "  b:\n"
        "    targets:\n"
        "      - {model: embedded/b}\n"
        "      - {model: embedded/c, price: {input_per_million: 9, output_per_million: 9}}\n"
        "    price: free\n"
        "    vision: false\n"
        "    context_tokens: 1000\n"
        "chains: {both: [b, a]}\n"
        "cheapest: {auto: {models: both, max_cost: 0.5}}\n"
    )
    _, choices, _ = render_litellm(ROOT, gateway.parse(text, Path("gateway.yaml")), env.parse("", Path(".env")))
    auto = read(json.loads(choices.text))["auto"]
    assert auto.max_cost == Decimal("0.5")
    b, a = auto.models
    assert (a.name, a.input, a.output, a.tools) == ("a", Decimal("0.0000001"), Decimal("0.000002"), True)
    # The price is that of the most expensive target, because any target can answer.
    assert (b.name, b.input, b.vision, b.context) == ("b", Decimal("0.000009"), False, 1000)
