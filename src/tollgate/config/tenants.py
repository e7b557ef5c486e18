"""tenants/*.yaml: who may call which models, and how much. One file a tenant; a name starting with _ is not one.

Money is USD, windows are calendar days and months in UTC. Everything but `tenant.id` may be left out. A missing
`allowed_models` means every model of the gateway; a missing limit means none.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, Field, PrivateAttr

from tollgate.config.gateway_checks import literal_variables
from tollgate.config.key_source import KeySource
from tollgate.config.source import Document
from tollgate.config.source import parse as parse_yaml
from tollgate.config.text import read
from tollgate.config.validate import Input, did_you_mean, validate
from tollgate.errors import InputError, Problem

_ID = r"^[a-z0-9][a-z0-9_-]{0,62}$"
# LiteLLM 1.108 refuses a team when spend is above max_budget and reserves nothing for a budget of 0: one call passes.
_NO_ZERO = "LiteLLM does not hold a budget of zero; leave it out for no limit, or take the tenant's file away"

Usd = Annotated[float, Field(gt=0, le=1e9, description=_NO_ZERO)]
Count = Annotated[int, Field(ge=1, le=2**31 - 1, description="a whole number; leave it out for no limit")]


def _not_empty(models: tuple[str, ...]) -> tuple[str, ...]:
    if not models:
        raise ValueError("an empty list would mean every model to LiteLLM\nname the models, or leave the key out")
    return models


class Identity(Input):
    """Who the tenant is. `id` never changes: spend and keys hang on it."""

    id: str = Field(pattern=_ID, description="lower-case letters, digits, - and _, at most 63")
    name: str = Field(default="", max_length=200)
    owner: str = Field(default="", max_length=200, pattern=r"^$|^[^@\s]+@[^@\s]+$", description="an e-mail address")
    api_key: KeySource | None = Field(
        default=None, description="env:NAME, file:PATH or a key starting with sk-; left out, one is generated"
    )


class Budget(Input):
    daily_limit: Usd | None = None
    monthly_limit: Usd | None = None


class RateLimits(Input):
    requests_per_minute: Count | None = None
    requests_per_hour: Count | None = None
    requests_per_day: Count | None = None
    tokens_per_minute: Count | None = None
    max_parallel_requests: Count | None = None


class Tenant(Input):
    """One file."""

    tenant: Identity
    allowed_models: Annotated[tuple[str, ...], Field(strict=False), AfterValidator(_not_empty)] | None = None
    budget: Budget = Budget()
    rate_limits: RateLimits = RateLimits()
    metadata: Mapping[str, Any] = Field(default_factory=dict)
    _document: Document = PrivateAttr()

    @property
    def id(self) -> str:
        return self.tenant.id

    @property
    def file(self) -> Path:
        return self._document.file

    @property
    def document(self) -> Document:
        """The file it came from, so that later checks can say where."""
        return self._document


@dataclass(frozen=True)
class Tenants:
    """All tenants by id, sorted; `warnings` are worth showing and stop nothing."""

    tenants: tuple[Tenant, ...]
    warnings: tuple[Problem, ...]

    def __iter__(self) -> Iterator[Tenant]:
        return iter(self.tenants)

    def __len__(self) -> int:
        return len(self.tenants)


def load(directory: Path, known_models: Collection[str] | None = None) -> Tenants:
    """Every tenant of a directory; InputError with all problems of all files. `None` leaves model names unchecked."""
    problems: list[Problem] = []
    tenants: list[Tenant] = []
    for file in files(directory):
        try:
            tenants.append(parse(read(file), file))
        except InputError as error:
            problems += error.problems
    problems += check(tenants, known_models)
    if problems:
        raise InputError(problems)
    return Tenants(tuple(sorted(tenants, key=lambda tenant: tenant.id)), tuple(_warnings(tenants)))


def files(directory: Path) -> list[Path]:
    """The tenant files of a directory, sorted; none where there is no such directory."""
    if not directory.is_dir():
        return []
    return sorted(
        path
        for path in directory.iterdir()
        if path.suffix in (".yaml", ".yml") and not path.name.startswith(("_", "."))
    )


def parse(text: str, file: Path) -> Tenant:
    """One file by itself: everything but what depends on other files or on the gateway."""
    document = parse_yaml(text, file)
    problems = list(literal_variables(document, "a key can be env:NAME or file:PATH; nothing else is looked up"))
    try:
        tenant = validate(Tenant, document)
    except InputError as error:
        places = {problem.path for problem in problems}
        raise InputError([*problems, *(other for other in error.problems if other.path not in places)]) from None
    tenant._document = document
    problems += _own_checks(tenant)
    if problems:
        raise InputError(problems)
    return tenant


def check(tenants: Collection[Tenant], known_models: Collection[str] | None) -> list[Problem]:
    """What only shows when all files are seen together: an id or key used twice, a model that does not exist."""
    return [*_twice(tenants), *(_unknown_models(tenants, known_models) if known_models is not None else ())]


def _own_checks(tenant: Tenant) -> Iterator[Problem]:
    daily, monthly = tenant.budget.daily_limit, tenant.budget.monthly_limit
    if daily is not None and monthly is not None and daily > monthly:
        message = f"expected at most monthly_limit ({monthly:g}), found {daily:g}"
        yield tenant.document.problem(("budget", "daily_limit"), message, "lower one or raise the other")
    models = tenant.allowed_models or ()
    for index, model in enumerate(models):
        if model in models[:index]:
            yield tenant.document.problem(("allowed_models", index), f"{model} stands here twice", "keep the first")


def _twice(tenants: Collection[Tenant]) -> Iterator[Problem]:
    ids: dict[str, Tenant] = {}
    keys: dict[object, Tenant] = {}
    for tenant in tenants:
        first = ids.setdefault(tenant.id, tenant)
        if first is not tenant:
            message = f"{tenant.id} is the tenant of {first.file.name} already"
            yield tenant.document.problem(("tenant", "id"), message, "every tenant has an id of its own")
        if tenant.tenant.api_key is not None:
            first = keys.setdefault(tenant.tenant.api_key, tenant)
            if first is not tenant:
                message = f"the same key as in {first.file.name}"
                yield tenant.document.problem(("tenant", "api_key"), message, "a key belongs to one tenant")


def _unknown_models(tenants: Collection[Tenant], known: Collection[str]) -> Iterator[Problem]:
    for tenant in tenants:
        for index, model in enumerate(tenant.allowed_models or ()):
            if model not in known:
                message = f"unknown model {model[:60]!r}"
                yield tenant.document.problem(("allowed_models", index), message, did_you_mean(model, known))


def _warnings(tenants: Collection[Tenant]) -> Iterator[Problem]:
    for tenant in tenants:
        if tenant.tenant.api_key is not None and tenant.tenant.api_key.kind == "literal":
            hint = "use env:NAME or file:PATH, or leave it out and one is generated"
            yield tenant.document.problem(("tenant", "api_key"), "a key in a file that is committed is no secret", hint)
