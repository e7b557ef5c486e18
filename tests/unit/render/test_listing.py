"""The entries of `GET /v1/models` follow config/gateway.yaml."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tollgate.config.gateway import load
from tollgate.config.gateway.catalogue import resolve
from tollgate.render.listing import TOOL_UNIT, UNIT, display_name, listed

FILE = """
models:
  claude-sonnet-5-5:
    description: The everyday model
    targets: [{model: anthropic/claude-sonnet-5-5}]
    price:
      input_per_million: 2
      output_per_million: 10.5
      cache_read_per_million: 0.0000001
      server_tools: {web_search: 0.010, code_execution: 0}
    context_tokens: 1000000
    max_output_tokens: 128000
  mixed:
    display_name: Two providers
    targets:
      - {model: openai/gpt-4o-mini, price: {input_per_million: 1, output_per_million: 1}}
      - {model: openrouter/openai/gpt-4o-mini, price: {input_per_million: 2, output_per_million: 2}, order: 2}
    reasoning: true
  own:
    targets: [{model: hosted_vllm/qwen, api_base: "http://host.docker.internal:8000/v1", api_key: none}]
    price: free
    tools: false
    vision: false
  listed-elsewhere:
    targets: [{model: openai/gpt-4o}]
    price: litellm
  searching:
    targets: [{model: hosted_vllm/seeker, api_base: "http://host.docker.internal:8001/v1", api_key: none}]
    price: {input_per_million: 0, output_per_million: 0, server_tools: {web_search: 0.0000000005}}
  words:
    targets: [{model: openai/text-embedding-3-small}]
    price: {input_per_million: 0.02, output_per_million: 0}
    mode: embedding
  without-a-key:
    targets: [{model: gemini/gemini-3}]
    price: litellm
aliases: {big: claude-sonnet-5-5}
fallbacks: {mixed: [own], big: [mixed]}
context_window_fallbacks: {mixed: [claude-sonnet-5-5, own]}
content_policy_fallbacks: {own: [mixed, without-a-key]}
cheapest:
  auto: {models: [own, claude-sonnet-5-5]}
"""


@pytest.fixture
def entries(tmp_path: Path) -> dict[str, Any]:
    file = tmp_path / "gateway.yaml"
    file.write_text(FILE)
    served = resolve(load.load(file), {"ANTHROPIC_API_KEY", "OPENAI_API_KEY", "OPENROUTER_API_KEY"})
    return listed(served)


def test_models_then_aliases_then_choices_and_nothing_that_is_left_out(entries: dict[str, Any]) -> None:
    models = ["claude-sonnet-5-5", "mixed", "own", "listed-elsewhere", "searching", "words"]
    assert list(entries) == [*models, "big", "auto"]


def test_prices_are_exact_texts_and_a_kind_without_its_own_is_left_out(entries: dict[str, Any]) -> None:
    told = {name: entry["tollgate"] for name, entry in entries.items()}
    assert told["claude-sonnet-5-5"]["price"] == {
        "unit": UNIT,
        "input": "2",
        "output": "10.5",
        "cache_read": "0.0000001",
    }
    assert (told["own"]["price"], told["own"]["free"]) == ({"unit": UNIT, "input": "0", "output": "0"}, True)
    for name in ("mixed", "listed-elsewhere", "auto"):
        assert (told[name]["price"], told[name]["free"]) == (None, False), "no one price is known"
    assert told["words"]["free"] is False


def test_tools_that_the_provider_runs_have_a_price_for_one_use(entries: dict[str, Any]) -> None:
    told = {name: entry["tollgate"].get("server_tools") for name, entry in entries.items()}
    claude = {"unit": TOOL_UNIT, "price": {"web_search": "0.01", "code_execution": "0"}}
    searching = {"unit": TOOL_UNIT, "price": {"web_search": "0.0000000005"}}
    assert {name: stated for name, stated in told.items() if stated} == {
        "claude-sonnet-5-5": claude,
        "searching": searching,
        "big": claude,
    }
    assert entries["searching"]["tollgate"]["free"] is False, "its tokens cost nothing, a search does"


def test_names_and_descriptions_have_defaults(entries: dict[str, Any]) -> None:
    shown = {name: entry["display_name"] for name, entry in entries.items()}
    assert shown["claude-sonnet-5-5"] == "Claude Sonnet 5.5" and shown["big"] == "big (Claude Sonnet 5.5)"
    assert (shown["mixed"], shown["own"]) == ("Two providers", "own")
    assert entries["big"]["description"] == "The everyday model" and "description" not in entries["own"]
    assert entries["auto"]["description"] == "The cheapest of own, claude-sonnet-5-5"


def test_a_model_can_do_only_what_every_target_can(entries: dict[str, Any]) -> None:
    able = {name: entry["tollgate"]["capabilities"] for name, entry in entries.items()}
    assert able["claude-sonnet-5-5"] == [
        *("documents", "images", "reasoning", "streaming", "structured_output", "tools"),
    ]
    assert able["own"] == ["streaming", "structured_output"]
    assert able["mixed"] == ["documents", "images", "reasoning", "streaming", "tools"]
    assert "reasoning" not in able["listed-elsewhere"]
    assert (able["words"], entries["words"]["tollgate"]["mode"]) == ([], "embedding")
    assert able["auto"] == able["claude-sonnet-5-5"], "a choice can do what one of its candidates can"
    assert all(words == sorted(words) for words in able.values())


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("claude-opus-5-5", "Claude Opus 5.5"),
        ("claude-sonnet-4", "Claude Sonnet 4"),
        ("claude-3-7-sonnet", "claude-3-7-sonnet"),
        ("claude-opus-4-20250514", "claude-opus-4-20250514"),
        ("gpt-4o-mini", "gpt-4o-mini"),
    ],
)
def test_a_claude_has_its_name_as_people_write_it(name: str, shown: str) -> None:
    assert display_name(name) == shown


def test_an_entry_names_the_models_that_may_answer_in_its_place(entries: dict[str, Any]) -> None:
    """Of every kind of fallback, each once, and none that is left out."""
    told = {name: entry["tollgate"].get("fallbacks") for name, entry in entries.items()}
    assert told["mixed"] == ["own", "claude-sonnet-5-5"]
    assert (told["own"], told["big"], told["claude-sonnet-5-5"], told["auto"]) == (["mixed"], ["mixed"], None, None)
