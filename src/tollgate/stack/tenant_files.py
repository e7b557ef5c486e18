"""Tenant files on disk: which one a tenant has, and writing them so that nobody ever reads half of one."""

from __future__ import annotations

import os
from pathlib import Path

from tollgate.config.tenants import Drafts, Tenant
from tollgate.config.text import read
from tollgate.config.validate import did_you_mean
from tollgate.errors import TollgateError
from tollgate.site import Site
from tollgate.stack.configuration import Configuration


def find(configuration: Configuration, tenant: str) -> Tenant:
    """The tenant of this id; TollgateError with the likeliest one where there is none."""
    for one in configuration.tenants:
        if one.id == tenant:
            return one
    known = [one.id for one in configuration.tenants]
    raise TollgateError(
        f"there is no tenant {tenant[:63]!r}", did_you_mean(tenant, known) or "see `tollgate tenant list`"
    )


def new_file(site: Site, tenant: str) -> Path:
    return site.tenants_dir / f"{tenant}.yaml"


def text_of(tenant: Tenant) -> str:
    return read(tenant.file)


def write(drafts: Drafts) -> list[Path]:
    """Write or remove each file at once (temporary name, then rename); return those that changed."""
    changed = []
    for file, text in drafts.items():
        if text is None:
            file.unlink(missing_ok=True)
        elif not file.exists() or file.read_text() != text:
            _write(file, text)
        else:
            continue
        changed.append(file)
    return changed


def _write(file: Path, text: str) -> None:
    mode = file.stat().st_mode & 0o777 if file.exists() else 0o644
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = file.with_name(f".{file.name}.new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        os.fchmod(stream.fileno(), mode)
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    temporary.replace(file)
