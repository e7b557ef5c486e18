"""A model of config/gateway.yaml: its targets, their prices (USD per million tokens), and what they can do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Discriminator, Field, Tag

from tollgate.config import gateway_checks
from tollgate.config.providers import Endpoint, ModelPath
from tollgate.config.validate import Input

Usd = Annotated[float, Field(ge=0, le=10_000)]
Seconds = Annotated[float, Field(gt=0, le=86_400)]


class Price(Input):
    """What one million tokens cost. A cache price left out is the input price, so that no token is ever free."""

    input_per_million: Usd = Field(description="a million tokens of prompt")
    output_per_million: Usd = Field(description="a million tokens of answer")
    cache_read_per_million: Usd | None = Field(default=None, description="read from the provider's prompt cache")
    cache_write_per_million: Usd | None = Field(default=None, description="written to it, for five minutes")
    cache_write_1h_per_million: Usd | None = Field(default=None, description="written to it, for an hour")


def _price_shape(value: Any) -> str:
    return "table" if isinstance(value, (dict, Price)) else "word"


PriceOrWord = Annotated[
    Annotated[Price, Tag("table")] | Annotated[Literal["free", "litellm"], Tag("word")], Discriminator(_price_shape)
]
_PRICE_HINT = (
    "input_per_million and output_per_million in USD, or `free`, or `litellm` where its own price list has the model"
)
_PLACE = r"^[a-z0-9][a-z0-9-]{1,62}$"


class Target(Input):
    """One place a model can be reached. Of several, the lowest `order` is tried first, `weight` shares within it."""

    model: ModelPath = Field(description="provider/model, as in anthropic/claude-sonnet-5-5")
    api_base: Endpoint | None = Field(default=None, description="the server's address; needed where it is your own")
    api_key: Annotated[str, AfterValidator(gateway_checks.key_reference)] | None = Field(
        default=None, description="env:NAME_API_KEY of a key in .env, or none; left out, it is the provider's own"
    )
    api_version: str | None = Field(
        default=None,
        pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}(-preview)?$",
        description="a version of the Azure API, as in 2024-10-21",
    )
    region: str | None = Field(default=None, pattern=_PLACE, description="for Bedrock and Vertex, as in eu-central-1")
    project: str | None = Field(default=None, pattern=_PLACE, description="for Vertex, the Google Cloud project")
    order: int = Field(default=1, ge=1, le=100, description="the lowest is tried first, the next when it failed")
    weight: int = Field(default=1, ge=1, le=1000, description="the share among targets of the same order")
    native_messages: bool = Field(default=False, description="true where the server itself answers /v1/messages")
    price: PriceOrWord | None = Field(default=None, description=f"the model's unless given here: {_PRICE_HINT}")
    timeout_s: Seconds | None = Field(default=None, description="seconds; the model's unless given here")
    headers: Mapping[str, str] = Field(default_factory=dict, description="sent with every request; never a credential")


class Model(Input):
    """A name that clients ask for."""

    description: str = Field(default="", description="for people; `tollgate models --json` shows it")
    targets: Annotated[tuple[Target, ...], Field(strict=False, min_length=1)] = Field(
        description="where it can be reached; what lacks its key in .env is left out"
    )
    price: PriceOrWord | None = Field(default=None, description=_PRICE_HINT)
    context_tokens: int | None = Field(
        default=None, ge=1, description="the context window; a longer prompt goes to context_window_fallbacks"
    )
    max_output_tokens: int | None = Field(
        default=None, ge=1, description="what it can answer at most; a request that asks for more is lowered to it"
    )
    tools: bool | None = Field(default=None, description="false where it cannot call tools; matters to `cheapest`")
    vision: bool | None = Field(default=None, description="false where it cannot see images; matters to `cheapest`")
    timeout_s: Seconds | None = Field(default=None, description="seconds; routing.timeout_s unless given here")
    mode: Literal["chat", "embedding"] = Field(default="chat", description="what it answers with")
    health_probe: bool = Field(default=False, description="true: replicas call it every five minutes, which you pay")


def price_of(target: Target, model: Model) -> Price | Literal["free", "litellm"] | None:
    """What counts for this target; None only before the checks have run."""
    return target.price if target.price is not None else model.price
