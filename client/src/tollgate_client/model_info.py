"""The facts about one model: from the gateway's list, from custom_models, or from both."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any, Literal

from tollgate_client import prices
from tollgate_client.errors import ConfigurationError
from tollgate_client.part import Answer, Part
from tollgate_client.prices import Price

Tier = Literal["small", "medium", "large"]
TIERS: tuple[Tier, ...] = ("small", "medium", "large")
# A model whose output costs at most this, in USD per million tokens, is of the tier; above the last it is large.
SMALL_UP_TO, MEDIUM_UP_TO = Decimal(2), Decimal(12)
_RATES = ("requests_per_minute", "tokens_per_minute")


class ModelEntry(Part):
    """One entry of the gateway's list, as it came. `tollgate` has price, sizes and capabilities."""

    id: str
    display_name: str | None = None
    description: str | None = None
    tollgate: Part | None = None


class ModelList(Answer):
    data: list[ModelEntry]


@dataclass(frozen=True)
class RateLimits:
    """Of a custom model: how much a router may send in any 60 seconds. None is no limit."""

    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None


@dataclass(frozen=True)
class ModelInfo:
    """`price` is None where it is unknown; `capabilities` is None where nothing is known about them.

    `fallbacks` are models of the gateway that may answer in its place, each at its own price.

    `metadata` is what custom_models said beside: free text for your program, except the names in docs/guides/python.md.
    """

    name: str
    display_name: str = ""
    description: str = ""
    price: Price | None = None
    context_tokens: int | None = None
    max_output_tokens: int | None = None
    capabilities: frozenset[str] | None = None
    free: bool = False
    mode: str = "chat"
    fallbacks: tuple[str, ...] = ()
    source: Literal["gateway", "custom"] = "gateway"
    rate_limits: RateLimits = RateLimits()
    metadata: Mapping[str, Any] = field(default_factory=dict)

    @property
    def tier(self) -> Tier:
        """`metadata["tier"]`, else by the price of output; models that cost nothing or an unknown price are small."""
        for tier in TIERS:
            if self.metadata.get("tier") == tier:
                return tier
        output = self.price.output if self.price else Decimal(0)
        return "small" if output <= SMALL_UP_TO else "medium" if output <= MEDIUM_UP_TO else "large"

    def can(self, capability: str) -> bool:
        """Whether the model has it; True also where nothing is known, because the gateway then decides."""
        return self.capabilities is None or capability in self.capabilities


def of_entry(entry: ModelEntry) -> ModelInfo:
    """From the gateway's list. A value of a wrong type counts as not known."""
    details = entry.tollgate or Part()
    free = details.get("free") is True
    abilities, others = details.get("capabilities"), details.get("fallbacks")
    known = isinstance(abilities, list)
    stated = {name: _mapping(details.get(name)) for name in ("price", "server_tools")}
    return ModelInfo(
        name=entry.id,
        display_name=entry.display_name or entry.id,
        description=entry.description or "",
        price=prices.FREE if free else prices.of_gateway(stated["price"], stated["server_tools"]),
        context_tokens=_count(details.get("context_tokens")),
        max_output_tokens=_count(details.get("max_output_tokens")),
        capabilities=frozenset(ability for ability in abilities if isinstance(ability, str)) if known else None,
        free=free,
        fallbacks=tuple(name for name in others if isinstance(name, str)) if isinstance(others, list) else (),
        mode=details.get("mode") if isinstance(details.get("mode"), str) else "chat",
    )


