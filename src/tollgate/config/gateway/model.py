"""A model of config/gateway.yaml: its targets, their prices (USD per million tokens), and their abilities."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Discriminator, Field, Tag

from tollgate.config.endpoint import Endpoint
from tollgate.config.gateway.fields import Seconds, Usd, key_reference
from tollgate.config.gateway.providers import ModelPath
from tollgate.config.validate import Input


class Price(Input):
    """USD for one million tokens. Without a cache price the input price counts, so that no token is free."""

    input_per_million: Usd = Field(description="for a million input tokens")
    output_per_million: Usd = Field(description="for a million output tokens")
    cache_read_per_million: Usd | None = Field(
        default=None, description="for tokens read from the provider's prompt cache"
    )
    cache_write_per_million: Usd | None = Field(
        default=None, description="for tokens written to that cache for five minutes"
    )
    cache_write_1h_per_million: Usd | None = Field(
        default=None, description="for tokens written to that cache for an hour"
    )
    server_tools: Mapping[Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,63}$")], Usd] = Field(
        default_factory=dict,
        description="USD for one use of a tool that the provider runs, by its type without the date, as in "
        "`{web_search: 0.01}`; a tool without a price is refused",
    )


def _price_shape(value: Any) -> str:
    return "table" if isinstance(value, (dict, Price)) else "word"


PriceOrWord = Annotated[
    Annotated[Price, Tag("table")] | Annotated[Literal["free", "litellm"], Tag("word")], Discriminator(_price_shape)
]
Route = Literal["direct", "litellm"]
_PRICE_HINT = "input_per_million and output_per_million in USD, or `free`, or `litellm` to use LiteLLM's price list"
_PLACE = r"^[a-z0-9][a-z0-9-]{1,62}$"


class Target(Input):
    """One provider of a model. The lowest `order` is tried first; targets of one order share by `weight`."""

    model: ModelPath = Field(description="provider/model, as in anthropic/claude-sonnet-5-5")
    api_base: Endpoint | None = Field(default=None, description="the server's address; required for your own server")
    api_key: Annotated[str, AfterValidator(key_reference)] | None = Field(
        default=None, description="env:NAME_API_KEY for a key in .env, or none; default: the provider's own variable"
    )
    api_version: str | None = Field(
        default=None,
        pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}(-preview)?$",
        description="a version of the Azure API, as in 2024-10-21",
    )
    region: str | None = Field(default=None, pattern=_PLACE, description="for Bedrock and Vertex, as in eu-central-1")
    project: str | None = Field(default=None, pattern=_PLACE, description="for Vertex, the Google Cloud project")
    order: int = Field(
        default=1, ge=1, le=100, description="lower orders are tried first, higher ones after these failed"
    )
    weight: int = Field(default=1, ge=1, le=1000, description="the share of requests among targets of the same order")
    native_messages: bool = Field(default=False, description="true if the server itself answers /v1/messages")
    price: PriceOrWord | None = Field(default=None, description=f"default: the model's price. {_PRICE_HINT}")
    timeout_s: Seconds | None = Field(default=None, description="seconds; default: the model's timeout_s")
    route: Route | None = Field(default=None, description="direct or litellm; default: the model's route")
    headers: Mapping[str, str] = Field(
        default_factory=dict, description="headers for every request; a credential is refused here"
    )


class Model(Input):
    """A name that clients ask for."""

    display_name: str = Field(
        default="",
        max_length=100,
        description="the name in `/model` of Claude Code and in `/v1/models`; default: `Claude Sonnet 5.5` for "
        "claude-sonnet-5-5, otherwise the name itself",
    )
    description: str = Field(
        default="",
        description="for people; `/v1/models` and `tollgate models --json` show it, Claude Code its first 100 letters",
    )
    targets: Annotated[tuple[Target, ...], Field(strict=False, min_length=1)] = Field(
        description="the providers that can answer; a target without its key in .env is left out"
    )
    price: PriceOrWord | None = Field(default=None, description=_PRICE_HINT)
    context_tokens: int | None = Field(
        default=None, ge=1, description="the context window; a longer prompt goes to context_window_fallbacks"
    )
    max_output_tokens: int | None = Field(
        default=None, ge=1, description="the longest answer; a request that asks for more is lowered to this"
    )
    tools: bool | None = Field(default=None, description="false if it cannot call tools; used by `cheapest`")
    vision: bool | None = Field(default=None, description="false if it cannot read images; used by `cheapest`")
    reasoning: bool | None = Field(
        default=None, description="true if it can think before it answers; default: true for Claude, otherwise false"
    )
    timeout_s: Seconds | None = Field(default=None, description="seconds; default: routing.timeout_s")
    route: Route = Field(
        default="direct",
        description="direct: a gateway process serves it if it can; litellm: LiteLLM serves it",
    )
    mode: Literal["chat", "embedding"] = Field(default="chat", description="the kind of model")
    health_probe: bool = Field(
        default=False, description="true: the replicas call it every five minutes; the provider bills these calls"
    )


def price_of(target: Target, model: Model) -> Price | Literal["free", "litellm"] | None:
    """The price that applies to this target. None only before the checks have run."""
    return target.price if target.price is not None else model.price
