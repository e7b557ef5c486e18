"""When the last good backup was, where node-exporter finds it for Prometheus."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

from tollgate.site import Site
from tollgate.stack.backup.archive import Archive

_TEXT = """\
# HELP tollgate_backup_last_success_timestamp_seconds When the newest backup that was read back was taken.
# TYPE tollgate_backup_last_success_timestamp_seconds gauge
tollgate_backup_last_success_timestamp_seconds {taken}
# HELP tollgate_backup_bytes Its size.
# TYPE tollgate_backup_bytes gauge
tollgate_backup_bytes {size}
# HELP tollgate_backup_rows Rows of all tables in it.
# TYPE tollgate_backup_rows gauge
tollgate_backup_rows {rows}
"""
_BASE = """\
# HELP tollgate_base_backup_last_success_timestamp_seconds When the newest base backup was taken: what a moment needs.
# TYPE tollgate_base_backup_last_success_timestamp_seconds gauge
tollgate_base_backup_last_success_timestamp_seconds {taken}
"""
_TAKEN = re.compile(r"^tollgate_backup_last_success_timestamp_seconds (\d+)$", re.MULTILINE)


def directory(site: Site) -> Path:
    """Mounted into node-exporter; whoever deploys writes there, whoever the exporter runs as reads."""
    return site.rendered_dir / "metrics"


def prepare(site: Site) -> None:
    """Before Docker does: what it makes for a mount is root's, and a backup may be taken by another user."""
    directory(site).mkdir(parents=True, exist_ok=True)
    directory(site).chmod(0o755)


def tell(site: Site, made: Archive) -> None:
    """Replace the figures at once: a half-written file would be an error of every scrape."""
    taken, rows = made.manifest.created.timestamp(), sum(made.manifest.rows.values())
    _write(site, "backup", _TEXT.format(taken=f"{taken:.0f}", size=made.file.stat().st_size, rows=rows))


def tell_base(site: Site, taken: datetime) -> None:
    """When the newest base backup was taken."""
    _write(site, "base-backup", _BASE.format(taken=f"{taken.timestamp():.0f}"))


def forget_base(site: Site) -> None:
    """None is taken any more, and that is meant: its age is no trouble."""
    (directory(site) / "base-backup.prom").unlink(missing_ok=True)


def last(site: Site) -> datetime | None:
    """When the newest backup was taken; None where none was told of."""
    file = directory(site) / "backup.prom"
    found = _TAKEN.search(file.read_text()) if file.is_file() else None
    return datetime.fromtimestamp(int(found[1]), UTC) if found else None


def _write(site: Site, name: str, text: str) -> None:
    prepare(site)
    temporary = directory(site) / f"{name}.new"
    temporary.write_text(text)
    temporary.chmod(0o644)
    temporary.replace(directory(site) / f"{name}.prom")
