"""When the last good backup was, where node-exporter finds it for Prometheus."""

from __future__ import annotations

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


def directory(site: Site) -> Path:
    """Mounted into node-exporter; whoever deploys writes there, whoever the exporter runs as reads."""
    return site.rendered_dir / "metrics"


def prepare(site: Site) -> None:
    """Before Docker does: what it makes for a mount is root's, and a backup may be taken by another user."""
    directory(site).mkdir(parents=True, exist_ok=True)
    directory(site).chmod(0o755)


def tell(site: Site, made: Archive) -> None:
    """Replace the figures at once: a half-written file would be an error of every scrape."""
    prepare(site)
    taken, rows = made.manifest.created.timestamp(), sum(made.manifest.rows.values())
    temporary = directory(site) / "backup.new"
    temporary.write_text(_TEXT.format(taken=f"{taken:.0f}", size=made.file.stat().st_size, rows=rows))
    temporary.chmod(0o644)
    temporary.replace(directory(site) / "backup.prom")
