"""LiteLLM's configuration from the gateway's: one deployment for each target with a key.

What each setting is for stands in the templates, config/litellm/*.j2; this module only computes what they print.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from decimal import Decimal
from pathlib import Path, PurePosixPath

from tollgate.config.env.settings import Settings
from tollgate.config.gateway.catalogue import Catalogue, key_name, resolve
from tollgate.config.gateway.file import Gateway
from tollgate.config.gateway.model import Model, Target, price_of
from tollgate.config.gateway.providers import EMBEDDED, PROVIDERS, VERTEX_CREDENTIALS
from tollgate.config.gateway.routing import Routing
from tollgate.errors import TollgateError
from tollgate.render.output import Rendered, fill
from tollgate.render.prices import may_run_tools, search_price, token_prices, tool_prices, translated

EMBEDDED_BASE = "http://provider:8080/v1"
# The callback that separates the cached answers of tenants.
CACHE_HOOK = "tollgate.services.hooks.limits.handler"
# The file for the hook that chooses models, in the directory of config.yaml.
CHOICES = "choices.json"
# The file for the guard in front of LiteLLM (services/requests/rules.py), in the same directory.
REQUESTS = "requests.json"
# All pools together stay near 100 connections up to ten replicas. Each replica has at least 4.
_POOLED_CONNECTIONS = 100
# A name that no model can have. Without an entry LiteLLM uses `fallbacks` for a prompt that is too long.
_NOBODY = "-"
USUAL = Routing()


def render_litellm(root: Path, gateway: Gateway, settings: Settings) -> list[Rendered]:
    """litellm/config.yaml for the replicas."""
    return _render(root, "config.yaml", "litellm", gateway, settings)


def render_basic(root: Path, gateway: Gateway, settings: Settings) -> list[Rendered]:
    """basic/config.yaml for compose/basic.yaml: the same models, no database, no Redis, one process."""
    return _render(root, "basic.yaml", "basic", gateway, settings)


def pool_limit(replicas: int) -> int:
    """Database connections of one replica. LiteLLM 1.108 opens up to this many and keeps them."""
    return max(4, min(10, _POOLED_CONNECTIONS // replicas))


def max_connections(replicas: int) -> int:
    """Connections that Postgres must allow: all pools, and 40 for the migrate job, exporter, backups and people.

    The same for all usual numbers of replicas: Postgres reads it only when it starts, and `make scale` must not restart
    the database under everyone.
    """
    return max(_POOLED_CONNECTIONS, pool_limit(replicas) * replicas) + 40


def _render(root: Path, template: str, directory: str, gateway: Gateway, settings: Settings) -> list[Rendered]:
    catalogue = resolve(gateway, settings.provider_keys)
    text = fill(
        root / "config" / "litellm" / f"{template}.j2",
        deployments=list(deployments(catalogue, gateway.routing)),
        aliases=[(scalar(alias), scalar(model)) for alias, model in catalogue.aliases.items()],
        fallbacks=_chains(catalogue.fallbacks),
        context_window_fallbacks=_chains({_NOBODY: (), **catalogue.context_window_fallbacks}),
        content_policy_fallbacks=_chains({_NOBODY: (), **catalogue.content_policy_fallbacks}),
        routing=gateway.routing,
        cache=gateway.cache,
        pool_limit=pool_limit(settings.replicas),
    )
    if gateway.cache.enabled and "cache: true" in text and CACHE_HOOK not in text:
        raise TollgateError(f"cache: without {CACHE_HOOK} one tenant would get another tenant's answers")
    choices = json.dumps(choice_table(catalogue), indent=1) + "\n"
    return [
        Rendered(PurePosixPath(directory, "config.yaml"), text),
        Rendered(PurePosixPath(directory, CHOICES), choices),
        Rendered(PurePosixPath(directory, REQUESTS), json.dumps(request_rules(catalogue, gateway), indent=1) + "\n"),
    ]


def request_rules(catalogue: Catalogue, gateway: Gateway) -> dict[str, object]:
    """The names that a request may ask for, the most bytes that it may have, the prices of server tools, and the models
    for which a Messages request is always translated."""
    names = {*catalogue.models, *catalogue.aliases, *catalogue.cheapest}
    prices = {
        name: tool_prices(price_of(model.targets[0], model))
        for name, model in catalogue.models.items()
        if any(may_run_tools(target) for target in model.targets)
    }
    return {
        "models": sorted(names),
        "max_body_bytes": gateway.edge.max_body_mb * 1024 * 1024,
        "tool_prices": {name: priced for name, priced in prices.items() if priced is not None},
        "translated": sorted(name for name, model in catalogue.models.items() if all(map(translated, model.targets))),
    }


def _chains(chains: Mapping[str, tuple[str, ...]]) -> list[tuple[str, str]]:
    return [(scalar(model), scalar(list(chain))) for model, chain in chains.items()]


def deployments(catalogue: Catalogue, routing: Routing = USUAL) -> Iterator[dict[str, object]]:
    """`{name, params, info}` for each target, with every value already written as YAML."""
    for name, model in catalogue.models.items():
        for identity, target in identified(name, model):
            yield _deployment(name, identity, target, model, routing)
    for name, choice in catalogue.cheapest.items():
        # Hooks replace this name before anything is sent. It is here so that LiteLLM lists, prices and allows it as a
        # model.
        model = catalogue.models[choice.models[0]]
        yield _deployment(name, f"{name}:cheapest", model.targets[0], model, routing, alone=True)


def identified(name: str, model: Model) -> Iterator[tuple[str, Target]]:
    """Each target with our own id, which is the same on every replica. Metrics and error messages contain it."""
    taken: set[str] = set()
    for target in model.targets:
        identity = f"{name}:{target.model.partition('/')[0]}"
        while identity in taken:
            identity += "+"
        taken.add(identity)
        yield identity, target


def _deployment(
    name: str, identity: str, target: Target, model: Model, routing: Routing, *, alone: bool = False
) -> dict[str, object]:
    alone = alone or len(model.targets) == 1
    params = _params(target, model, alone=alone)
    info = _info(identity, target, model) | _patience(routing, alone=alone)
    return {
        "name": scalar(name),
        "params": [(key, scalar(value)) for key, value in params.items()],
        "info": [(key, scalar(value)) for key, value in info.items()],
    }


def provider_model(target: Target) -> str:
    """The target's model in LiteLLM's words. With hosted_vllm, /v1/messages uses chat completions or, with
    supported_endpoints, stays untranslated. With openai/ it would use /v1/responses (docs/facts.md 7)."""
    provider, _, upstream = target.model.partition("/")
    return f"hosted_vllm/{upstream}" if provider == EMBEDDED else target.model


def _params(target: Target, model: Model, *, alone: bool) -> dict[str, object]:
    provider = target.model.partition("/")[0]
    params: dict[str, object] = {"model": provider_model(target)}
    base = EMBEDDED_BASE if provider == EMBEDDED else target.api_base
    if base is None and target.native_messages:
        base = PROVIDERS[provider].base or None
    if base is not None:
        params["api_base"] = base
    params |= _credentials(target)
    if not alone:
        params["order"] = target.order
        params["weight"] = target.weight
    timeout = target.timeout_s if target.timeout_s is not None else model.timeout_s
    if timeout is not None:
        params["timeout"] = timeout
    if target.headers:
        params["extra_headers"] = dict(target.headers)
    price = price_of(target, model)
    return params | token_prices(price) | search_price(price)


def _credentials(target: Target) -> dict[str, object]:
    provider = PROVIDERS[target.model.partition("/")[0]]
    if provider.name == "bedrock":
        return {"aws_region_name": target.region}  # boto3 reads keys and a session token from the environment
    if provider.name == "vertex_ai":
        place = {"vertex_project": target.project, "vertex_location": target.region}
        return {**place, "vertex_credentials": f"os.environ/{VERTEX_CREDENTIALS}"}
    key = key_name(target)
    # A target without a key gets a placeholder. Otherwise LiteLLM would send the key from its environment.
    given: dict[str, object] = {"api_key": f"os.environ/{key}" if key else "none"}
    return given | ({"api_version": target.api_version} if target.api_version else {})


def _patience(routing: Routing, *, alone: bool) -> dict[str, object]:
    """Only a model with several targets has cooldowns. Otherwise the model itself would be away."""
    if alone or routing.cooldown_s == 0:
        return {"cooldown_time": 0}
    return {"allowed_fails": routing.allowed_fails}


def _info(identity: str, target: Target, model: Model) -> dict[str, object]:
    info: dict[str, object] = {"id": identity, "mode": model.mode}
    if target.native_messages or target.model.startswith(f"{EMBEDDED}/"):
        info["supported_endpoints"] = ["/v1/messages"]
        # Only Anthropic's own models and the embedded provider accept a cache lifetime; other servers refuse the
        # request. services/hooks/upstream_shape.py also uses this: these targets get everything that a client sent.
        info["cache_control_ttl"] = "anthropic/" in target.model or target.model.startswith(f"{EMBEDDED}/")
    stated = {
        "max_input_tokens": model.context_tokens,
        "max_output_tokens": model.max_output_tokens,
        "supports_function_calling": model.tools,
        "supports_vision": model.vision,
    }
    info |= {key: value for key, value in stated.items() if value is not None}
    info["disable_background_health_check"] = not model.health_probe
    return info


def choice_table(catalogue: Catalogue) -> dict[str, object]:
    """The file for the hook that chooses: the candidates of each `cheapest` name, with their highest prices.

    USD per token as text, because JSON's numbers are binary fractions, and the hook compares them.
    """
    return {
        name: {
            "max_cost": None if choice.max_cost is None else str(choice.max_cost),
            "models": [_candidate(model, catalogue.models[model]) for model in choice.models],
        }
        for name, choice in catalogue.cheapest.items()
    }


def _candidate(name: str, model: Model) -> dict[str, object]:
    prices = [token_prices(price_of(target, model)) for target in model.targets]
    return {
        "name": name,
        "input": f"{max(price['input_cost_per_token'] for price in prices):f}",
        "output": f"{max(price['output_cost_per_token'] for price in prices):f}",
        "context": model.context_tokens,
        "max_output": model.max_output_tokens,
        "tools": model.tools is not False,
        "vision": model.vision is not False,
        "tool_prices": _highest_tool_prices(model),
    }


def _highest_tool_prices(model: Model) -> dict[str, str]:
    """USD as text, for one use of each tool that a provider of the model runs."""
    highest: dict[str, Decimal] = {}
    for target in model.targets:
        for name, usd in (tool_prices(price_of(target, model)) or {}).items():
            highest[name] = max(Decimal(usd), highest.get(name, Decimal(0)))
    return {name: f"{usd:f}" for name, usd in highest.items()}


def scalar(value: object) -> str:
    """One value as YAML (JSON is YAML). Small decimals are written in full, because PyYAML reads `4e-06` as text."""
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{scalar(name)}: {scalar(inner)}" for name, inner in value.items()) + "}"
    return json.dumps(value, ensure_ascii=True)
