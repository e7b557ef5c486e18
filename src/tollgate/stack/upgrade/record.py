"""var/upgrade.json: the last upgrade, for `make rollback` and to continue after an interruption."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

from tollgate import disk
from tollgate.errors import TollgateError
from tollgate.site import Site


@dataclass(frozen=True)
class Record:
    """`target` replaced the release `before`. `backup` is the archive taken before the switch, or empty."""

    before: str
    target: str
    backup: str = ""
    at: str = ""
    finished: bool = False


def read(site: Site) -> Record | None:
    file = site.upgrade_file
    if not file.is_file():
        return None
    try:
        return Record(**json.loads(file.read_text(encoding="utf-8")))
    except (ValueError, TypeError):
        hint = "move the file away; `make upgrade TO=...` and `make restore` work without it"
        raise TollgateError(f"{file}: expected what `tollgate upgrade` writes, found something else", hint) from None


def write(site: Site, record: Record) -> None:
    """Replace the record atomically."""
    file = site.upgrade_file
    file.parent.mkdir(parents=True, exist_ok=True)
    values = asdict(record) | {"at": record.at or datetime.now(UTC).isoformat(timespec="seconds")}
    disk.replace(file, json.dumps(values, indent=2) + "\n")


def forget(site: Site) -> None:
    site.upgrade_file.unlink(missing_ok=True)
