"""The sections of config/gateway.yaml about routing: retries, timeouts, cache, chains, cheapest choice, edge."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag

from tollgate.config.gateway.fields import Seconds
from tollgate.config.validate import Input

Names = Annotated[tuple[str, ...], Field(strict=False, min_length=1)]


def _chain_shape(value: Any) -> str:
    return "name" if isinstance(value, str) else "list"


# A list of models, or the name of a chain.
Chain = Annotated[Annotated[Names, Tag("list")] | Annotated[str, Tag("name")], Discriminator(_chain_shape)]


class Routing(Input):
    """How a request finds its target, and what happens after a failure."""

    strategy: Literal["simple-shuffle", "least-busy", "latency-based-routing", "cost-based-routing"] = Field(
        default="simple-shuffle",
        description="how to choose among targets of the same order; simple-shuffle uses `weight`",
    )
    retries: int = Field(
        default=2,
        ge=0,
        le=10,
        description="retries after a failure, before other targets are tried; a 429 or a timeout is not retried",
    )
    timeout_s: Seconds = Field(default=600, description="seconds that a target may take")
    allowed_fails: int = Field(
        default=3,
        ge=0,
        description="failures within cooldown_s; after more, the target gets no requests for cooldown_s",
    )
    cooldown_s: Annotated[float, Field(ge=0, le=3600)] = Field(
        default=5, description="seconds; 0: never. A model's only target always gets requests"
    )
    drop_params: bool = Field(
        default=True, description="true: drop parameters that a provider does not know, instead of refusing the request"
    )


class Cache(Input):
    """The response cache: an identical request of the same tenant gets the stored answer. Off by default."""

    enabled: bool = Field(default=False, description="true: identical requests are answered from Redis, at no cost")
    ttl_s: int = Field(default=600, ge=1, le=86_400, description="seconds that an answer is kept")


class Cheapest(Input):
    """A model name. For each request it means the cheapest of `models` that the tenant may use and that can do it."""

    description: str = Field(default="", description="for people; `/v1/models` and `tollgate models --json` show it")
    models: Chain = Field(description="candidates: a list of models, or the name of a chain")
    max_cost: Annotated[float, Field(gt=0, le=1000)] | None = Field(
        default=None, description="the most USD that one request may cost; more expensive requests are refused"
    )


class Edge(Input):
    """Limits of nginx. It counts requests by key, not by address, because a whole team can share one NAT address."""

    requests_per_second: int = Field(default=50, ge=1, description="requests per second for each key")
    burst: int = Field(default=100, ge=0, description="requests of one key that may come at once above that rate")
    connections_per_address: int = Field(
        default=1000, ge=1, le=4000, description="open requests of one address; a whole company can share an address"
    )
    max_body_mb: int = Field(
        default=32, ge=1, le=500, description="the largest request in MB; Claude Code sends up to 32"
    )
    read_timeout_s: Seconds = Field(
        default=600, description="seconds without data from a replica, after which nginx ends the request"
    )
    connect_timeout_s: Seconds = Field(default=5, description="seconds that a replica has to accept a connection")
