"""What is rendered for backups: pgBackRest's configuration, the archive command, the container with the schedule."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from tollgate.config.env import Settings
from tollgate.render.output import Rendered, fill

DIRECTORY = "pgbackrest"


def render_archiving(root: Path, settings: Settings) -> list[Rendered]:
    """Always there, because Postgres calls the script whether or not anything is archived."""
    templates = root / "config" / "pgbackrest"
    configuration = fill(templates / "pgbackrest.conf.j2", days=settings.backup_keep_days)
    script = fill(templates / "archive.sh.j2", archiving=bool(settings.backup_schedule))
    return [
        Rendered(PurePosixPath(DIRECTORY, "pgbackrest.conf"), configuration),
        Rendered(PurePosixPath(DIRECTORY, "archive.sh"), script, 0o755),
    ]
