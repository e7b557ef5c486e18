"""The catalogue of the gateway processes: which models they serve directly, and where each target answers.

A model is served directly if every one of its targets speaks Anthropic Messages or OpenAI chat completions, its price
is stated, and nobody asked for LiteLLM. For every other model `reason` says why its requests go to LiteLLM.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path, PurePosixPath

from tollgate.config.env.settings import Settings
from tollgate.config.gateway.catalogue import key_name, resolve
from tollgate.config.gateway.file import Gateway
from tollgate.config.gateway.model import Model, Target, price_of
from tollgate.config.gateway.providers import EMBEDDED
from tollgate.config.gateway.routing import Routing
from tollgate.render.connect import tls_address
from tollgate.render.console import render_console
from tollgate.render.listing import listed
from tollgate.render.litellm import EMBEDDED_BASE, choice_table, identified, provider_model
from tollgate.render.output import Rendered, fill
from tollgate.render.prices import token_prices, tool_prices

CATALOGUE = PurePosixPath("gateway/catalogue.json")
SERVICES = PurePosixPath("compose/gateways.yaml")
# A process reads this list again when it changes. So it is not among the files that recreate a process.
REPLICAS = PurePosixPath("gateway/replicas")
# The environment of a gateway process, without its secrets and its name.
GATEWAY_ENVIRONMENT = {
    "PYTHONUNBUFFERED": "1",
    "PYTHONDONTWRITEBYTECODE": "1",
    # glibc keeps up to 32 MB of what a large body has used. Otherwise each body of 500 KB costs 130 page faults.
    "MALLOC_MMAP_THRESHOLD_": str(4 * 1024 * 1024),
    "MALLOC_TRIM_THRESHOLD_": str(32 * 1024 * 1024),
    "GATEWAY_CONFIGURATION": "/etc/tollgate-gateway",
    "GATEWAY_JOURNAL": "/var/lib/tollgate-journal",
    "GATEWAY_DRAIN": "/run/drain",
    "POSTGRES_HOST": "postgres",
    "POSTGRES_USER": "litellm",
    "POSTGRES_DB": "litellm",
    "TOLLGATE_REDIS": "redis:6379",
    # For the page /console.
    "PROMETHEUS_URL": "http://prometheus:9090",
    "NGINX_URL": "http://nginx:8081",
}
ANTHROPIC_BASE = "https://api.anthropic.com"
OPENAI_BASE = "https://api.openai.com/v1"
# Your own servers with OpenAI's protocol. `api_base` ends in /v1, except for Ollama, whose own API LiteLLM uses.
_OWN_SERVERS = ("hosted_vllm", "llamafile", "lm_studio", "ollama_chat", "custom_openai")
MESSAGES, CHAT = "messages", "chat"
# Kinds of tokens (services/gateway/ledger/price.py) with LiteLLM's name for the price of one.
_PRICES = {
    "input": "input_cost_per_token",
    "output": "output_cost_per_token",
    "cache_read": "cache_read_input_token_cost",
    "cache_write_5m": "cache_creation_input_token_cost",
    "cache_write_1h": "cache_creation_input_token_cost_above_1hr",
}


def gateway_names(count: int) -> list[str]:
    return [f"gateway-{number}" for number in range(1, count + 1)]


def render_gateway(gateway: Gateway, settings: Settings) -> list[Rendered]:
    """gateway/catalogue.json."""
    return [Rendered(CATALOGUE, json.dumps(catalogue(gateway, settings), indent=1) + "\n")]


def render_gateways(root: Path, gateway: Gateway, settings: Settings) -> list[Rendered]:
    """The catalogue, the console's panels, the names of the replicas and compose/gateways.yaml.

    Nothing if there are no gateway processes.
    """
    if not settings.gateways:
        return []
    environment = dict(GATEWAY_ENVIRONMENT)
    del environment["POSTGRES_USER"]  # the template sets it, because a rotation uses another login
    environment["REPLICA_CONNECT_S"] = f"{gateway.edge.connect_timeout_s:g}"
    if settings.egress_proxy:
        environment["HTTPS_PROXY"] = settings.egress_proxy
    text = fill(
        root / "compose" / "gateways.yaml.j2",
        gateways=gateway_names(settings.gateways),
        environment=sorted(environment.items()),
    )
    return [
        *render_gateway(gateway, settings),
        render_console(),
        render_replica_names(settings.replicas),
        Rendered(SERVICES, text),
    ]


def render_replica_names(count: int) -> Rendered:
    return Rendered(REPLICAS, "".join(f"litellm-{number}\n" for number in range(1, count + 1)))


def catalogue(gateway: Gateway, settings: Settings) -> dict[str, object]:
    served = resolve(gateway, settings.provider_keys)
    models = {name: _model(name, model, gateway, settings) for name, model in served.models.items()}
    return {
        "models": models,
        "aliases": dict(served.aliases),
        "fallbacks": {name: list(chain) for name, chain in served.fallbacks.items()},
        "context_window_fallbacks": {name: list(chain) for name, chain in served.context_window_fallbacks.items()},
        "choices": choice_table(served),
        "allowed_fails": gateway.routing.allowed_fails,
        "cooldown_s": gateway.routing.cooldown_s,
        "listed": listed(served),
        # Without TLS nobody knows the host's name. The page /usage puts its own address there.
        "address": tls_address(settings) or f"http://THIS-GATEWAY:{settings.gateway_port}",
    }


def _model(name: str, model: Model, gateway: Gateway, settings: Settings) -> dict[str, object]:
    reason = why_litellm(model, gateway, settings)
    targets: list[dict[str, object]] = []
    prices: Mapping[str, Decimal] = {}
    if not reason:
        prices = token_prices(price_of(model.targets[0], model))
        for identity, target in identified(name, model):
            targets.append(_target(identity, target, model, gateway.routing, settings))
    return {
        "targets": targets,
        "reason": reason,
        "price": {kind: f"{prices[name]:f}" for kind, name in _PRICES.items() if name in prices},
        "context_tokens": model.context_tokens,
        "max_output_tokens": model.max_output_tokens,
        "tool_prices": tool_prices(price_of(model.targets[0], model)),
    }


def why_litellm(model: Model, gateway: Gateway, settings: Settings) -> str:
    """Why this model is served through LiteLLM, as one word; empty: the gateway process serves it directly."""
    if not settings.bypass_litellm_enabled:
        return "bypass_off"
    if gateway.cache.enabled:
        return "cache"
    if model.mode != "chat":
        return "mode"
    if any((target.route or model.route) == "litellm" for target in model.targets):
        return "route"
    if any(not urls(target, settings) for target in model.targets):
        return "provider"
    prices = [price_of(target, model) for target in model.targets]
    if any(price == "litellm" for price in prices):
        return "price"
    # One price a model: a request is reserved before its target is chosen.
    return "price" if any(price != prices[0] for price in prices) else ""


def urls(target: Target, settings: Settings) -> dict[str, str]:
    """The address for each protocol that the target's server speaks; none: only LiteLLM knows this provider."""
    provider = target.model.partition("/")[0]
    if provider == EMBEDDED:
        return {MESSAGES: f"{EMBEDDED_BASE}/messages", CHAT: f"{EMBEDDED_BASE}/chat/completions"}
    if provider == "anthropic":
        base = (target.api_base or ANTHROPIC_BASE).removesuffix("/v1/messages").removesuffix("/v1")
        return {MESSAGES: f"{base}/v1/messages"}
    base = target.api_base or {"openai": OPENAI_BASE, "openrouter": settings.openrouter_api_base}.get(provider, "")
    if provider == "ollama_chat" and base:
        base = base.removesuffix("/v1") + "/v1"
    if not base or provider not in (*_OWN_SERVERS, "openai", "openrouter"):
        return {}
    chat = {CHAT: f"{base}/chat/completions"}
    return {MESSAGES: f"{base}/messages", **chat} if target.native_messages else chat


