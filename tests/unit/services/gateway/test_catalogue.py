"""The rendered catalogue is read as it was meant."""

from __future__ import annotations

from pathlib import Path

import pytest

from tollgate.config.env.settings import parse
from tollgate.config.gateway.load import load
from tollgate.render.gateway import render_gateway
from tollgate.services.gateway.catalogue import Catalogue, Protocol, read

GATEWAY = """
models:
  sonnet:
    price: {input_per_million: 3, output_per_million: 15}
    context_tokens: 200000
    max_output_tokens: 64000
    targets:
      - {model: hosted_vllm/one, api_base: "http://vllm:8000/v1", api_key: none, native_messages: true}
      - {model: anthropic/claude-sonnet-5-5, order: 2, timeout_s: 30}
  large:
    price: free
    targets: [{model: hosted_vllm/large, api_base: "http://vllm:8000/v1", api_key: none}]
  bedrock:
    price: free
    targets: [{model: bedrock/claude, region: eu-central-1}]
aliases: {fast: sonnet}
fallbacks: {sonnet: [large], fast: [bedrock]}
context_window_fallbacks: {large: [sonnet]}
cheapest:
  auto: {models: [sonnet, large], max_cost: 0.5}
  mixed: {models: [large, bedrock]}
"""


@pytest.fixture
def catalogue(tmp_path: Path) -> Catalogue:
    file = tmp_path / "gateway.yaml"
    file.write_text(GATEWAY)
    keys = "ANTHROPIC_API_KEY=sk-ant-x\nAWS_ACCESS_KEY_ID=x\nAWS_SECRET_ACCESS_KEY=x\n"
    (rendered,) = render_gateway(load(file), parse(keys, tmp_path / ".env"))
    return read(rendered.text)


def test_models_have_targets_prices_and_windows(catalogue: Catalogue) -> None:
    sonnet = catalogue.model("fast")
    assert sonnet is not None and sonnet is catalogue.model("sonnet") and not sonnet.free
    assert (sonnet.context_tokens, sonnet.max_output_tokens, sonnet.reason) == (200_000, 64_000, "")
    first, second = sonnet.targets
    assert set(first.urls) == {Protocol.MESSAGES, Protocol.CHAT} and not first.anthropic
    assert second.urls == {Protocol.MESSAGES: "https://api.anthropic.com/v1/messages"} and second.anthropic
    assert (second.order, second.timeout_s, second.model) == (2, 30, "claude-sonnet-5-5")
    assert catalogue.names_of("fast") == ("fast", "sonnet")


def test_a_model_of_another_provider_says_why_litellm_serves_it(catalogue: Catalogue) -> None:
    bedrock = catalogue.model("bedrock")
    assert bedrock is not None and (bedrock.reason, bedrock.targets) == ("provider", ())
    assert catalogue.model("nobody") is None


def test_both_kinds_of_fallbacks_are_read(catalogue: Catalogue) -> None:
    assert catalogue.fallbacks["sonnet"] == ("large",)
    assert catalogue.context_window_fallbacks["large"] == ("sonnet",)


def test_only_a_choice_of_direct_models_is_read(catalogue: Catalogue) -> None:
    assert catalogue.choices.keys() == {"auto"}
    assert [candidate.name for candidate in catalogue.choices["auto"].models] == ["sonnet", "large"]


@pytest.mark.parametrize("text", ["{}", '{"models": {}}', "[]", "{"])
def test_a_file_of_another_release_is_refused(text: str) -> None:
    with pytest.raises((KeyError, ValueError, TypeError)):
        read(text)
