"""config/examples: each is served whole with its keys, and says what the documents it follows say."""

from __future__ import annotations

from pathlib import Path

import pytest

from tollgate.config.env import settings as env
from tollgate.config.gateway import load as gateway
from tollgate.config.gateway.catalogue import Catalogue, resolve
from tollgate.config.gateway.file import Gateway
from tollgate.config.gateway.model import Price
from tollgate.render.litellm import CACHE_HOOK, render_litellm

ROOT = Path(__file__).parents[4]
EXAMPLES = sorted((ROOT / "config" / "examples").glob("*.yaml"))
KEYS = {
    *("ANTHROPIC_API_KEY", "OPENAI_API_KEY", "OPENROUTER_API_KEY", "AZURE_API_KEY", "CUSTOM_API_KEY"),
    *("EXAMPLE_API_KEY", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "VERTEX_CREDENTIALS"),
}


def _example(name: str, keys: set[str] = KEYS) -> tuple[Gateway, Catalogue]:
    loaded = gateway.load(ROOT / "config" / "examples" / f"{name}.yaml")
    return loaded, resolve(loaded, keys)


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.stem)
def test_an_example_is_served_whole_with_its_keys_and_without_them_in_part(file: Path) -> None:
    loaded = gateway.load(file)
    assert resolve(loaded, KEYS).left_out == ()
    assert "test-model" in resolve(loaded, ()).models
    lines = "".join(f"{key}=x\n" for key in sorted(KEYS - {"VERTEX_CREDENTIALS"}))
    config, choices, _ = render_litellm(ROOT, loaded, env.parse(lines, Path(".env")))
    assert "model_name" in config.text
    assert choices.text.startswith("{")


def test_a_cache_is_rendered_with_what_keeps_tenants_apart() -> None:
    loaded, _ = _example("claude-code-guide")
    config, *_ = render_litellm(ROOT, loaded, env.parse("", Path(".env")))
    assert "  cache: true\n" in config.text
    assert "    ttl: 3600\n" in config.text
    assert CACHE_HOOK in config.text


# ---- the Messages backend's map, row by row


@pytest.mark.parametrize(
    ("name", "upstream"),
    [
        ("claude-sonnet-4", "openrouter/anthropic/claude-sonnet-4"),
        ("claude-3-7-sonnet", "openrouter/anthropic/claude-3.7-sonnet"),
        ("big", "openrouter/anthropic/claude-sonnet-4"),
        ("small", "openrouter/anthropic/claude-3.7-sonnet"),
    ],
)
def test_the_map_of_the_messages_backend(name: str, upstream: str) -> None:
    _, catalogue = _example("messages-backend", {"OPENROUTER_API_KEY"})
    (target,) = catalogue.models[catalogue.aliases.get(name, name)].targets
    assert target.model == upstream
    assert target.native_messages


def test_the_messages_backend_shares_two_models_out() -> None:
    loaded, catalogue = _example("messages-backend", {"OPENROUTER_API_KEY"})
    targets = catalogue.models["claude-models"].targets
    assert [target.model.rpartition("/")[2] for target in targets] == ["claude-sonnet-4", "claude-3.7-sonnet"]
    assert {target.order for target in targets} == {1}
    assert (loaded.routing.retries, loaded.routing.timeout_s) == (3, 600)


# ---- the guide's models, aliases, chains and prices


@pytest.mark.parametrize(
    ("name", "upstream"),
    [
        ("gpt-4o-mini", "openai/gpt-4o-mini"),
        ("qwen-coder", "openrouter/qwen/qwen3-coder"),
        ("local-codellama", "ollama_chat/codellama"),
        ("gpt-4-turbo", "openai/gpt-4-turbo"),
        ("claude-3-5-sonnet", "openrouter/qwen/qwen3-coder"),
        ("claude-3-opus", "openai/gpt-4-turbo"),
        ("cheap-code", "openrouter/deepseek/deepseek-coder"),
        ("premium-reasoning", "openai/o3-pro"),
        ("custom-llm", "custom_openai/model"),
    ],
)
def test_the_models_of_the_guide(name: str, upstream: str) -> None:
    _, catalogue = _example("claude-code-guide")
    assert catalogue.models[name].targets[0].model == upstream


def test_the_chains_of_the_guide() -> None:
    _, catalogue = _example("claude-code-guide")
    assert catalogue.fallbacks["gpt-4o-mini"] == ("qwen-coder", "local-codellama")
    assert catalogue.fallbacks["qwen-coder"] == ("local-codellama",)
    assert catalogue.fallbacks["gpt-4-turbo"] == ("claude-3-opus",)
    assert (catalogue.aliases["code"], catalogue.fallbacks["code"]) == (
        "gpt-4o-mini",
        ("qwen-coder", "local-codellama"),
    )
    assert catalogue.aliases["reasoning"] == "gpt-4-turbo"


def test_the_code_chain_begins_with_what_is_served() -> None:
    _, catalogue = _example("claude-code-guide", {"OPENROUTER_API_KEY"})
    assert (catalogue.aliases["code"], catalogue.fallbacks["code"]) == ("qwen-coder", ("local-codellama",))


@pytest.mark.parametrize(("name", "usd_per_token"), [("cheap-code", 0.000001), ("premium-reasoning", 0.00015)])
def test_the_prices_of_the_guide(name: str, usd_per_token: float) -> None:
    _, catalogue = _example("claude-code-guide")
    price = catalogue.models[name].price
    assert isinstance(price, Price)
    assert price.input_per_million == pytest.approx(usd_per_token * 1e6)


def test_the_caps_and_the_custom_provider_of_the_guide() -> None:
    loaded, catalogue = _example("claude-code-guide")
    assert catalogue.models["claude-3-5-sonnet"].max_output_tokens == 65536
    assert loaded.routing.timeout_s == 600
    (custom,) = catalogue.models["custom-llm"].targets
    assert custom.headers == {"X-Custom-Header": "value"}
    assert custom.api_key == "env:CUSTOM_API_KEY"
    assert "local-codellama" in catalogue.cheapest["auto"].models


def test_every_kind_of_provider_has_an_example() -> None:
    _, catalogue = _example("providers")
    shown = {target.model.partition("/")[0] for model in catalogue.models.values() for target in model.targets}
    assert shown >= {"anthropic", "openai", "azure", "openrouter", "bedrock", "vertex_ai", "ollama_chat"}
    assert shown >= {"hosted_vllm", "custom_openai"}
