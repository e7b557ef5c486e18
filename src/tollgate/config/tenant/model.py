"""The fields of a tenant file: types, bounds, and a description of each.

tenants/schema.json and docs/tenants.md are generated from these descriptions. The description of a type (Usd, Count,
...) says what to write instead, and becomes the hint of an error.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, Field, PrivateAttr, WithJsonSchema

from tollgate.config.gateway.model_names import ModelNames
from tollgate.config.tenant.expiry import Expiry
from tollgate.config.tenant.key_source import KeySource
from tollgate.config.validate import Hint, Input
from tollgate.config.yaml.document import Document
from tollgate.errors import Mistake

DEFAULT_KEY = "default"
_MONEY = Hint("USD above zero: leave it out for no limit, or write `suspended: true` to stop the tenant")
_LETTERS = "lower-case letters, digits, - and _, at most 63"
_EMAIL = r"^$|^[A-Za-z0-9.!#$%&'*+/=?^_{|}~-]+@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*$"

Usd = Annotated[float, Field(gt=0, le=1e9), _MONEY]
Count = Annotated[int, Field(ge=1, le=2**31 - 1), Hint("a whole number; leave it out for no limit")]
Email = Annotated[str, Field(max_length=254, pattern=_EMAIL), Hint("an e-mail address")]
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$"), Hint(_LETTERS)]


def _not_empty(models: tuple[str, ...]) -> tuple[str, ...]:
    if not models:
        raise Mistake("an empty list means every model to LiteLLM", "name the models, or leave the field out")
    return models


def _one_line(text: str) -> str:
    if not text.isprintable():
        raise Mistake(f"expected one line of text, found {ascii(text)[:60]}", "without line breaks and tabs")
    return text


ModelList = Annotated[
    tuple[str, ...],
    Field(strict=False),
    AfterValidator(_not_empty),
    WithJsonSchema({"type": "array", "items": {"type": "string"}, "minItems": 1, "uniqueItems": True}),
]
_KEY_HELP = (
    "The source of the key: `env:NAME`, `file:PATH` (a separate plain file below the checkout), or the key itself, "
    "which causes a warning. Default: a generated key in `secrets/tenants/"
)


class Identity(Input):
    """The tenant's identity."""

    id: Name = Field(
        description=f"The file's name without .yaml: {_LETTERS}. Never change it: spend and keys belong to it.",
        examples=["engineering"],
    )
    name: Annotated[str, AfterValidator(_one_line)] = Field(
        default="",
        max_length=200,
        description="The name in dashboards and reports; default: the id.",
        examples=["Engineering"],
    )
    owner: Email = Field(
        default="", description="E-mail address of the person responsible for the spend.", examples=["lead@example.org"]
    )
    api_key: KeySource | None = Field(
        default=None, description=f"{_KEY_HELP}<id>`.", examples=["env:ENGINEERING_KEY", "file:secrets/engineering.key"]
    )


class Windows(Input):
    """Budgets by the calendar in UTC. Spend counts from zero after each day, week (from Monday) or month."""

    daily_limit: Usd | None = Field(default=None, description="USD a day; a day begins at 00:00 UTC.", examples=[100])
    weekly_limit: Usd | None = Field(
        default=None, description="USD a week; a week begins on Monday, 00:00 UTC.", examples=[500]
    )
    monthly_limit: Usd | None = Field(
        default=None, description="USD a month; a month begins on the 1st, 00:00 UTC.", examples=[2000]
    )


class ModelBudget(Input):
    """The budget for one model, by the same calendar."""

    daily_limit: Usd | None = Field(default=None, description="USD a day for this model.", examples=[20])
    monthly_limit: Usd | None = Field(default=None, description="USD a month for this model.", examples=[400])


class Budget(Windows):
    """The budget over all keys of the tenant."""

    soft_limit: Usd | None = Field(
        default=None,
        description="USD in the month (in the day, if daily_limit is the only limit). Nothing is refused. The alert "
        "TenantNearsBudget tells operators and the owner; `tenant usage` marks the tenant.",
        examples=[1500],
    )
    per_model: Mapping[str, ModelBudget] = Field(
        default_factory=dict,
        description="The name of a model (not an alias), and what may be spent on it within the limits above.",
        examples=[{"claude-opus-5-5": {"daily_limit": 20}}],
    )


class RateLimits(Input):
    """Limits on requests and tokens, counted over all replicas together."""

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
    """One more key of the tenant, for a person or a CI job. It spends the tenant's budget and can have lower limits."""

    name: Name = Field(
        description=f"Unique within the file: {_LETTERS}. `default` is tenant.api_key.", examples=["alice"]
    )
    owner: Email = Field(
        default="", description="E-mail address of the person who uses the key.", examples=["alice@example.org"]
    )
    api_key: KeySource | None = Field(default=None, description=f"{_KEY_HELP}<id>.<name>`.", examples=["env:ALICE_KEY"])
    expires: Expiry | None = Field(
        default=None,
        description="When the key stops working: the last day (until midnight UTC), or an exact time with its zone.",
        examples=["2027-01-31", "2027-01-31T18:00:00Z"],
    )
    allowed_models: ModelList | None = Field(
        default=None,
        description="Some of the tenant's models; default: all of them.",
        examples=[["claude-haiku-5-5"]],
    )
    budget: Windows = Field(default=Windows(), description="The budget of this key, at most the tenant's limits.")
    rate_limits: RateLimits = Field(
        default=RateLimits(), description="Limits on this key's requests and tokens, at most the tenant's limits."
    )


class Defaults(Input):
    """tenants/_defaults.yaml: the defaults for all tenant files."""

    allowed_models: ModelList | None = Field(
        default=None,
        description="Models, aliases or `group:NAME` (config/gateway.yaml) that the tenant may use; default: all.",
        examples=[["claude-sonnet-5-5", "group:coding"]],
    )
    budget: Budget = Field(default=Budget(), description="The budget over all keys of the tenant.")
    rate_limits: RateLimits = Field(
        default=RateLimits(), description="Limits on requests and tokens, over all keys and replicas."
    )
    metadata: Mapping[str, Any] = Field(
        default_factory=dict,
        description="Your own data, such as a cost centre; stored with the team in LiteLLM.",
        examples=[{"cost_centre": 4711}],
    )
    show_keys: bool = Field(
        default=False,
        description="true: on the page `/usage` each key of the tenant sees the names and the spend of the others.",
    )
    suspended: bool = Field(
        default=False, description="true: every request of the tenant's keys is refused; nothing else changes."
    )
    _document: Document = PrivateAttr()

    @property
    def file(self) -> Path:
        return self._document.file

    @property
    def document(self) -> Document:
        """The source file, so that later checks can name the line."""
        return self._document


class Tenant(Defaults):
    """One file of tenants/."""

    tenant: Identity = Field(description="The tenant's identity.")
    keys: Annotated[tuple[TenantKey, ...], Field(strict=False)] = Field(
        default=(), description="Further keys of the tenant, each for one person or CI job."
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
        """The names that a key may use; None means all of the tenant's."""
        return None if key.allowed_models is None else self._names.expand(key.allowed_models)

    @property
    def all_keys(self) -> tuple[TenantKey, ...]:
        """The tenant's own key, called `default`, then the keys in `keys`."""
        own = TenantKey.model_construct(name=DEFAULT_KEY, owner=self.tenant.owner, api_key=self.tenant.api_key)
        return (own, *self.keys)

    @property
    def defaults(self) -> Document | None:
        """The _defaults.yaml that filled the fields missing here."""
        return self._defaults