def _target(identity: str, target: Target, model: Model, routing: Routing, settings: Settings) -> dict[str, object]:
    provider, _, upstream = target.model.partition("/")
    return {
        "id": identity,
        "model": upstream,
        # As LiteLLM books it, so that both routes share their daily rows.
        "booked_as": provider_model(target),
        "urls": urls(target, settings),
        "key": key_name(target),
        "order": target.order,
        "weight": target.weight,
        "timeout_s": _timeout(provider, target, model, routing, settings),
        "headers": dict(target.headers),
        "anthropic": provider == "anthropic",
        # As in render/litellm.py. Another server that answers Messages gets nothing that only Anthropic accepts.
        "as_sent": provider in ("anthropic", EMBEDDED) or "anthropic/" in upstream,
        "chat": _chat_options(provider),
        # Only a call that sent nothing yet is tried again at the same target.
        "retries": settings.openrouter_direct_retries if provider == "openrouter" else 2,
    }


def _timeout(provider: str, target: Target, model: Model, routing: Routing, settings: Settings) -> float:
    stated = target.timeout_s if target.timeout_s is not None else model.timeout_s
    if stated is not None:
        return stated
    return settings.openrouter_direct_timeout if provider == "openrouter" else routing.timeout_s


def _chat_options(provider: str) -> Mapping[str, object]:
    """What the server's chat completions take beyond the plainest request (services/gateway/convert/options.py)."""
    if provider == "openai":
        return {"reasoning": "reasoning_effort", "max_tokens_field": "max_completion_tokens", "documents": True}
    if provider == "openrouter":
        history = {"reasoning_history": "reasoning_details", "efforts": ("minimal", "low", "medium", "high")}
        return {"reasoning": "openrouter", **history, "documents": True, "document_urls": True}
    return {"user": False, "stop_limit": 64}
