"""The entries of `GET /v1/models`: what a client may know of each name that it can ask for.

The gateway processes read them from the catalogue and leave out what a tenant may not use.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from tollgate.config.gateway.catalogue import Catalogue, ServedChoice
from tollgate.config.gateway.model import Model, Price, Target, price_of
from tollgate.config.gateway.providers import EMBEDDED

UNIT = "USD per million tokens"
TOOL_UNIT = "USD per use"
_CLAUDE = re.compile(r"claude-([a-z]+)-(\d+)(?:-(\d{1,2}))?")
# The kinds of tokens with their fields in config/gateway.yaml.
_PRICES = {
    "input": "input_per_million",
    "output": "output_per_million",
    "cache_read": "cache_read_per_million",
    "cache_write_5m": "cache_write_per_million",
    "cache_write_1h": "cache_write_1h_per_million",
}
# Providers whose API takes a PDF, and those whose API can force an answer into a JSON schema.
_WITH_DOCUMENTS = frozenset({"anthropic", "openai", "openrouter", EMBEDDED})
_WITH_SCHEMAS = frozenset({"anthropic", "openai", "hosted_vllm", EMBEDDED})

Entry = dict[str, Any]


def listed(served: Catalogue) -> dict[str, Entry]:
    """The entry of each name, without the name itself: models, then aliases, then `cheapest` choices."""
    entries = {name: _of_model(name, model) for name, model in served.models.items()}
    aliases = {alias: _of_alias(alias, entries[meant]) for alias, meant in served.aliases.items()}
    choices = {name: _of_choice(name, choice, entries) for name, choice in served.cheapest.items()}
    return {name: _with_fallbacks(name, entry, served) for name, entry in {**entries, **aliases, **choices}.items()}


def display_name(name: str) -> str:
    """`Claude Sonnet 5.5` for claude-sonnet-5-5; any other name stays as it is."""
    claude = _CLAUDE.fullmatch(name)
    if claude is None:
        return name
    family, *version = claude.groups()
    return f"Claude {family.capitalize()} {'.'.join(part for part in version if part)}"


def _of_model(name: str, model: Model) -> Entry:
    price = price_of(model.targets[0], model)
    same = all(price_of(target, model) == price for target in model.targets)
    prices = _prices(price) if same else None
    tools = _tools(price) if same else {}
    amounts = [*(prices or {}).values(), *tools.values()]
    details = {
        "price": prices,
        # Only if there are such prices: the gateway refuses a tool without one, and a free model has free tools.
        **({"server_tools": {"unit": TOOL_UNIT, "price": tools}} if tools else {}),
        "context_tokens": model.context_tokens,
        "max_output_tokens": model.max_output_tokens,
        "capabilities": capabilities(model),
        "free": prices is not None and all(amount in ("0", UNIT) for amount in amounts),
        "mode": model.mode,
    }
    return _entry(model.display_name or display_name(name), model.description, details)


def _with_fallbacks(name: str, entry: Entry, served: Catalogue) -> Entry:
    """`fallbacks` are the models that may answer in place of this one, each at its own price."""
    kinds = (served.fallbacks, served.context_window_fallbacks, served.content_policy_fallbacks)
    names = list(dict.fromkeys(other for chains in kinds for other in chains.get(name, ())))
    return {**entry, "tollgate": {**entry["tollgate"], "fallbacks": names}} if names else entry


def _of_alias(alias: str, meant: Entry) -> Entry:
    return {**meant, "display_name": f"{alias} ({meant['display_name']})"}


def _of_choice(name: str, choice: ServedChoice, entries: Mapping[str, Entry]) -> Entry:
    """Its candidates have different prices and sizes. It can do what one of them can do."""
    words = {word for model in choice.models for word in entries[model]["tollgate"]["capabilities"]}
    details = {
        "price": None,
        "context_tokens": None,
        "max_output_tokens": None,
        "capabilities": sorted(words),
        "free": all(entries[model]["tollgate"]["free"] for model in choice.models),
        "mode": "chat",
    }
    return _entry(name, choice.description or f"The cheapest of {', '.join(choice.models)}", details)


def _entry(shown: str, description: str, details: Entry) -> Entry:
    return {"display_name": shown, **({"description": description} if description else {}), "tollgate": details}


def _prices(price: Price | str | None) -> dict[str, str] | None:
    """None if only LiteLLM knows the price. A kind of token without a price of its own is left out."""
    if price == "free":
        return {"unit": UNIT, "input": "0", "output": "0"}
    if not isinstance(price, Price):
        return None
    amounts = {kind: getattr(price, field) for kind, field in _PRICES.items()}
    return {"unit": UNIT, **{kind: _plain(amount) for kind, amount in amounts.items() if amount is not None}}


def _tools(price: Price | str | None) -> dict[str, str]:
    return {name: _plain(usd) for name, usd in price.server_tools.items()} if isinstance(price, Price) else {}


def _plain(amount: float) -> str:
    return f"{Decimal(str(amount)).normalize():f}"


def capabilities(model: Model) -> list[str]:
    """What every target of a model can do, as far as its provider and config/gateway.yaml say."""
    if model.mode != "chat":
        return []
    providers = {target.model.partition("/")[0] for target in model.targets}
    seeing = model.vision is not False
    thinks = model.reasoning if model.reasoning is not None else all(_thinks(target) for target in model.targets)
    able = {
        "documents": seeing and providers <= _WITH_DOCUMENTS,
        "images": seeing,
        "reasoning": thinks,
        "streaming": True,
        "structured_output": providers <= _WITH_SCHEMAS,
        "tools": model.tools is not False,
    }
    return [word for word, holds in able.items() if holds]


def _thinks(target: Target) -> bool:
    return "claude" in target.model or target.model.startswith(f"{EMBEDDED}/")
