"""Finds tenant files and writes them atomically, so that no program reads half a file."""

from __future__ import annotations

from pathlib import Path

from tollgate import disk
from tollgate.config.tenant.load import Drafts
from tollgate.config.tenant.model import Tenant
from tollgate.config.validate import did_you_mean
from tollgate.config.yaml.text import read
from tollgate.errors import TollgateError
from tollgate.site import Site
from tollgate.stack.configuration import Configuration


def find(configuration: Configuration, tenant: str) -> Tenant:
    """The tenant with this id. TollgateError with a similar id if there is none."""
    for candidate in configuration.tenants:
        if candidate.id == tenant:
            return candidate
    known = [candidate.id for candidate in configuration.tenants]
    raise TollgateError(
        f"there is no tenant {tenant[:63]!r}", did_you_mean(tenant, known) or "see `tollgate tenant list`"
    )


def new_file(site: Site, tenant: str) -> Path:
    return site.tenants_dir / f"{tenant}.yaml"


def text_of(tenant: Tenant) -> str:
    return read(tenant.file)


def write(drafts: Drafts) -> list[Path]:
    """Write each file atomically (temporary name, then rename), or remove it. Return the files that changed."""
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
    disk.replace(file, text, mode, durable=True)
