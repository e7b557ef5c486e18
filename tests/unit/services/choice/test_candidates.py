"""The model that `cheapest` chooses: the needs of a request, the models that can handle it, and their maximum cost."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from tollgate.config.env import settings as env
from tollgate.config.gateway import load as gateway
from tollgate.render.litellm import render_litellm
from tollgate.services.choice.candidates import Candidate, Needs, cheapest, cost, read, unable
from tollgate.services.choice.candidates import needs as needs_of
from tollgate.services.requests.longest_answer import USUAL_OUTPUT
from tollgate.services.requests.routes import Api

ROOT = Path(__file__).parents[4]


def _model(name: str, price: str = "0.000001", **more: object) -> Candidate:
    base = {"context": None, "max_output": None, "tools": True, "vision": True}
    return Candidate(name, Decimal(price), Decimal(price), **{**base, **more})  # type: ignore[arg-type]


def needs(body: dict[str, object], api: Api = Api.MESSAGES) -> Needs:
    return needs_of(body, api)


PLAIN: dict[str, object] = {"messages": [{"role": "user", "content": "hello"}], "max_tokens": 100}
TOOLS: dict[str, object] = {**PLAIN, "tools": [{"name": "ls", "input_schema": {}}]}
ANTHROPIC_IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "A" * 90_000}}
OPENAI_IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 90_000}}


def test_a_plain_request_needs_only_context() -> None:
    wanted = needs(PLAIN)
    assert (wanted.tools, wanted.vision, wanted.answer.together(None)) == (False, False, 100)
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
        "  a: {targets: [{model: embedded/a}], price: {input_per_million: 0.1, output_per_million: 2,\n"
        "    server_tools: {web_search: 0.01}}}\n"
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
    assert (a.tool_prices, b.tool_prices) == ({"web_search": 10_000_000}, {})
    # The price is that of the most expensive target, because any target can answer.
    assert (b.name, b.input, b.vision, b.context) == ("b", Decimal("0.000009"), False, 1000)


# ---- a request cannot look cheaper than it is


def price(body: dict[str, object], api: Api = Api.CHAT, **more: object) -> Decimal:
    """In tokens, because each costs a dollar."""
    return cost(_model("m", "1", **more), needs_of(body, api))


@pytest.mark.parametrize("api", [Api.CHAT, Api.MESSAGES, Api.COMPLETIONS])
def test_the_largest_field_times_all_answers_counts(api: Api) -> None:
    body = {**PLAIN, "max_tokens": 1, "max_completion_tokens": 100_000, "n": 128}
    assert price(body, api) > 12_800_000
    assert price({**PLAIN, "max_tokens": 1, "thinking": {"budget_tokens": 5000}}, api) > 5000


def test_a_field_that_the_upstream_may_ignore_makes_nothing_cheaper() -> None:
    messages = {"messages": PLAIN["messages"]}
    assert price({**messages, "n_predict": 1}) == price(messages) > USUAL_OUTPUT
    assert price({**messages, "n_predict": 1}, max_output=50_000) > 50_000
    assert price({**messages, "max_completion_tokens": 1}, Api.MESSAGES) > USUAL_OUTPUT
    assert price({**messages, "max_completion_tokens": 1}, Api.CHAT) < 100, "the twin: chat has this limit"


def test_a_pdf_counts_by_its_size_and_an_image_of_any_size_as_one() -> None:
    source = {"type": "base64", "media_type": "application/pdf", "data": "A" * 30_000_000}
    messages = [{"role": "user", "content": [{"type": "document", "source": source}]}]
    wanted = needs({"messages": messages})
    assert wanted.prompt >= wanted.context >= 1_000_000 and not wanted.vision
    assert unable(_model("m", context=200_000), wanted) == "has a context of 200000 tokens"
    assert needs({"messages": [{"role": "user", "content": [ANTHROPIC_IMAGE]}]}).prompt < 2000


def test_the_uses_of_a_tool_that_the_provider_runs_count() -> None:
    search = {"type": "web_search_20250305", "name": "web_search", "max_uses": 3}
    body = {**PLAIN, "tools": [search]}
    one, nano = _model("m", "0"), 10_000_000
    assert cost(one, needs(body)) == 0
    assert cost(_model("m", "0", tool_prices={"web_search": nano}), needs(body)) == Decimal("0.03")
    assert cost(_model("m", "0", tool_prices={"web_search": nano}), needs(TOOLS)) == 0


def test_the_texts_of_the_older_api_count_but_no_list_must_fit_at_once() -> None:
    text = "x" * 3000
    assert needs({"prompt": text}, Api.COMPLETIONS).context > 900
    wanted = needs({"prompt": [text] * 10, "max_tokens": 1}, Api.COMPLETIONS)
    assert (wanted.prompt > 9000, wanted.context < 100, wanted.answer.together(None)) == (True, True, 10)


def frames(work: Callable[[], object]) -> int:
    """How often Python entered a frame, or a generator again. A clock would measure the machine."""
    count = 0

    def note(frame: FrameType, event: str, argument: object) -> None:
        nonlocal count
        count += event == "call"

    sys.setprofile(note)
    try:
        work()
    finally:
        sys.setprofile(None)
    return count


def nested(depth: int, values: int) -> dict[str, object]:
    content: list[Any] = [{} for _ in range(values)]
    for _ in range(depth):
        content = [content]
    return {"messages": [{"role": "user", "content": content}]}


def test_each_value_is_read_once_however_deep_it_is() -> None:
    deep = nested(90, 199_000)
    assert frames(lambda: needs(deep)) < 5 * 199_000


def test_twin_a_generator_in_a_generator_reads_a_value_once_for_each_level() -> None:
    def blocks(value: object) -> Iterator[object]:
        if isinstance(value, list):
            for inner in value:
                yield from blocks(inner)
        yield value

    messages: Any = nested(90, 2000)["messages"]
    assert frames(lambda: list(blocks(messages[0]["content"]))) > 80 * 2000
