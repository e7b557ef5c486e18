"""config/gateway.yaml: which models the gateway serves, at what price, and how requests are routed.

Money is USD per million tokens, times are seconds, sizes MB as nginx counts them (2^20 bytes). `parse` checks the
file as a whole: names that lead nowhere, circles, missing prices, all at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Discriminator, Field, Tag

from tollgate.config import backends, gateway_checks
from tollgate.config.backends import Backend, BackendName
from tollgate.config.model_names import ModelNames
from tollgate.config.providers import Endpoint, ModelPath
from tollgate.config.source import Document
from tollgate.config.source import parse as parse_yaml
from tollgate.config.text import read
from tollgate.config.validate import Input, validate
from tollgate.errors import InputError

Usd = Annotated[float, Field(ge=0, le=10_000)]
Seconds = Annotated[float, Field(gt=0, le=86_400)]


class Price(Input):
    """What one million tokens cost. A cache price left out is the input price, so that no token is ever free."""

    input_per_million: Usd
    output_per_million: Usd
    cache_read_per_million: Usd | None = None
    cache_write_per_million: Usd | None = None
    cache_write_1h_per_million: Usd | None = None


def _price_shape(value: Any) -> str:
    return "table" if isinstance(value, (dict, Price)) else "word"


PriceOrWord = Annotated[
    Annotated[Price, Tag("table")] | Annotated[Literal["free", "litellm"], Tag("word")], Discriminator(_price_shape)
]
_PRICE_HINT = (
    "input_per_million and output_per_million in USD, or `free`, or `litellm` where its own price list has the model"
)


class Target(Input):
    """One place a model can be reached. Of several, the lowest `order` is tried first, `weight` shares within it."""

    model: ModelPath = Field(description="provider/model, as in anthropic/claude-sonnet-5-5")
    api_base: Endpoint | None = None
    api_key: Annotated[str, AfterValidator(gateway_checks.key_reference)] | None = Field(
        default=None, description="env:NAME of a key in .env, or none; left out, it is the provider's own"
    )
    order: int = Field(default=1, ge=1, le=100)
    weight: int = Field(default=1, ge=1, le=1000)
    native_messages: bool = Field(default=False, description="true where the server itself answers /v1/messages")
    price: PriceOrWord | None = Field(default=None, description=_PRICE_HINT)
    headers: Mapping[str, str] = Field(default_factory=dict)


class Model(Input):
    """A name that clients ask for."""

    description: str = ""
    targets: Annotated[tuple[Target, ...], Field(strict=False, min_length=1)]
    price: PriceOrWord | None = Field(default=None, description=_PRICE_HINT)
    context_tokens: int | None = Field(default=None, ge=1)
    max_output_tokens: int | None = Field(default=None, ge=1)
    mode: Literal["chat", "embedding"] = "chat"
    health_probe: bool = False


class Routing(Input):
    """How a request finds its target, and what happens when that fails."""

    strategy: Literal["simple-shuffle", "least-busy", "latency-based-routing", "cost-based-routing"] = "simple-shuffle"
    retries: int = Field(default=2, ge=0, le=10)
    timeout_s: Seconds = 600
    allowed_fails: int = Field(default=3, ge=0)
    cooldown_s: Annotated[float, Field(ge=0, le=3600)] = 5


class Edge(Input):
    """What nginx lets through. The request limit is for each key, not each address: teams sit behind one NAT."""

    requests_per_second: int = Field(default=50, ge=1)
    burst: int = Field(default=100, ge=0)
    max_body_mb: int = Field(default=100, ge=1, le=2000)
    read_timeout_s: Seconds = 600
    connect_timeout_s: Seconds = 5


Name = Annotated[str, AfterValidator(gateway_checks.model_name)]


GroupName = Annotated[str, AfterValidator(gateway_checks.group_name)]


class Gateway(Input):
    """The whole file."""

    models: Annotated[dict[Name, Model], Field(min_length=1)]
    aliases: dict[Name, str] = Field(default_factory=dict)
    fallbacks: dict[str, Annotated[tuple[str, ...], Field(strict=False, min_length=1)]] = Field(default_factory=dict)
    groups: dict[GroupName, Annotated[tuple[str, ...], Field(strict=False, min_length=1)]] = Field(
        default_factory=dict, description="a name and the models or aliases it stands for in tenant files"
    )
    backends: dict[BackendName, Backend] = Field(
        default_factory=dict, description="model servers of your own; each is a model under its alias"
    )
    routing: Routing = Routing()
    edge: Edge = Edge()

    @property
    def names(self) -> frozenset[str]:
        """Everything a client or a tenant file may name."""
        return frozenset(self.models) | frozenset(self.aliases)

    @property
    def model_names(self) -> ModelNames:
        """What a tenant file may name, groups included."""
        return ModelNames(frozenset(self.models), self.aliases, self.groups)


def load(file: Path) -> Gateway:
    return parse(read(file), file)


def parse(text: str, file: Path) -> Gateway:
    """Raises InputError with every problem of the file at once."""
    document: Document = parse_yaml(text, file)
    problems = list(gateway_checks.literal_variables(document, "name a key of .env as env:NAME_API_KEY"))
    try:
        gateway = validate(Gateway, document)
    except InputError as error:
        places = {problem.path for problem in problems}
        raise InputError([*problems, *(other for other in error.problems if other.path not in places)]) from None
    taken = {name: f"a model, on line {document.line(('models', name))}" for name in gateway.models}
    taken |= {name: f"an alias, on line {document.line(('aliases', name))}" for name in gateway.aliases}
    problems += backends.problems(gateway.backends, taken, document)
    gateway = with_backends(gateway)
    problems += gateway_checks.cross_checks(gateway, document)
    if problems:
        raise InputError(problems)
    return gateway


def with_backends(gateway: Gateway) -> Gateway:
    """Each backend as the model that clients ask for."""
    served = {
        backend.alias: Model(
            description=f"{backend.kind.title}, {'run here' if backend.run else 'your own'}",
            targets=(Target.model_validate(backends.target(name, backend)),),
            context_tokens=backend.context_tokens,
            max_output_tokens=backend.max_output_tokens,
        )
        for name, backend in gateway.backends.items()
        if backend.somewhere
    }
    return gateway.model_copy(update={"models": {**served, **gateway.models}})
