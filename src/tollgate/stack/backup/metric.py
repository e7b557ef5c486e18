"""Writes the time of the last good backup to a file, which node-exporter reads for Prometheus."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from tollgate import disk
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


def prepare(site: Site) -> None:
    """Create the directory. Otherwise Docker creates it for the mount, owned by root; backups run as another user."""
    site.metrics_dir.mkdir(parents=True, exist_ok=True)
    site.metrics_dir.chmod(0o755)


def tell(site: Site, archive: Archive) -> None:
    """Replace the file atomically: a half-written file would make every scrape fail."""
    taken, rows = archive.manifest.created.timestamp(), sum(archive.manifest.rows.values())
    _write(site, "backup", _TEXT.format(taken=f"{taken:.0f}", size=archive.file.stat().st_size, rows=rows))


def tell_base(site: Site, taken: datetime) -> None:
    """Write the time of the newest base backup."""
    _write(site, "base-backup", _BASE.format(taken=f"{taken.timestamp():.0f}"))


def forget_base(site: Site) -> None:
    """The schedule is off, so no alert may watch the age of the last base backup."""
    (site.metrics_dir / "base-backup.prom").unlink(missing_ok=True)


def last(site: Site) -> datetime | None:
    """The time of the newest backup. None if `tell` has not written one."""
    file = site.metrics_dir / "backup.prom"
    match = _TAKEN.search(file.read_text()) if file.is_file() else None
    return datetime.fromtimestamp(int(match[1]), UTC) if match else None


def _write(site: Site, name: str, text: str) -> None:
    prepare(site)
    disk.replace(site.metrics_dir / f"{name}.prom", text)
