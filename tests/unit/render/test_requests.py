"""The rules for the guard and the hooks of a replica say which servers never get a Messages request as it came."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tollgate.config.env import settings as env
from tollgate.config.gateway import load
from tollgate.config.gateway.catalogue import resolve
from tollgate.render.gateway import urls
from tollgate.render.litellm import request_rules
from tollgate.site import Site

KEYS = "ANTHROPIC_API_KEY=a\nOPENAI_API_KEY=b\nOPENROUTER_API_KEY=c\nGEMINI_API_KEY=d\n"
OWN = 'api_base: "http://host.docker.internal:8000/v1", api_key: none'


def rules(targets: str) -> Any:
    text = f"models:\n  m:\n    targets: [{targets}]\n    price: {{input_per_million: 1, output_per_million: 5}}\n"
    stated = load.parse(text, Path("gateway.yaml"))
    return request_rules(resolve(stated, env.parse(KEYS, Path(".env")).provider_keys), stated)


@pytest.mark.parametrize(
    ("targets", "translated"),
    [
        ("{model: openai/gpt}", True),
        ("{model: openrouter/some/model}", True),
        (f"{{model: hosted_vllm/qwen, {OWN}}}", True),
        (f"{{model: hosted_vllm/qwen, native_messages: true, {OWN}}}", False),
        ("{model: openrouter/anthropic/claude, native_messages: true}", False),
        ("{model: anthropic/claude}", False),
        ("{model: gemini/pro}", False),
        ("{model: openai/gpt}, {model: anthropic/claude, order: 2}", False),
    ],
)
def test_one_server_with_the_messages_api_is_enough(targets: str, translated: bool) -> None:
    assert rules(targets)["translated"] == (["m"] if translated else [])


def test_both_routes_translate_for_the_same_servers() -> None:
    """Of the shipped models that a gateway process can serve."""
    shipped = load.load(Site.here().root / "config" / "gateway.yaml")
    settings = env.parse(KEYS, Path(".env"))
    served = resolve(shipped, settings.provider_keys)
    spoken = {name: [urls(target, settings) for target in model.targets] for name, model in served.models.items()}
    chat_only = [name for name, all_urls in spoken.items() if all(list(one) == ["chat"] for one in all_urls)]
    assert request_rules(served, shipped)["translated"] == sorted(chat_only)
    assert chat_only and len(chat_only) < len(spoken)
