"""tenants/*.yaml: who may call which models, and how much. One file a tenant; a name starting with _ is not one.

The fields are in tenant_model.py, their rules in tenant_checks.py. `_defaults.yaml` fills what a file leaves out, field
by field; a limit of `null` in a file means none in spite of it.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

from tollgate.config import tenant_checks
from tollgate.config.gateway_checks import literal_variables
from tollgate.config.model_names import ModelNames
from tollgate.config.source import Document, Loc
from tollgate.config.source import parse as parse_yaml
from tollgate.config.tenant_model import Defaults, Tenant, TenantKey
from tollgate.config.text import read
from tollgate.config.validate import validate_partly
from tollgate.errors import InputError, Problem

__all__ = ["DEFAULTS_FILE", "Defaults", "Drafts", "Tenant", "TenantKey", "Tenants", "check", "files", "load", "parse"]

DEFAULTS_FILE = "_defaults.yaml"
File = TypeVar("File", bound=Defaults)
Drafts = Mapping[Path, str | None]  # what a file is about to say; None where it is about to go


@dataclass(frozen=True)
class Tenants:
    """All tenants by id, sorted; `warnings` are worth showing and stop nothing."""

    tenants: tuple[Tenant, ...]
    warnings: tuple[Problem, ...]

    def __iter__(self) -> Iterator[Tenant]:
        return iter(self.tenants)

    def __len__(self) -> int:
        return len(self.tenants)


def load(
    directory: Path,
    names: ModelNames | None = None,
    now: datetime | None = None,
    drafts: Drafts = MappingProxyType({}),
) -> Tenants:
    """Every tenant of a directory; InputError with all problems of all files. `None` leaves model names unchecked.

    `drafts` is read in place of the files of those names, so that a change is checked before it is written.
    """
    problems: list[Problem] = []
    tenants: list[Tenant] = []
    defaults = _load_defaults(directory, names, problems)
    for file in sorted({*files(directory), *drafts}):
        try:
            text = drafts[file] if file in drafts else _read(file, directory)
            tenant, found = _parse(Tenant, text, file, defaults, names) if text is not None else (None, [])
        except InputError as error:
            tenant, found = None, error.problems
        problems += found
        tenants += [tenant] if tenant is not None else []
    told = {(problem.file, problem.path) for problem in problems}  # `${KEY}` is no model either, but once is enough
    problems += [problem for problem in check(tenants, names) if (problem.file, problem.path) not in told]
    problems += [problem for tenant in tenants for problem in tenant_checks.file_name(tenant)]
    if problems:
        raise InputError(problems)
    moment = now or datetime.now(UTC)
    warnings = tuple(sorted(problem for tenant in tenants for problem in tenant_checks.warnings(tenant, moment)))
    return Tenants(tuple(sorted(tenants, key=lambda tenant: tenant.id)), warnings)


def files(directory: Path) -> list[Path]:
    """The tenant files of a directory, sorted; none where there is no such directory."""
    if not directory.is_dir():
        return []
    return sorted(
        path
        for path in directory.iterdir()
        if path.suffix in (".yaml", ".yml") and not path.name.startswith(("_", "."))
    )


def parse(text: str, file: Path, defaults: Defaults | None = None, names: ModelNames | None = None) -> Tenant:
    """One file by itself: everything but what depends on other files or on the gateway (that is `check`).

    Without `names`, a tenant whose models are a group cannot say which they are (`Tenant.models` raises KeyError).
    """
    tenant, problems = _parse(Tenant, text, file, defaults, names)
    if tenant is None or problems:
        raise InputError(problems)
    return tenant


def check(tenants: Collection[Tenant], names: ModelNames | None) -> list[Problem]:
    """What only shows when all files are seen together: an id or key used twice, a model that does not exist."""
    problems = list(tenant_checks.across(tenants))
    if names is not None:
        problems += [problem for tenant in tenants for problem in tenant_checks.model_checks(tenant, names)]
    return problems


def _read(file: Path, directory: Path) -> str:
    if file.is_symlink() and not _real(file).is_relative_to(_real(directory)):
        message = "a symbolic link that leads out of its directory"
        raise InputError([Problem(file, 0, "", message, "put the file itself here")])
    if file.exists() and not file.is_file():  # a pipe would be waited for
        raise InputError([Problem(file, 0, "", "expected a file", "take it away, or begin its name with _")])
    return read(file)


def _real(path: Path) -> Path:
    """Path.resolve raises for links in a circle; this leaves them to whoever opens the file."""
    return Path(os.path.realpath(path))


def _load_defaults(directory: Path, names: ModelNames | None, problems: list[Problem]) -> Defaults | None:
    """None where there is no such file, or where it has problems: they are told once, not with every tenant."""
    for other in (directory / "_defaults.yml", directory / "_default.yaml"):
        if os.path.lexists(other):
            problems.append(Problem(other, 0, "", "is read by nobody", f"rename it to {DEFAULTS_FILE}"))
    file = directory / DEFAULTS_FILE
    if not os.path.lexists(file):
        return None
    try:
        defaults, found = _parse(Defaults, _read(file, directory), file)
    except InputError as error:
        defaults, found = None, error.problems
    if defaults is not None and names is not None:
        found += tenant_checks.model_checks(defaults, names)
    problems += found
    return None if found else defaults


def _parse(
    model: type[File], text: str, file: Path, defaults: Defaults | None = None, names: ModelNames | None = None
) -> tuple[File | None, list[Problem]]:
    """What the file says, as far as it can be understood, and all that is wrong with it by itself."""
    document = parse_yaml(text, file)
    problems = list(literal_variables(document, "a key can be env:NAME or file:PATH; nothing else is looked up"))
    problems += _no_list(document)
    if defaults is not None:
        document = replace(document, data=_filled(document.data, defaults.document.data))
    made, wrong = validate_partly(model, document)
    places = {problem.path for problem in problems}
    problems += [problem for problem in wrong if problem.path not in places]
    if made is not None:
        made._document = document
        if isinstance(made, Tenant):
            made._names, made._defaults = names or ModelNames(), None if defaults is None else defaults.document
        problems += tenant_checks.own_checks(made)
    return made, problems


def _no_list(document: Document) -> Iterator[Problem]:
    """`allowed_models:` with every line below it commented out must not come to mean every model."""
    keys = document.data.get("keys")
    places: list[tuple[Loc, Any]] = [((), document.data)]
    places += [(("keys", index), key) for index, key in enumerate(keys if isinstance(keys, list) else ())]
    for loc, mapping in places:
        if isinstance(mapping, dict) and mapping.get("allowed_models", "") is None:
            hint = "name the models, or drop the key"
            yield document.problem((*loc, "allowed_models"), "expected a list, found none", hint)


def _filled(own: dict[str, Any], defaults: dict[str, Any]) -> dict[str, Any]:
    """`own`, and what it lacks from `defaults`; mappings field by field, all else as a whole."""
    filled = {**defaults, **own}
    for key, value in own.items():
        other = defaults.get(key)
        if isinstance(value, dict) and isinstance(other, dict):
            filled[key] = _filled(value, other)
    return filled
