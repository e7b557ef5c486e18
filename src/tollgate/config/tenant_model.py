"""What a tenant file may say: the types, their bounds, and a description of each field.

The descriptions are the reference: tenants/schema.json and docs/tenants.md are generated from this file. A type's own
description (Usd, Count, ...) says what to write instead, and is the hint of an error.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, Field, PrivateAttr, WithJsonSchema

from tollgate.config.expiry import Expiry
from tollgate.config.key_source import KeySource
from tollgate.config.model_names import ModelNames
from tollgate.config.source import Document
from tollgate.config.validate import Hint, Input

DEFAULT_KEY = "default"
# LiteLLM 1.108 refuses a team when spend is above max_budget and reserves nothing for a budget of 0: one call passes.
_MONEY = Hint("USD, not zero, which LiteLLM cannot hold: leave it out for no limit, or say `suspended: true`")
_LETTERS = "lower-case letters, digits, - and _, at most 63"
_EMAIL = r"^$|^[A-Za-z0-9.!#$%&'*+/=?^_{|}~-]+@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*$"

Usd = Annotated[float, Field(gt=0, le=1e9), _MONEY]
Count = Annotated[int, Field(ge=1, le=2**31 - 1), Hint("a whole number; leave it out for no limit")]
Email = Annotated[str, Field(max_length=254, pattern=_EMAIL), Hint("an e-mail address")]
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$"), Hint(_LETTERS)]


def _not_empty(models: tuple[str, ...]) -> tuple[str, ...]:
    if not models:
        raise ValueError("an empty list would mean every model to LiteLLM\nname the models, or leave the key out")
    return models


def _one_line(text: str) -> str:
    if not text.isprintable():
        raise ValueError(f"expected one line of text, found {ascii(text)[:60]}\nwithout line breaks and tabs")
    return text


ModelList = Annotated[
    tuple[str, ...],
    Field(strict=False),
    AfterValidator(_not_empty),
    WithJsonSchema({"type": "array", "items": {"type": "string"}, "minItems": 1, "uniqueItems": True}),
]
_KEY_HELP = (
    "Where the key comes from: `env:NAME`, `file:PATH` (below the checkout) or the key itself, which draws a warning. "
    "Left out, one is generated and kept in `secrets/tenants/"
)


class Identity(Input):
    """Who the tenant is."""

    id: Name = Field(
        description=f"The file's name without .yaml: {_LETTERS}. Never change it: spend and keys hang on it.",
        examples=["engineering"],
    )
    name: Annotated[str, AfterValidator(_one_line)] = Field(
        default="",
        max_length=200,
        description="For people, as dashboards and reports show it; the id unless given.",
        examples=["Engineering"],
    )
    owner: Email = Field(
        default="", description="E-mail address of who answers for the spend.", examples=["lead@example.org"]
    )
    api_key: KeySource | None = Field(
        default=None, description=f"{_KEY_HELP}<id>`.", examples=["env:ENGINEERING_KEY", "file:secrets/engineering.key"]
    )


class Windows(Input):
    """Money by the calendar: a day, week (from Monday) or month in UTC, after which spend counts from zero again."""

    daily_limit: Usd | None = Field(default=None, description="USD a day; a day begins at 00:00 UTC.", examples=[100])
    weekly_limit: Usd | None = Field(
        default=None, description="USD a week; a week begins on Monday, 00:00 UTC.", examples=[500]
    )
    monthly_limit: Usd | None = Field(
        default=None, description="USD a month; a month begins on the 1st, 00:00 UTC.", examples=[2000]
    )


class ModelBudget(Input):
    """What one model may cost the tenant, by the same calendar."""

    daily_limit: Usd | None = Field(default=None, description="USD a day for this model.", examples=[20])
    monthly_limit: Usd | None = Field(default=None, description="USD a month for this model.", examples=[400])


class Budget(Windows):
    """What the tenant may spend over all its keys."""

    soft_limit: Usd | None = Field(
        default=None,
        description="USD in the month (in the day, where daily_limit is the only limit) from which `tenant usage` "
        "marks the tenant. Nothing is refused.",
        examples=[1500],
    )
    per_model: Mapping[str, ModelBudget] = Field(
        default_factory=dict,
        description="A model's name (not an alias) and what may be spent on it, within the limits above.",
        examples=[{"claude-opus-5-5": {"daily_limit": 20}}],
    )


class RateLimits(Input):
    """How much at once. Counted over all replicas together."""

    requests_per_minute: Count | None = Field(default=None, description="Requests in a minute.", examples=[60])
    requests_per_hour: Count | None = Field(default=None, description="Requests in an hour.", examples=[1000])
    requests_per_day: Count | None = Field(default=None, description="Requests in a day.", examples=[10000])
    tokens_per_minute: Count | None = Field(
        default=None, description="Tokens in a minute, input and output together.", examples=[200000]
    )
    max_parallel_requests: Count | None = Field(
        default=None, description="Requests that run at the same time.", examples=[10]
    )


class TenantKey(Input):
    """One more key of the tenant, for a person or a CI job. It spends the tenant's budget; its own limits narrow it."""

    name: Name = Field(
        description=f"Unique within the file: {_LETTERS}. `default` is tenant.api_key.", examples=["alice"]
    )
    owner: Email = Field(default="", description="E-mail address of who uses the key.", examples=["alice@example.org"])
    api_key: KeySource | None = Field(default=None, description=f"{_KEY_HELP}<id>.<name>`.", examples=["env:ALICE_KEY"])
    expires: Expiry | None = Field(
        default=None,
        description="When the key stops working: the last day (until midnight UTC), or an exact time with its zone.",
        examples=["2027-01-31", "2027-01-31T18:00:00Z"],
    )
    allowed_models: ModelList | None = Field(
        default=None,
        description="Some of the tenant's models; all of them unless given.",
        examples=[["claude-haiku-5-5"]],
    )
    budget: Windows = Field(default=Windows(), description="What this key may spend, at most the tenant's own limits.")
    rate_limits: RateLimits = Field(default=RateLimits(), description="This key's pace, at most the tenant's own.")


