"""tenants/*.yaml: who may call which models, and how much. One file for each tenant, without files named _*.

The fields are in tenant/model.py, their rules in tenant/checks.py. `_defaults.yaml` fills what a file leaves out, field
by field; a limit of `null` in a file removes the default.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

from tollgate.config.gateway.model_names import ModelNames
from tollgate.config.tenant import checks, key_files
from tollgate.config.tenant.model import Defaults, Tenant, TenantKey
from tollgate.config.validate import validate_partly
from tollgate.config.yaml.document import Document, Loc, literal_variables
from tollgate.config.yaml.document import parse as parse_yaml
from tollgate.config.yaml.text import read
from tollgate.errors import InputError, Problem

__all__ = ["DEFAULTS_FILE", "Defaults", "Drafts", "Tenant", "TenantKey", "Tenants", "check", "files", "load", "parse"]

DEFAULTS_FILE = "_defaults.yaml"
File = TypeVar("File", bound=Defaults)
Drafts = Mapping[Path, str | None]  # the new text of a file; None if the file will be removed


@dataclass(frozen=True)
class Tenants:
    """All tenants by id, sorted. `warnings` stop nothing."""

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
    """Every tenant of a directory; InputError with all problems of all files. With `None` model names are not checked.

    `drafts` replaces the files of those names, so that a change is checked before it is written.
    """
    problems: list[Problem] = []
    tenants: list[Tenant] = []
    defaults = _load_defaults(directory, names, problems)
    for file in sorted({*files(directory), *drafts}):
        try:
            text = drafts[file] if file in drafts else _read(file, directory)
            tenant, own = _parse(Tenant, text, file, defaults, names) if text is not None else (None, [])
        except InputError as error:
            tenant, own = None, error.problems
        problems += own
        tenants += [tenant] if tenant is not None else []
    reported = {
        (problem.file, problem.path) for problem in problems
    }  # `${KEY}` is also not a model, but one report is enough
    problems += [problem for problem in check(tenants, names) if (problem.file, problem.path) not in reported]
    problems += [problem for tenant in tenants for problem in checks.file_name(tenant)]
    problems += key_files.problems(directory.parent, tenants)
    if problems:
        raise InputError(problems)
    moment = now or datetime.now(UTC)
    warnings = tuple(sorted(problem for tenant in tenants for problem in checks.warnings(tenant, moment)))
    return Tenants(tuple(sorted(tenants, key=lambda tenant: tenant.id)), warnings)


def files(directory: Path) -> list[Path]:
    """The tenant files of a directory, sorted. Empty if the directory does not exist."""
    if not directory.is_dir():
        return []
    return sorted(
        path
        for path in directory.iterdir()
        if path.suffix in (".yaml", ".yml") and not path.name.startswith(("_", "."))
    )


def parse(text: str, file: Path, defaults: Defaults | None = None, names: ModelNames | None = None) -> Tenant:
    """One file alone. `check` finds problems that depend on other files or on the gateway.

    Without `names`, a tenant whose models are a group cannot say which they are (`Tenant.models` raises KeyError).
    """
    tenant, problems = _parse(Tenant, text, file, defaults, names)
    if tenant is None or problems:
        raise InputError(problems)
    return tenant


def check(tenants: Collection[Tenant], names: ModelNames | None) -> list[Problem]:
    """Problems across files: an id or key that is used twice, a model that does not exist."""
    problems = list(checks.across(tenants))
    if names is not None:
        problems += [problem for tenant in tenants for problem in checks.model_checks(tenant, names)]
    return problems


def _read(file: Path, directory: Path) -> str:
    if file.is_symlink() and not _real(file).is_relative_to(_real(directory)):
        message = "a symbolic link that leads out of its directory"
        raise InputError([Problem(file, 0, "", message, "replace the link by the file")])
    if file.exists() and not file.is_file():  # reading a pipe would block
        raise InputError([Problem(file, 0, "", "expected a file", "remove it, or begin its name with _")])
    return read(file)


def _real(path: Path) -> Path:
    """Path.resolve raises for a circle of links; this does not, and opening the file fails later."""
    return Path(os.path.realpath(path))


def _load_defaults(directory: Path, names: ModelNames | None, problems: list[Problem]) -> Defaults | None:
    """None if the file does not exist or has problems. The problems are reported once, not for every tenant."""
    for other in (directory / "_defaults.yml", directory / "_default.yaml"):
        if os.path.lexists(other):
            problems.append(Problem(other, 0, "", "nothing reads this file", f"rename it to {DEFAULTS_FILE}"))
    file = directory / DEFAULTS_FILE
    if not os.path.lexists(file):
        return None
    try:
        defaults, own = _parse(Defaults, _read(file, directory), file)
    except InputError as error:
        defaults, own = None, error.problems
    if defaults is not None and names is not None:
        own += checks.model_checks(defaults, names)
    problems += own
    return None if own else defaults


def _parse(
    model: type[File], text: str, file: Path, defaults: Defaults | None = None, names: ModelNames | None = None
) -> tuple[File | None, list[Problem]]:
    """The readable part of the file, and all problems of the file alone."""
    document = parse_yaml(text, file)
    problems = list(literal_variables(document, "a key can be env:NAME or file:PATH; other variables are not read"))
    problems += _no_list(document)
    if defaults is not None:
        document = replace(document, data=_filled(document.data, defaults.document.data))
    parsed, wrong = validate_partly(model, document)
    places = {problem.path for problem in problems}
    problems += [problem for problem in wrong if problem.path not in places]
    if parsed is not None:
        parsed._document = document
        if isinstance(parsed, Tenant):
            parsed._names, parsed._defaults = names or ModelNames(), None if defaults is None else defaults.document
        problems += checks.own_checks(parsed)
    return parsed, problems


def _no_list(document: Document) -> Iterator[Problem]:
    """Refuse `allowed_models:` without entries, for example if all are commented out: it would allow every model."""
    keys = document.data.get("keys")
    places: list[tuple[Loc, Any]] = [((), document.data)]
    places += [(("keys", index), key) for index, key in enumerate(keys if isinstance(keys, list) else ())]
    for loc, mapping in places:
        if isinstance(mapping, dict) and mapping.get("allowed_models", "") is None:
            hint = "name the models, or remove the field"
            yield document.problem((*loc, "allowed_models"), "expected a list, found none", hint)


def _filled(own: dict[str, Any], defaults: dict[str, Any]) -> dict[str, Any]:
    """`own`, filled from `defaults`: mappings field by field, everything else whole."""
    filled = {**defaults, **own}
    for key, value in own.items():
        other = defaults.get(key)
        if isinstance(value, dict) and isinstance(other, dict):
            filled[key] = _filled(value, other)
    return filled
