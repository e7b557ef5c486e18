"""The migrations LiteLLM ships: `<name>/migration.sql` in the data package litellm-proxy-extras."""

from __future__ import annotations

import hashlib
import importlib.util
from dataclasses import dataclass, field
from pathlib import Path

from tollgate.litellm.migrate.refused import Refused

PACKAGE = "litellm_proxy_extras"


@dataclass(frozen=True, order=True)
class Migration:
    """One migration. Prisma orders them by name and its checksum is the sha256 of the file's bytes, in hex."""

    name: str
    sql: str = field(repr=False)
    checksum: str = field(repr=False)


def shipped_directory() -> Path:
    """Where the installed package keeps its migrations; found without importing it, its code is not needed."""
    found = importlib.util.find_spec(PACKAGE)
    if found is None or not found.submodule_search_locations:
        raise Refused(
            f"expected the Python package {PACKAGE}, which carries LiteLLM's migrations, found none",
            "rebuild the tollgate image, or name a directory with --migrations",
        )
    return Path(found.submodule_search_locations[0]) / "migrations"


def load(directory: Path) -> list[Migration]:
    """Read every migration, in the order Prisma applies them."""
    files = sorted(directory.glob("*/migration.sql"), key=lambda file: file.parent.name)
    if not files:
        raise Refused(
            f"expected migrations below {directory}, found none",
            "rebuild the tollgate image, or name another directory with --migrations",
        )
    return [_read(file) for file in files]


def _read(file: Path) -> Migration:
    content = file.read_bytes()
    return Migration(file.parent.name, content.decode(), hashlib.sha256(content).hexdigest())
