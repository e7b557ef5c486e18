"""The migrations LiteLLM ships: `<name>/migration.sql` in the data package litellm-proxy-extras."""

from __future__ import annotations

import hashlib
import importlib.util
from dataclasses import dataclass, field
from pathlib import Path

from tollgate.errors import TollgateError

PACKAGE = "litellm_proxy_extras"


@dataclass(frozen=True, order=True)
class Migration:
    """One migration. Prisma orders them by name. Its checksum is the sha256 of the file's bytes, in hex."""

    name: str
    sql: str = field(repr=False)
    checksum: str = field(repr=False)


def shipped_directory() -> Path:
    """The directory of migrations in the installed package. The package is not imported. Raises TollgateError."""
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise TollgateError(
            f"expected the Python package {PACKAGE} with LiteLLM's migrations, found none",
            "rebuild the tollgate image, or name a directory with --migrations",
        )
    return Path(spec.submodule_search_locations[0]) / "migrations"


def load(directory: Path) -> list[Migration]:
    """Read every migration, in the order in which Prisma applies them. Raises TollgateError if there are none."""
    files = sorted(directory.glob("*/migration.sql"), key=lambda file: file.parent.name)
    if not files:
        raise TollgateError(
            f"expected migrations below {directory}, found none",
            "rebuild the tollgate image, or name another directory with --migrations",
        )
    return [_read(file) for file in files]


def _read(file: Path) -> Migration:
    content = file.read_bytes()
    return Migration(file.parent.name, content.decode(), hashlib.sha256(content).hexdigest())
