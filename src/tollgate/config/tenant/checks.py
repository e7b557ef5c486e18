"""Rules of a tenant file that a type cannot express: limits that contradict each other, unknown names.

A limit that comes from _defaults.yaml is checked together with the file that uses it, because it can be right for one
tenant and wrong for another.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import datetime
from pathlib import Path

from tollgate import limits
from tollgate.config.gateway.model_names import GROUP, ModelNames
from tollgate.config.tenant.key_source import KeyOrigin
from tollgate.config.tenant.model import DEFAULT_KEY, Defaults, Tenant, TenantKey
from tollgate.config.validate import MOST, Input, did_you_mean
from tollgate.config.yaml.document import Document, Loc, dotted, visible
from tollgate.errors import Problem

# Shortest first. A shorter window must not allow more than a longer one.
_MONEY, _PACE, _RATES = (
    tuple(limit.name for limit in some) for some in (limits.BUDGETS, limits.REQUESTS, limits.RATES)
)
_FIX = "lower one or raise the other"


def own_checks(file: Defaults) -> Iterator[Problem]:
    """The problems of one file alone, also of _defaults.yaml."""
    yield from _rising(file, file.budget, ("budget",), _MONEY)
    yield from _rising(file, file.rate_limits, ("rate_limits",), _PACE)
    yield from _soft_limit(file)
    for model, cap in file.budget.per_model.items():
        loc = ("budget", "per_model", model)
        yield from _rising(file, cap, loc, _MONEY)
        if loc in file.document.lines:  # a default cap above the tenant's own limit has no effect
            yield from _within(file, cap, file.budget, loc, _MONEY)
    yield from _model_twice(file, file.allowed_models or (), ("allowed_models",))
    if isinstance(file, Tenant):
        for index, key in enumerate(file.keys):
            yield from _key(file, key, ("keys", index))
        yield from _key_names(file)


def model_checks(file: Defaults, names: ModelNames) -> Iterator[Problem]:
    """Models, aliases and groups that do not exist, and caps or keys for models the tenant may not use."""
    entries = file.allowed_models
    yield from itertools.islice(_unknown(file, entries or (), ("allowed_models",), names), MOST)
    # Unknown entries have their own problem. Check the rest without them.
    allowed = None if entries is None else names.expand(entry for entry in entries if entry in names)
    for model in file.budget.per_model:
        loc = ("budget", "per_model", model)
        if loc in file.document.lines:
            yield from _capped_model(file, model, loc, names, allowed)
    for index, key in enumerate(file.keys if isinstance(file, Tenant) else ()):
        place = ("keys", index, "allowed_models")
        yield from itertools.islice(_unknown(file, key.allowed_models or (), place, names), MOST)
        yield from _outside(file, key, place, names, allowed)


def across(tenants: Collection[Tenant]) -> Iterator[Problem]:
    """Problems across files: an id or a key that is used twice."""
    ids: dict[str, Tenant] = {}
    keys: dict[KeyOrigin, tuple[Path, str]] = {}
    for tenant in tenants:
        first = ids.setdefault(tenant.id, tenant)
        if first is not tenant:
            message = f"{tenant.id} is already the tenant of {first.file.name}"
            yield tenant.document.problem(("tenant", "id"), message, "give every tenant its own id")
        for loc, origin in origins(tenant):
            here = (tenant.file, dotted(loc))
            file, place = keys.setdefault(origin, here)
            if (file, place) != here:
                where = f"{place} of {file.name}" if file != tenant.file else place
                message = f"the same key as {where}"
                yield tenant.document.problem(loc, message, "a key belongs to one tenant and has one name")


def file_name(tenant: Tenant) -> Iterator[Problem]:
    """People and commands find a tenant's file by its id, so both must match."""
    if tenant.file.stem != tenant.id:
        message = f"expected the file's name, {visible(tenant.file.stem)}, found {tenant.id}"
        hint = f"rename the file to {tenant.id}.yaml; do not change the id of a tenant that is in use"
        yield tenant.document.problem(("tenant", "id"), message, hint)


def warnings(tenant: Tenant, now: datetime) -> Iterator[Problem]:
    """Warnings, which stop nothing."""
    for loc, origin in origins(tenant):
        if origin.kind == "literal":
            hint = "use env:NAME or file:PATH, or leave it out: then a key is generated"
            yield tenant.document.warning(loc, "a key in a committed file is not secret", hint)
    for index, key in enumerate(tenant.keys):
        if key.expires is not None and key.expires <= now:
            expired = f"expired on {key.expires:%Y-%m-%d %H:%M} UTC"
            yield tenant.document.warning(("keys", index, "expires"), expired, "remove the key, or set a later date")


def origins(tenant: Tenant) -> Iterator[tuple[Loc, KeyOrigin]]:
    """Each key source that the tenant's file names, with its place."""
    if tenant.tenant.api_key is not None:
        yield ("tenant", "api_key"), tenant.tenant.api_key
    for index, key in enumerate(tenant.keys):
        if key.api_key is not None:
            yield ("keys", index, "api_key"), key.api_key


