"""The prices of config/gateway.yaml as LiteLLM and the gateway processes read them: of tokens, and of server tools."""

from __future__ import annotations

from decimal import Decimal

from tollgate.config.gateway.model import Price, Target
from tollgate.config.gateway.providers import PROVIDERS

# Servers of one's own with OpenAI's chat completions. They run no tools.
_CHAT_ONLY = ("hosted_vllm", "llamafile", "lm_studio", "ollama_chat", "custom_openai")
# Without `native_messages`, both routes translate a Messages request for these to chat completions.
_TRANSLATED = (*_CHAT_ONLY, "openai", "openrouter")


def token_prices(price: object) -> dict[str, Decimal]:
    """USD per token. Without a cache price the input price counts, because LiteLLM would charge nothing."""
    if price == "free":
        price = Price(input_per_million=0, output_per_million=0)
    if not isinstance(price, Price):
        return {}  # `litellm`: LiteLLM's own price list
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


def tool_prices(price: object) -> dict[str, str] | None:
    """USD for one use of each tool that the provider runs. None if all are free, or LiteLLM's list has the prices."""
    if not isinstance(price, Price):
        return None
    return {name: f"{Decimal(str(usd)):f}" for name, usd in price.server_tools.items()}


def may_run_tools(target: Target) -> bool:
    """A server of one's own that only knows chat completions runs no tools."""
    return target.native_messages or PROVIDERS[target.model.partition("/")[0]].name not in _CHAT_ONLY


def translated(target: Target) -> bool:
    """Whether this target's server never gets a Messages request as the client sent it. False if we do not know."""
    return not target.native_messages and target.model.partition("/")[0] in _TRANSLATED


def search_price(price: object) -> dict[str, object]:
    """LiteLLM bills one tool of the providers, web search. Its table has a price for each size of a search."""
    searched = price.server_tools.get("web_search") if isinstance(price, Price) else None
    if not searched:
        return {}
    sizes = (f"search_context_size_{size}" for size in ("low", "medium", "high"))
    return {"search_context_cost_per_query": dict.fromkeys(sizes, Decimal(str(searched)))}
