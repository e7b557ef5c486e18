"""How config/gateway.yaml says requests find their target: retries, timeouts, cache, chains, cheapest choice, edge."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag

from tollgate.config.models import Seconds
from tollgate.config.validate import Input

Names = Annotated[tuple[str, ...], Field(strict=False, min_length=1)]


def _chain_shape(value: Any) -> str:
    return "name" if isinstance(value, str) else "list"


# A list of models, or the name of a chain.
Chain = Annotated[Annotated[Names, Tag("list")] | Annotated[str, Tag("name")], Discriminator(_chain_shape)]


class Routing(Input):
    """How a request finds its target, and what happens when that fails."""

    strategy: Literal["simple-shuffle", "least-busy", "latency-based-routing", "cost-based-routing"] = Field(
        default="simple-shuffle", description="which target of the same order; simple-shuffle goes by weight"
    )
    retries: int = Field(default=2, ge=0, le=10, description="more tries at a target that answered with a 5xx")
    timeout_s: Seconds = Field(default=600, description="the longest a target may take")
    allowed_fails: int = Field(
        default=3, ge=0, description="failures within cooldown_s after which a target is left alone for cooldown_s"
    )
    cooldown_s: Annotated[float, Field(ge=0, le=3600)] = Field(
        default=5, description="0: never; a model's only target is never left alone"
    )
    drop_params: bool = Field(default=True, description="drop what a provider does not know, instead of refusing it")


class Cache(Input):
    """Answers to identical requests of the same tenant, given again without asking the provider. Off unless said."""

    enabled: bool = Field(default=False, description="true: identical requests are answered from memory, at no cost")
    ttl_s: int = Field(default=600, ge=1, le=86_400, description="seconds an answer may be given again")


class Cheapest(Input):
    """A model that is, for each request, the cheapest of `models` that the tenant may use and that can do it."""

    description: str = Field(default="", description="for people; `tollgate models --json` shows it")
    models: Chain = Field(description="candidates: a list of models, or the name of a chain")
    max_cost: Annotated[float, Field(gt=0, le=1000)] | None = Field(
        default=None, description="USD that one request may cost at most; dearer ones are refused"
    )


class Edge(Input):
    """What nginx lets through. The request limit is for each key, not each address: teams sit behind one NAT."""

    requests_per_second: int = Field(default=50, ge=1, description="of each key")
    burst: int = Field(default=100, ge=0, description="requests of one key that may come at once above that")
    max_body_mb: int = Field(default=100, ge=1, le=2000, description="the largest request")
    read_timeout_s: Seconds = Field(default=600, description="silence after which nginx gives a request up")
    connect_timeout_s: Seconds = Field(default=5, description="until a replica takes the connection")
