"""LiteLLM's configuration, from the gateway's: one deployment for each target whose key is set.

What each setting is for stands in the templates, config/litellm/*.j2; this module only computes what they print.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from decimal import Decimal
from pathlib import Path, PurePosixPath

from tollgate.config.catalogue import Catalogue, key_name, resolve
from tollgate.config.env import Settings
from tollgate.config.gateway import Gateway
from tollgate.config.models import Model, Price, Target, price_of
from tollgate.config.providers import EMBEDDED, PROVIDERS, VERTEX_CREDENTIALS
from tollgate.config.routing import Routing
from tollgate.errors import TollgateError
from tollgate.render.output import Rendered, fill

EMBEDDED_BASE = "http://provider:8080/v1"
# The callback that gives each tenant's cached answers a place of their own.
CACHE_HOOK = "tollgate.services.hooks.limits.handler"
# What the hook that chooses reads, in the directory of config.yaml.
CHOICES = "choices.json"
# The whole pool stays near 100 connections up to ten replicas, and each keeps at least 4.
_POOLED_CONNECTIONS = 100
# Not a name a model can have: LiteLLM follows `fallbacks` for a prompt that is too long, unless this list has an entry.
_NOBODY = "-"
USUAL = Routing()


def render_litellm(root: Path, gateway: Gateway, settings: Settings) -> list[Rendered]:
    """litellm/config.yaml for the replicas."""
    return _render(root, "config.yaml", "litellm", gateway, settings)


def render_basic(root: Path, gateway: Gateway, settings: Settings) -> list[Rendered]:
    """basic/config.yaml for compose/basic.yaml: the same models, no database, no Redis, one process."""
    return _render(root, "basic.yaml", "basic", gateway, settings)


def pool_limit(replicas: int) -> int:
    """Database connections of one replica; LiteLLM 1.108 opens up to this many and keeps them."""
    return max(4, min(10, _POOLED_CONNECTIONS // replicas))


def max_connections(replicas: int) -> int:
    """What Postgres must allow: every pool full, and 40 for the migrate job, exporter, backups and people.

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
        raise TollgateError(f"cache: without {CACHE_HOOK} one tenant would be handed another's answers")
    choices = json.dumps(choice_table(catalogue), indent=1) + "\n"
    return [
        Rendered(PurePosixPath(directory, "config.yaml"), text),
        Rendered(PurePosixPath(directory, CHOICES), choices),
    ]


def _chains(chains: Mapping[str, tuple[str, ...]]) -> list[tuple[str, str]]:
    return [(scalar(model), scalar(list(chain))) for model, chain in chains.items()]


def deployments(catalogue: Catalogue, routing: Routing = USUAL) -> Iterator[dict[str, object]]:
    """`{name, params, info}` for each target, with every value already written as YAML."""
    for name, model in catalogue.models.items():
        for identity, target in identified(name, model):
            yield _deployment(name, identity, target, model, routing)
    for name, choice in catalogue.cheapest.items():
        # Hooks replace the name before anything is sent; it stands here to be listed, priced and allowed as a model.
        model = catalogue.models[choice.models[0]]
        yield _deployment(name, f"{name}:cheapest", model.targets[0], model, routing, alone=True)


def identified(name: str, model: Model) -> Iterator[tuple[str, Target]]:
    """Each target with a name of our own: metrics and error messages carry it, and it is the same on every replica."""
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
    """The target's model as LiteLLM is told it. hosted_vllm is the prefix that keeps /v1/messages on chat completions
    or, with supported_endpoints, untranslated; openai/ would send it to /v1/responses (docs/facts.md 7)."""
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
    return params | _price(price_of(target, model))


def _credentials(target: Target) -> dict[str, object]:
    provider = PROVIDERS[target.model.partition("/")[0]]
    if provider.name == "bedrock":
        return {"aws_region_name": target.region}  # keys and a session token from the environment, as AWS has it
    if provider.name == "vertex_ai":
        place = {"vertex_project": target.project, "vertex_location": target.region}
        return {**place, "vertex_credentials": f"os.environ/{VERTEX_CREDENTIALS}"}
    key = key_name(target)
    # A target without a key is given a word, or LiteLLM would send the key it finds in its environment.
    given: dict[str, object] = {"api_key": f"os.environ/{key}" if key else "none"}
    return given | ({"api_version": target.api_version} if target.api_version else {})


def _patience(routing: Routing, *, alone: bool) -> dict[str, object]:
    """A target is left alone after failures only where there is another one; else the model itself would be away."""
    if alone or routing.cooldown_s == 0:
        return {"cooldown_time": 0}
    return {"allowed_fails": routing.allowed_fails}


def _price(price: object) -> dict[str, Decimal]:
    """USD per token. A cache price that is missing is the input price: LiteLLM would bill those tokens at nothing."""
    if price == "free":
        price = Price(input_per_million=0, output_per_million=0)
    if not isinstance(price, Price):
        return {}  # `litellm`: its own list
    listed = price

    def per_token(usd: float | None) -> Decimal:
        return Decimal(str(listed.input_per_million if usd is None else usd)) / 1_000_000

    write = per_token(price.cache_write_per_million)
    hour = price.cache_write_1h_per_million
    return {
        "input_cost_per_token": per_token(price.input_per_million),
        "output_cost_per_token": per_token(price.output_per_million),
        "cache_read_input_token_cost": per_token(price.cache_read_per_million),
        "cache_creation_input_token_cost": write,
        "cache_creation_input_token_cost_above_1hr": write if hour is None else per_token(hour),
    }


def _info(identity: str, target: Target, model: Model) -> dict[str, object]:
    info: dict[str, object] = {"id": identity, "mode": model.mode}
    if target.native_messages or target.model.startswith(f"{EMBEDDED}/"):
        info["supported_endpoints"] = ["/v1/messages"]
        # Only Anthropic's own models, and the embedded provider, are known to take a cache lifetime; other servers
        # refuse the whole request. services/hooks/upstream_shape.py goes by it too: these get all a client sent.
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
    """What the hook needs to choose: for each `cheapest` name its candidates, at the price of their dearest targets.

    USD per token as text: JSON's numbers would be binary fractions, and the hook compares.
    """
    return {
        name: {
            "max_cost": None if choice.max_cost is None else str(choice.max_cost),
            "models": [_candidate(model, catalogue.models[model]) for model in choice.models],
        }
        for name, choice in catalogue.cheapest.items()
    }


def _candidate(name: str, model: Model) -> dict[str, object]:
    prices = [_price(price_of(target, model)) for target in model.targets]
    return {
        "name": name,
        "input": f"{max(price['input_cost_per_token'] for price in prices):f}",
        "output": f"{max(price['output_cost_per_token'] for price in prices):f}",
        "context": model.context_tokens,
        "max_output": model.max_output_tokens,
        "tools": model.tools is not False,
        "vision": model.vision is not False,
    }


def scalar(value: object) -> str:
    """One value as YAML (JSON is YAML). Small decimals in full: PyYAML reads `4e-06` as text."""
    if isinstance(value, Decimal):
        return f"{value:f}"
    return json.dumps(value, ensure_ascii=True)