@dataclass(frozen=True)
class CustomModel:
    """The facts that a program gives about a model: a model of its own, or fields that override the gateway's."""

    name: str
    price: Price | None
    rate_limits: RateLimits
    metadata: Mapping[str, Any]

    @classmethod
    def of(
        cls,
        name: str,
        pricing: Mapping[str, object] | None,
        rate_limits: Mapping[str, object] | None,
        metadata: Mapping[str, Any] | None,
    ) -> CustomModel:
        if not name or not isinstance(name, str):
            raise ConfigurationError(f"expected the name of a model, found {name!r}")
        for what, stated in (("rate_limits", rate_limits), ("metadata", metadata)):
            if stated is not None and not isinstance(stated, Mapping):
                raise ConfigurationError(f"expected {what} of {name} as a mapping, found {type(stated).__name__}")
        more = dict(metadata or {})
        _check_metadata(name, more)
        if "tier" in more and more["tier"] not in TIERS:
            raise ConfigurationError(f"metadata of {name}: expected tier {', '.join(TIERS)}; found {more['tier']!r}")
        price = None if pricing is None else prices.of_pricing(name, pricing)
        return cls(name, price, _rates(name, rate_limits or {}), more)

    @classmethod
    def of_mapping(cls, name: str, stated: Mapping[str, Any]) -> CustomModel:
        """One value of custom_models: `pricing`, `rate_limits` and `metadata`, each optional."""
        if not isinstance(stated, Mapping):
            kind = type(stated).__name__
            raise ConfigurationError(f"custom model {name}: expected pricing, rate_limits and metadata; found {kind}")
        unknown = sorted(set(map(str, stated)) - {"pricing", "rate_limits", "metadata"})
        if unknown:
            raise ConfigurationError(
                f"custom model {name}: expected pricing, rate_limits or metadata; found {', '.join(unknown)}"
            )
        return cls.of(name, stated.get("pricing"), stated.get("rate_limits"), stated.get("metadata"))

    def over(self, info: ModelInfo | None) -> ModelInfo:
        """The gateway's `info` with these fields in place of its own; without `info` a model of its own."""
        base = info or ModelInfo(self.name, display_name=self.name, source="custom")
        more = self.metadata
        abilities = more.get("capabilities")
        return replace(
            base,
            price=self._price_over(base.price),
            free=base.free if self.price is None else self.price.free,
            context_tokens=_count(more.get("context_tokens", more.get("context_window"))) or base.context_tokens,
            max_output_tokens=_count(more.get("max_output_tokens")) or base.max_output_tokens,
            capabilities=base.capabilities if abilities is None else frozenset(map(str, abilities)),
            mode=str(more.get("mode", base.mode)),
            rate_limits=self.rate_limits,
            metadata=dict(more),
        )

    def _price_over(self, price: Price | None) -> Price | None:
        """A price without `server_tools` leaves the gateway's prices of tools in force."""
        if self.price is None or price is None or self.price.server_tools is not None:
            return self.price or price
        return replace(self.price, server_tools=price.server_tools)


def _check_metadata(name: str, more: Mapping[str, Any]) -> None:
    for size in ("context_tokens", "context_window", "max_output_tokens"):
        if more.get(size) is not None and _count(more[size]) is None:
            raise ConfigurationError(f"metadata of {name}: expected {size} as a whole number from 1")
    abilities, mode = more.get("capabilities"), more.get("mode", "chat")
    if abilities is not None and (isinstance(abilities, str) or not isinstance(abilities, Iterable)):
        raise ConfigurationError(f"metadata of {name}: expected capabilities as a list of names")
    if not isinstance(mode, str):
        raise ConfigurationError(f"metadata of {name}: expected mode as text")


def _rates(name: str, stated: Mapping[str, object]) -> RateLimits:
    unknown = sorted(set(stated) - set(_RATES))
    wrong = sorted(key for key, value in stated.items() if value is not None and _count(value) is None)
    if unknown or wrong:
        raise ConfigurationError(
            f"rate_limits of {name}: expected {' and '.join(_RATES)} as whole numbers from 1; "
            f"found {', '.join(unknown or wrong)}"
        )
    return RateLimits(*(_count(stated.get(key)) for key in _RATES))


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None


def _mapping(value: object) -> object:
    return value.plain() if isinstance(value, Part) else value