def _key(tenant: Tenant, key: TenantKey, loc: Loc) -> Iterator[Problem]:
    for part, names, inner, outer in (
        ("budget", _MONEY, key.budget, tenant.budget),
        ("rate_limits", _RATES, key.rate_limits, tenant.rate_limits),
    ):
        place = (*loc, part)
        yield from _rising(tenant, inner, place, names if part == "budget" else _PACE)
        yield from _within(tenant, inner, outer, place, names)
    yield from _model_twice(tenant, key.allowed_models or (), (*loc, "allowed_models"))


def _key_names(tenant: Tenant) -> Iterator[Problem]:
    seen: dict[str, int] = {}
    for index, key in enumerate(tenant.keys):
        loc = ("keys", index, "name")
        if key.name == DEFAULT_KEY:
            yield tenant.document.problem(loc, "default is the name of the tenant's own key", "give it another name")
        elif seen.setdefault(key.name, index) != index:
            line = tenant.document.line(("keys", seen[key.name], "name"))
            yield tenant.document.problem(
                loc, f"a key called {key.name} is already on line {line}", "rename one of them"
            )


def _rising(file: Defaults, limits: Input, loc: Loc, names: Sequence[str]) -> Iterator[Problem]:
    """Compares each limit with the longer windows: a limit above a longer window's limit has no effect."""
    given = [(name, limit) for name in names if (limit := getattr(limits, name, None)) is not None]
    for (name, limit), (longer, most) in itertools.pairwise(given):
        if limit > most:
            message = f"expected at most {longer} ({most:.12g}), found {limit:.12g}"
            yield _problem(file, (*loc, name), (*loc, longer), message)


def _within(file: Defaults, inner: Input, outer: Input, loc: Loc, names: Sequence[str]) -> Iterator[Problem]:
    for name in names:
        limit, most = getattr(inner, name, None), getattr(outer, name, None)
        if limit is not None and most is not None and limit > most:
            message = f"expected at most the tenant's own {name} ({most:.12g}), found {limit:.12g}"
            yield file.document.problem((*loc, name), message, _FIX)


def _soft_limit(file: Defaults) -> Iterator[Problem]:
    soft = file.budget.soft_limit
    name = "monthly_limit" if file.budget.monthly_limit is not None else "daily_limit"
    hard = getattr(file.budget, name)
    if soft is not None and hard is not None and soft > hard:
        message = f"expected at most {name} ({hard:.12g}), found {soft:.12g}"
        yield _problem(file, ("budget", "soft_limit"), ("budget", name), message)


def _problem(file: Defaults, loc: Loc, other: Loc, message: str) -> Problem:
    """A problem at `loc`. If `loc` comes from _defaults.yaml, it is at `other`, and the hint says so."""
    defaults = file.defaults if isinstance(file, Tenant) else None
    taken = next((place for place in (loc, other) if place not in file.document.lines), None)
    if defaults is None or taken is None:
        return file.document.problem(loc, message, _FIX)
    hint = (
        f"{dotted(taken)} is from {defaults.file.name}:{defaults.line(taken)}; set it here too; null removes the limit"
    )
    return Problem(file.file, file.document.line(loc if taken == other else other), dotted(loc), message, hint)


def _model_twice(file: Defaults, models: Sequence[str], loc: Loc) -> Iterator[Problem]:
    seen: set[str] = set()
    for index, model in enumerate(models):
        if model in seen and loc in file.document.lines:
            yield file.document.problem((*loc, index), f"{visible(model)} is listed twice", "keep the first")
        seen.add(model)


def _unknown(file: Defaults, entries: Iterable[str], loc: Loc, names: ModelNames) -> Iterator[Problem]:
    for index, entry in enumerate(entries):
        if entry not in names and loc in file.document.lines:
            yield _unknown_model(file.document, (*loc, index), entry, names)


def _unknown_model(document: Document, loc: Loc, entry: str, names: ModelNames) -> Problem:
    if entry.startswith(GROUP):
        message = f"unknown group {entry.removeprefix(GROUP)[:60]!a}"
        closest = did_you_mean(entry, (GROUP + name for name in names.groups))
        return document.problem(loc, message, closest or "list groups in config/gateway.yaml under groups:")
    message = f"unknown model {entry[:60]!a}"
    return document.problem(loc, message, did_you_mean(entry, names.entries))


def _capped_model(
    file: Defaults, model: str, loc: Loc, names: ModelNames, allowed: Collection[str] | None
) -> Iterator[Problem]:
    if model in names.aliases:
        message = f"{model} is an alias"
        yield file.document.problem(loc, message, f"name the model: {names.aliases[model]}")
    elif model not in names.models:
        yield file.document.problem(loc, f"unknown model {model[:60]!a}", did_you_mean(model, names.models))
    elif isinstance(file, Tenant) and not names.reaches(model, allowed):
        yield file.document.problem(
            loc, f"the tenant may not use {model}", "add it to allowed_models, or remove the cap"
        )


def _outside(
    file: Defaults, key: TenantKey, loc: Loc, names: ModelNames, allowed: Collection[str] | None
) -> Iterator[Problem]:
    for index, entry in enumerate(key.allowed_models or ()):
        wanted = names.expand([entry]) if entry in names else ()
        missing = [name for name in wanted if not names.within(name, allowed)]
        if missing:
            message = f"the tenant itself may not use {', '.join(missing)[:200]}"
            yield file.document.problem((*loc, index), message, "a key can only use models of its tenant")
