"""LiteLLM's configuration as rendered from the shipped files, for the keys people have; UPDATE_GOLDEN=1 rewrites it."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tollgate.config.env import settings as env
from tollgate.config.gateway import load as gateway
from tollgate.config.gateway.file import Gateway
from tollgate.render.litellm import max_connections, pool_limit, render_basic, render_litellm

ROOT = Path(__file__).parents[2]
GOLDEN = Path(__file__).parent / "litellm"
SHIPPED = gateway.load(ROOT / "config" / "gateway.yaml")
KEYS = {
    "no-keys": "",
    "anthropic-only": "ANTHROPIC_API_KEY=sk-ant-secret\n",
    "openrouter-only": "OPENROUTER_API_KEY=sk-or-secret\n",
    "all-keys": "ANTHROPIC_API_KEY=sk-ant-secret\nOPENAI_API_KEY=sk-proj-secret\nOPENROUTER_API_KEY=sk-or-secret\n",
}


def _render(keys: str, models: Gateway = SHIPPED) -> str:
    rendered, *_ = render_litellm(ROOT, models, env.parse(keys, Path(".env")))
    return rendered.text


def _yaml(text: str) -> Any:
    # As LiteLLM reads it: YAML 1.1, in which 1e-06 without a point would be text.
    yaml = YAML(typ="safe", pure=True)
    yaml.version = "1.1"
    return yaml.load(text)


def _gateway(text: str) -> Gateway:
    return gateway.parse(text, Path("gateway.yaml"))


@pytest.mark.parametrize("name", KEYS)
def test_the_rendered_configuration_is_the_golden_one(name: str) -> None:
    _compare(f"{name}.yaml", _render(KEYS[name]))


def test_the_basic_configuration_is_the_golden_one() -> None:
    rendered, *_ = render_basic(ROOT, SHIPPED, env.parse("", Path(".env")))
    assert str(rendered.path) == "basic/config.yaml"
    _compare("basic.yaml", rendered.text)


def _compare(name: str, text: str) -> None:
    if os.environ.get("UPDATE_GOLDEN"):
        (GOLDEN / name).write_text(text)
    assert text == (GOLDEN / name).read_text()


@pytest.mark.parametrize("name", KEYS)
def test_no_secret_is_rendered_and_no_shell_variable(name: str) -> None:
    text = _render(KEYS[name])
    assert "secret" not in text
    assert "${" not in text


@pytest.mark.parametrize("name", KEYS)
def test_every_number_is_a_number_to_litellm_and_every_model_has_a_price(name: str) -> None:
    for model in _yaml(_render(KEYS[name]))["model_list"]:
        params = model["litellm_params"]
        costs = [key for key in params if "cost" in key]
        assert {"input_cost_per_token", "output_cost_per_token"} <= set(costs)
        tables = [value.values() if isinstance(value, dict) else [value] for value in map(params.get, costs)]
        assert all(isinstance(amount, (int, float)) for table in tables for amount in table), params
        assert 0 < params["input_cost_per_token"] < params["output_cost_per_token"] < 0.001


def test_a_cache_price_left_out_is_the_input_price() -> None:
    models = _gateway(
        "models: {m: {targets: [{model: openai/m}], price: {input_per_million: 3, output_per_million: 6}}}\n"
    )
    params = _yaml(_render("OPENAI_API_KEY=x\n", models))["model_list"][0]["litellm_params"]
    assert params["cache_read_input_token_cost"] == params["cache_creation_input_token_cost"] == 0.000003
    assert params["cache_creation_input_token_cost_above_1hr"] == 0.000003


def test_free_is_zero_and_litellms_own_price_is_left_to_it() -> None:
    models = _gateway(
        "models:\n"
        "  a: {targets: [{model: openai/a}], price: free}\n"
        "  b: {targets: [{model: openai/b}], price: litellm}\n"
    )
    free, own = (model["litellm_params"] for model in _yaml(_render("OPENAI_API_KEY=x\n", models))["model_list"])
    assert free["input_cost_per_token"] == 0
    assert free["cache_read_input_token_cost"] == 0
    assert not [key for key in own if "cost" in key]


def test_a_server_without_a_key_is_never_sent_one() -> None:
    models = _gateway(
        "models: {m: {targets: [{model: openai/m, api_base: 'http://h/v1', api_key: none}], price: free}}\n"
    )
    params = _yaml(_render("OPENAI_API_KEY=sk-real\n", models))["model_list"][0]["litellm_params"]
    assert params["api_key"] == "none"


def test_text_of_an_operator_stays_text() -> None:
    name = "a:b@c/d"
    models = _gateway(
        f"models: {{'{name}': {{targets: [{{model: openai/m, headers: {{X-A: 'q\"\\\\ #'}}}}], price: free}}}}\n"
    )
    (model,) = _yaml(_render("OPENAI_API_KEY=x\n", models))["model_list"]
    assert model["model_name"] == name
    assert model["litellm_params"]["extra_headers"] == {"X-A": 'q"\\\\ #'}


def test_every_deployment_has_an_identity_of_its_own() -> None:
    models = _gateway(
        "models: {m: {targets: [{model: openai/a}, {model: openai/b}, {model: openrouter/c, order: 2}], price: free}}\n"
    )
    listed = _yaml(_render(KEYS["all-keys"], models))["model_list"]
    identities = [model["model_info"]["id"] for model in listed]
    assert len(set(identities)) == 3
    assert [model["litellm_params"]["order"] for model in listed] == [1, 1, 2]


def test_every_setting_says_why_it_is_there() -> None:
    lines = (ROOT / "config" / "litellm" / "config.yaml.j2").read_text().splitlines()
    bare = []
    for number, line in enumerate(lines):
        if re.match(r"  [a-z]\w*:", line):
            above = [before for before in lines[max(0, number - 6) : number] if before.strip()]
            explained = any(before.lstrip().startswith("#") for before in above)
            if not explained and not line.startswith(("  master_key", "  database_url", "  request_timeout")):
                bare.append(line)
    assert bare == []


@pytest.mark.parametrize("replicas", range(1, 33))
def test_full_pools_fit_into_what_postgres_allows(replicas: int) -> None:
    assert pool_limit(replicas) >= 4
    assert pool_limit(replicas) * replicas <= max_connections(replicas) - 30
    assert max_connections(replicas) <= 170
