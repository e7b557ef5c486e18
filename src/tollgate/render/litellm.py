"""LiteLLM's configuration, from the gateway's: one deployment for each target whose key is set.

What each setting is for stands in the templates, config/litellm/*.j2; this module only computes what they print.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path, PurePosixPath

from tollgate.config.catalogue import Catalogue, key_name, resolve
from tollgate.config.env import Settings
from tollgate.config.gateway import Gateway, Model, Price, Target
from tollgate.config.providers import EMBEDDED, PROVIDERS
from tollgate.render.output import Rendered, fill

EMBEDDED_BASE = "http://provider:8080/v1"
# The whole pool stays near 100 connections up to ten replicas, and each keeps at least 4.
_POOLED_CONNECTIONS = 100


def render_litellm(root: Path, gateway: Gateway, settings: Settings) -> list[Rendered]:
    """litellm/config.yaml for the replicas."""
    return [_render(root, "config.yaml", "litellm/config.yaml", gateway, settings)]


def render_basic(root: Path, gateway: Gateway, settings: Settings) -> list[Rendered]:
    """basic/config.yaml for compose/basic.yaml: the same models, no database, no Redis, one process."""
    return [_render(root, "basic.yaml", "basic/config.yaml", gateway, settings)]


def pool_limit(replicas: int) -> int:
    """Database connections of one replica; LiteLLM 1.108 opens up to this many and keeps them."""
    return max(4, min(10, _POOLED_CONNECTIONS // replicas))


def max_connections(replicas: int) -> int:
    """What Postgres must allow: every pool full, and 40 for the migrate job, exporter, backups and people.

    The same for all usual numbers of replicas: Postgres reads it only when it starts, and `make scale` must not restart
    the database under everyone.
    """
    return max(_POOLED_CONNECTIONS, pool_limit(replicas) * replicas) + 40


def _render(root: Path, template: str, path: str, gateway: Gateway, settings: Settings) -> Rendered:
    catalogue = resolve(gateway, settings.provider_keys)
    text = fill(
        root / "config" / "litellm" / f"{template}.j2",
        deployments=list(deployments(catalogue)),
        aliases=[(scalar(alias), scalar(model)) for alias, model in catalogue.aliases.items()],
        fallbacks=[(scalar(model), scalar(list(chain))) for model, chain in catalogue.fallbacks.items()],
        routing=gateway.routing,
        pool_limit=pool_limit(settings.replicas),
    )
    return Rendered(PurePosixPath(path), text)


def deployments(catalogue: Catalogue) -> Iterator[dict[str, object]]:
    """`{name, params, info}` for each target, with every value already written as YAML."""
    for name, model in catalogue.models.items():
        taken: set[str] = set()
        for target in model.targets:
            identity = f"{name}:{target.model.partition('/')[0]}"
            while identity in taken:
                identity += "+"
            taken.add(identity)
            params, info = _params(target, model), _info(identity, target, model)
            yield {
                "name": scalar(name),
                "params": [(key, scalar(value)) for key, value in params.items()],
                "info": [(key, scalar(value)) for key, value in info.items()],
            }


def _params(target: Target, model: Model) -> dict[str, object]:
    provider, _, upstream = target.model.partition("/")
    # hosted_vllm is the prefix that keeps /v1/messages on chat completions or, with supported_endpoints, untranslated;
    # openai/ would send it to /v1/responses (docs/facts.md 7).
    params: dict[str, object] = {"model": f"hosted_vllm/{upstream}" if provider == EMBEDDED else target.model}
    base = EMBEDDED_BASE if provider == EMBEDDED else target.api_base
    if base is None and target.native_messages:
        base = PROVIDERS[provider].base or None
    if base is not None:
        params["api_base"] = base
    key = key_name(target)
    # A target without a key is given a word, or LiteLLM would send the key it finds in its environment.
    params["api_key"] = f"os.environ/{key}" if key else "none"
    if len(model.targets) > 1:
        params["order"] = target.order
        params["weight"] = target.weight
    if target.headers:
        params["extra_headers"] = dict(target.headers)
    return params | _price(target.price if target.price is not None else model.price)


def _price(price: object) -> dict[str, object]:
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
    # A name of our own: metrics and error messages carry it, and it is the same on every replica.
    info: dict[str, object] = {"id": identity, "mode": model.mode}
    if target.native_messages or target.model.startswith(f"{EMBEDDED}/"):
        info["supported_endpoints"] = ["/v1/messages"]
        # Only Anthropic's own models, and the embedded provider, are known to take a cache lifetime; other servers
        # refuse the whole request. services/hooks/upstream_shape.py goes by it too: these get all a client sent.
        info["cache_control_ttl"] = "anthropic/" in target.model or target.model.startswith(f"{EMBEDDED}/")
    if model.context_tokens is not None:
        info["max_input_tokens"] = model.context_tokens
    if model.max_output_tokens is not None:
        info["max_output_tokens"] = model.max_output_tokens
    info["disable_background_health_check"] = not model.health_probe
    return info


def scalar(value: object) -> str:
    """One value as YAML (JSON is YAML). Small decimals in full: PyYAML reads `4e-06` as text."""
    if isinstance(value, Decimal):
        return f"{value:f}"
    return json.dumps(value, ensure_ascii=True)