class Defaults(Input):
    """tenants/_defaults.yaml: what holds for a tenant whose file says nothing else."""

    allowed_models: ModelList | None = Field(
        default=None,
        description="Models, aliases or `group:NAME` (config/gateway.yaml) the tenant may use; all unless given.",
        examples=[["claude-sonnet-5-5", "group:coding"]],
    )
    budget: Budget = Field(default=Budget(), description="What the tenant may spend over all its keys.")
    rate_limits: RateLimits = Field(default=RateLimits(), description="How much at once, over all keys and replicas.")
    metadata: Mapping[str, Any] = Field(
        default_factory=dict,
        description="Anything of your own, such as a cost centre; kept with the team in LiteLLM.",
        examples=[{"cost_centre": 4711}],
    )
    suspended: bool = Field(
        default=False, description="true refuses every request of the tenant's keys and keeps everything else."
    )
    _document: Document = PrivateAttr()

    @property
    def file(self) -> Path:
        return self._document.file

    @property
    def document(self) -> Document:
        """The file it came from, so that later checks can say where."""
        return self._document


class Tenant(Defaults):
    """One file of tenants/."""

    tenant: Identity = Field(description="Who the tenant is.")
    keys: Annotated[tuple[TenantKey, ...], Field(strict=False)] = Field(
        default=(), description="Further keys beside the tenant's own, each for one person or CI job."
    )
    _names: ModelNames = PrivateAttr(default_factory=ModelNames)
    _defaults: Document | None = PrivateAttr(default=None)

    @property
    def id(self) -> str:
        return self.tenant.id

    @property
    def models(self) -> tuple[str, ...] | None:
        """`allowed_models` with groups resolved to names; None means every model."""
        return None if self.allowed_models is None else self._names.expand(self.allowed_models)

    def models_of(self, key: TenantKey) -> tuple[str, ...] | None:
        """The names a key is narrowed to; None means all of the tenant's."""
        return None if key.allowed_models is None else self._names.expand(key.allowed_models)

    @property
    def all_keys(self) -> tuple[TenantKey, ...]:
        """The tenant's own key, called `default`, and then those of `keys`."""
        own = TenantKey.model_construct(name=DEFAULT_KEY, owner=self.tenant.owner, api_key=self.tenant.api_key)
        return (own, *self.keys)

    @property
    def defaults(self) -> Document | None:
        """The _defaults.yaml that filled what this file left out."""
        return self._defaults
