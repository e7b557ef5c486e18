"""The models that are served with each set of keys, and the catalogue that the kit ships."""

from __future__ import annotations

from pathlib import Path

import pytest

from tollgate.config.gateway import load as gateway
from tollgate.config.gateway.catalogue import Catalogue, resolve
from tollgate.config.gateway.model import Price
from tollgate.errors import InputError

FILE = Path("gateway.yaml")
SHIPPED = gateway.load(Path(__file__).parents[4] / "config" / "gateway.yaml")

SMALL = gateway.parse(
    """
models:
  test-model: {targets: [{model: embedded/test-model}], price: {input_per_million: 1, output_per_million: 5}}
  paid:
    targets:
      - model: anthropic/paid
      - {model: openrouter/paid, order: 2}
    price: {input_per_million: 1, output_per_million: 5}
  other: {targets: [{model: openai/other}], price: litellm}
  mine: {targets: [{model: openai/mine, api_base: "http://host:1/v1", api_key: none}], price: free}
  named: {targets: [{model: openai/x, api_base: "http://host:1/v1", api_key: env:NAMED_API_KEY}], price: free}
aliases: {big: paid, little: other}
fallbacks: {paid: [other, test-model], mine: [paid]}
""",
    FILE,
)


def _served(*keys: str) -> Catalogue:
    return resolve(SMALL, keys)


def test_without_a_key_only_what_needs_none_is_served() -> None:
    catalogue = _served()
    assert set(catalogue.models) == {"test-model", "mine"}
    assert catalogue.aliases == {}
    assert catalogue.fallbacks == {}
    assert dict(catalogue.left_out) == {
        "paid": "set ANTHROPIC_API_KEY or OPENROUTER_API_KEY in .env to serve it",
        "other": "set OPENAI_API_KEY in .env to serve it",
        "named": "set NAMED_API_KEY in .env to serve it",
        "big": "stands for paid, which is left out",
        "little": "stands for other, which is left out",
    }


def test_one_of_two_keys_serves_the_model_through_the_target_that_has_one() -> None:
    catalogue = _served("OPENROUTER_API_KEY")
    assert [target.model for target in catalogue.models["paid"].targets] == ["openrouter/paid"]
    assert catalogue.aliases == {"big": "paid"}
    # An alias has its model's: LiteLLM looks fallbacks up by the name that was asked for.
    assert catalogue.fallbacks == {"paid": ("test-model",), "mine": ("paid",), "big": ("test-model",)}


def test_with_every_key_nothing_is_left_out() -> None:
    catalogue = _served("ANTHROPIC_API_KEY", "OPENROUTER_API_KEY", "OPENAI_API_KEY", "NAMED_API_KEY")
    assert catalogue.left_out == ()
    assert catalogue.names == SMALL.names


def test_the_shipped_catalogue_serves_test_model_alone_without_a_key() -> None:
    assert resolve(SHIPPED, ()).names == {"test-model"}


@pytest.mark.parametrize("key", ["ANTHROPIC_API_KEY", "OPENROUTER_API_KEY"])
def test_either_key_gives_the_claude_names_and_big_and_small(key: str) -> None:
    served = resolve(SHIPPED, [key]).names
    assert {"claude-opus-5-5", "claude-sonnet-5-5", "claude-haiku-5-5", "big", "small", "test-model"} <= served


def test_every_name_people_were_promised_is_in_the_shipped_catalogue() -> None:
    promised = {"claude-sonnet-4", "claude-3-7-sonnet", "gpt-4o-mini", "qwen-coder", "big", "small"}
    keys = ["ANTHROPIC_API_KEY", "OPENAI_API_KEY", "OPENROUTER_API_KEY"]
    assert promised <= resolve(SHIPPED, keys).names


def test_only_the_embedded_provider_is_probed_as_shipped() -> None:
    assert [name for name, model in SHIPPED.models.items() if model.health_probe] == ["test-model"]


def test_every_shipped_price_has_cache_prices_where_they_exist() -> None:
    for name, model in SHIPPED.models.items():
        assert isinstance(model.price, Price), name
        assert 0 < model.price.input_per_million < model.price.output_per_million, name
        read = model.price.cache_read_per_million
        assert read is None or read < model.price.input_per_million, name


def test_problems_of_meaning_are_all_reported_at_once() -> None:
    with pytest.raises(InputError) as caught:
        body = "models:\n  a: {targets: [{model: openai/a}]}\naliases: {b: c}\nfallbacks: {a: [a]}\n"
        gateway.parse(f"{body}edge: {{read_timeout_s: 1}}\n", FILE)
    assert [problem.line for problem in caught.value.problems] == [2, 3, 4, 5]


def test_an_operators_own_keys_start_with_x() -> None:
    text = "x-prices: &p {input_per_million: 1, output_per_million: 2}\nmodels:\n  x-ray:\n    x-note: mine\n"
    parsed = gateway.parse(text + "    targets: [{model: openai/a}]\n    price: *p\n", FILE)
    assert list(parsed.models) == ["x-ray"]


CHAINED = """
models:
  a: {targets: [{model: anthropic/a}], price: free}
  b: {targets: [{model: embedded/b}], price: free}
  c: {targets: [{model: embedded/c}], price: free}
  d: {targets: [{model: embedded/d}], price: free}
chains: {code: [a, b, c]}
aliases: {coder: code, other: b, mine: b}
fallbacks: {a: code, b: code, d: code, mine: [d]}
cheapest: {auto: {models: code}, never: {models: [a]}}
"""


def test_a_chain_is_followed_from_where_a_model_stands_in_it() -> None:
    whole = resolve(gateway.parse(CHAINED, FILE), ["ANTHROPIC_API_KEY"])
    assert whole.aliases["coder"] == "a"
    assert whole.fallbacks == {
        "a": ("b", "c"),
        "b": ("c",),
        "d": ("a", "b", "c"),
        "mine": ("d",),
        "coder": ("b", "c"),
        "other": ("c",),
    }


def test_a_chain_begins_with_the_first_model_that_is_served() -> None:
    less = resolve(gateway.parse(CHAINED, FILE), [])
    assert less.aliases["coder"] == "b"
    assert less.fallbacks["coder"] == ("c",)
    assert less.cheapest["auto"].models == ("b", "c")
    assert dict(less.left_out)["never"] == "none of its candidates is served"
    assert "auto" in less.names


@pytest.mark.parametrize(
    ("target", "keys", "reason"),
    [
        (
            "{model: bedrock/x, region: eu-central-1}",
            ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"],
            "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in .env to serve it",
        ),
        (
            "{model: vertex_ai/x, region: europe-west1, project: mine}",
            ["VERTEX_CREDENTIALS"],
            "put the service account's JSON into secrets/vertex_credentials.json to serve it",
        ),
        (
            "{model: azure/x, api_base: 'https://x.openai.azure.com', api_version: 2024-10-21}",
            ["AZURE_API_KEY"],
            "set AZURE_API_KEY in .env to serve it",
        ),
    ],
    ids=["bedrock", "vertex", "azure"],
)
def test_a_provider_with_several_credentials_needs_all_of_them(target: str, keys: list[str], reason: str) -> None:
    parsed = gateway.parse(f"models: {{m: {{targets: [{target}], price: free}}}}", FILE)
    assert "m" in resolve(parsed, keys).models
    assert dict(resolve(parsed, keys[:-1]).left_out) == {"m": reason}
