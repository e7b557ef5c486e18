"""var/upgrade.json: the last change of release, for `make rollback` and for one that was interrupted."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from tollgate.errors import TollgateError
from tollgate.site import Site


@dataclass(frozen=True)
class Record:
    """`before` served until `target` was put in its place; `backup` was taken in between, '' where none was."""

    before: str
    target: str
    backup: str = ""
    at: str = ""
    finished: bool = False


def read(site: Site) -> Record | None:
    file = _file(site)
    if not file.is_file():
        return None
    try:
        return Record(**json.loads(file.read_text(encoding="utf-8")))
    except (ValueError, TypeError):
        hint = "move it away; `make upgrade TO=...` and `make restore` need none"
        raise TollgateError(f"{file}: expected what `tollgate upgrade` writes, found something else", hint) from None


def write(site: Site, record: Record) -> None:
    """Replace the record, whole or not at all."""
    file = _file(site)
    file.parent.mkdir(parents=True, exist_ok=True)
    values = asdict(record) | {"at": record.at or datetime.now(UTC).isoformat(timespec="seconds")}
    temporary = file.with_name(f".{file.name}.new")
    temporary.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")
    temporary.replace(file)


def forget(site: Site) -> None:
    _file(site).unlink(missing_ok=True)


def _file(site: Site) -> Path:
    return site.home / "var" / "upgrade.json"
