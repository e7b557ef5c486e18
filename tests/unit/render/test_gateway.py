"""The catalogue of the gateway processes: reasons for LiteLLM, addresses, exact prices, timeouts."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tollgate.config.env import settings as env
from tollgate.config.gateway import load as gateway
from tollgate.render.gateway import GATEWAY_ENVIRONMENT, catalogue, render_gateways
from tollgate.services.gateway import catalogue as services
from tollgate.services.gateway.ledger.price import Prices, cost
from tollgate.services.gateway.ledger.usage import Usage
from tollgate.site import Site

ROOT = Site.here().root
KEYS = "ANTHROPIC_API_KEY=a\nOPENAI_API_KEY=b\nOPENROUTER_API_KEY=c\nGEMINI_API_KEY=d\nAZURE_API_KEY=e\n"
PRICE = "price: {input_per_million: 1, output_per_million: 5}"


def rendered(models: str, lines: str = "", rest: str = "") -> Any:
    """The catalogue of these models; `lines` are added to .env, `rest` to config/gateway.yaml."""
    stated = gateway.parse(f"models:\n{models}\n{rest}", Path("gateway.yaml"))
    return json.loads(json.dumps(catalogue(stated, env.parse(KEYS + lines, Path(".env")))))


def one(target: str, more: str = "", lines: str = "", rest: str = "", price: str = PRICE) -> Any:
    """The model `m` with one target, and further fields."""
    text = f"  m:\n    targets: [{{model: {target}}}]\n" + "".join(f"    {line}\n" for line in (price, more) if line)
    return rendered(text, lines, rest)["models"]["m"]


@pytest.mark.parametrize(
    ("reason", "stated"),
    [
        ("", {"target": "openai/gpt"}),
        ("bypass_off", {"target": "openai/gpt", "lines": "BYPASS_LITELLM_ENABLED=false\n"}),
        ("cache", {"target": "openai/gpt", "rest": "cache: {enabled: true}\n"}),
        ("mode", {"target": "openai/gpt", "more": "mode: embedding"}),
        ("route", {"target": "openai/gpt", "more": "route: litellm"}),
        ("route", {"target": "openai/gpt, route: litellm"}),
        ("provider", {"target": "gemini/pro"}),
        ("price", {"target": "openai/gpt", "price": "price: litellm"}),
    ],
)
def test_each_reason_why_litellm_serves_a_model(reason: str, stated: dict[str, str]) -> None:
    model = one(**stated)
    assert model["reason"] == reason
    assert bool(model["targets"]) is (reason == ""), "a model of LiteLLM's has no target and no price here"
    assert bool(model["price"]) is (reason == "")


def test_a_target_may_be_direct_in_a_model_of_litellms() -> None:
    assert one("openai/gpt, route: direct", "route: litellm")["reason"] == ""


def test_one_target_for_litellm_hands_over_the_whole_model() -> None:
    text = "  m:\n    targets:\n      - {model: openai/gpt}\n      - {model: SECOND, order: 2}\n    " + PRICE + "\n"
    assert rendered(text.replace("SECOND", "gemini/pro"))["models"]["m"]["reason"] == "provider"
    dearer = "openai/gpt-2, price: {input_per_million: 2, output_per_million: 5}"
    assert rendered(text.replace("SECOND", dearer))["models"]["m"]["reason"] == "price"
    assert rendered(text.replace("SECOND", "openrouter/x/y"))["models"]["m"]["reason"] == ""


OWN = "http://gpu:8000/v1"


@pytest.mark.parametrize(
    ("target", "urls"),
    [
        (
            "embedded/test-model",
            {"messages": "http://provider:8080/v1/messages", "chat": "http://provider:8080/v1/chat/completions"},
        ),
        ("anthropic/claude", {"messages": "https://api.anthropic.com/v1/messages"}),
        ("anthropic/claude, api_key: none, api_base: https://proxy/v1", {"messages": "https://proxy/v1/messages"}),
        (
            "anthropic/claude, api_key: none, api_base: https://proxy/v1/messages",
            {"messages": "https://proxy/v1/messages"},
        ),
        ("openai/gpt", {"chat": "https://api.openai.com/v1/chat/completions"}),
        ("openrouter/x/y", {"chat": "https://openrouter.ai/api/v1/chat/completions"}),
        (
            "openrouter/x/y, native_messages: true",
            {
                "messages": "https://openrouter.ai/api/v1/messages",
                "chat": "https://openrouter.ai/api/v1/chat/completions",
            },
        ),
        (f"hosted_vllm/x, api_base: {OWN}", {"chat": f"{OWN}/chat/completions"}),
        (f"llamafile/x, api_base: {OWN}", {"chat": f"{OWN}/chat/completions"}),
        (f"lm_studio/x, api_base: {OWN}", {"chat": f"{OWN}/chat/completions"}),
        ("ollama_chat/x, api_base: http://gpu:11434", {"chat": "http://gpu:11434/v1/chat/completions"}),
        (
            f"custom_openai/x, api_base: {OWN}, native_messages: true",
            {"messages": f"{OWN}/messages", "chat": f"{OWN}/chat/completions"},
        ),
        ("gemini/pro", {}),
        ("azure/x, api_base: https://a.example, api_version: 2024-10-21", {}),
    ],
)
def test_the_address_of_each_provider(target: str, urls: dict[str, str]) -> None:
    model = one(target)
    assert [given["urls"] for given in model["targets"]] == ([urls] if urls else [])
    assert model["reason"] == ("" if urls else "provider")


def test_openrouters_address_follows_its_setting() -> None:
    model = one("openrouter/x/y", lines="OPENROUTER_API_BASE=https://mirror.example/v1\n")
    assert model["targets"][0]["urls"] == {"chat": "https://mirror.example/v1/chat/completions"}


@pytest.mark.parametrize(
    ("stated", "lines", "timeout", "retries"),
    [
        ("openai/gpt", "", 600.0, 2),
        ("openai/gpt, timeout_s: 7", "", 7.0, 2),
        ("openrouter/x/y", "", 120.0, 3),
        ("openrouter/x/y", "OPENROUTER_DIRECT_TIMEOUT=45\nOPENROUTER_DIRECT_RETRIES=0\n", 45.0, 0),
        ("openrouter/x/y, timeout_s: 7", "OPENROUTER_DIRECT_TIMEOUT=45\n", 7.0, 3),
    ],
)
def test_timeouts_and_retries(stated: str, lines: str, timeout: float, retries: int) -> None:
    [target] = one(stated, lines=lines)["targets"]
    assert (target["timeout_s"], target["retries"]) == (timeout, retries)


def test_the_models_timeout_is_the_targets_default() -> None:
    [target] = one("openrouter/x/y", "timeout_s: 9")["targets"]
    assert target["timeout_s"] == 9


def test_prices_are_exact_and_no_token_is_free_by_omission() -> None:
    price = "price: {input_per_million: 0.1, output_per_million: 0.7, cache_write_1h_per_million: 0.2}"
    model = one("openai/gpt", price=price)
    texts = model["price"]
    assert all(isinstance(text, str) and "E" not in text for text in texts.values())
    per_million = {kind: Decimal(text) * 1_000_000 for kind, text in texts.items()}
    assert per_million == {
        "input": Decimal("0.1"),
        "output": Decimal("0.7"),
        "cache_read": Decimal("0.1"),
        "cache_write_5m": Decimal("0.1"),
        "cache_write_1h": Decimal("0.2"),
    }
    # As a float, 0.1 + 0.7 would not be 0.8. Here a million of each is exactly 0.8 dollars.
    assert cost(Usage(input=1_000_000, output=1_000_000), Prices.of(texts)) == 800_000_000


def test_a_free_model_is_direct_and_costs_nothing() -> None:
    model = one(f"hosted_vllm/x, api_base: {OWN}", price="price: free")
    assert (model["reason"], cost(Usage(input=9, output=9), Prices.of(model["price"]))) == ("", 0)


def test_the_process_reads_what_is_rendered() -> None:
    text = f"  m:\n    targets: [{{model: openai/gpt}}]\n    {PRICE}\n    max_output_tokens: 9\n"
    rest = "aliases: {quick: m}\nrouting: {allowed_fails: 2, cooldown_s: 4}\n"
    read = services.read(json.dumps(rendered(text, rest=rest)))
    model = read.model("quick")
    assert model is not None
    assert (model.name, model.max_output_tokens, read.allowed_fails, read.cooldown_s) == ("m", 9, 2, 4)
    assert model.targets[0].key == "OPENAI_API_KEY"
    assert model.prices.input == 1_000_000_000


def test_no_key_is_in_a_catalogue() -> None:
    keys = {"ANTHROPIC": "key-of-anthropic-1", "OPENAI": "key-of-openai-2"}
    lines = "".join(f"{name}_API_KEY={key}\n" for name, key in keys.items())
    shipped = gateway.load(ROOT / "config" / "gateway.yaml")
    text = json.dumps(catalogue(shipped, env.parse(lines, Path(".env"))))
    assert "ANTHROPIC_API_KEY" in text
    assert [key for key in keys.values() if key in text] == []


def test_without_gateway_processes_nothing_is_rendered() -> None:
    shipped = gateway.load(ROOT / "config" / "gateway.yaml")
    assert render_gateways(ROOT, shipped, env.parse("GATEWAYS=0\n", Path(".env"))) == []


def test_the_proxy_reaches_the_processes_and_no_secret_does() -> None:
    shipped = gateway.load(ROOT / "config" / "gateway.yaml")
    lines = "GATEWAYS=1\nEGRESS_PROXY=http://proxy:3128\n"
    [*_, services_file] = render_gateways(ROOT, shipped, env.parse(lines, Path(".env")))
    assert 'HTTPS_PROXY: "http://proxy:3128"' in services_file.text
    assert not [name for name in GATEWAY_ENVIRONMENT if "PASSWORD" in name or "KEY" in name]
