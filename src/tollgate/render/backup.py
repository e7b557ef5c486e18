"""What is rendered for backups: pgBackRest's configuration, the archive command, the container with the schedule."""

from __future__ import annotations

import json
from pathlib import Path, PurePosixPath

from tollgate.config.env import Settings
from tollgate.render.output import Rendered, fill

DIRECTORY = "pgbackrest"
FILE = PurePosixPath("compose/backup.yaml")
# What the container sees of the operator's home.
SITE = "/site"


def render_archiving(root: Path, settings: Settings) -> list[Rendered]:
    """Always there, because Postgres calls the script whether or not anything is archived."""
    templates = root / "config" / "pgbackrest"
    configuration = fill(templates / "pgbackrest.conf.j2", days=settings.backup_keep_days)
    script = fill(templates / "archive.sh.j2", archiving=bool(settings.backup_schedule))
    return [
        Rendered(PurePosixPath(DIRECTORY, "pgbackrest.conf"), configuration),
        Rendered(PurePosixPath(DIRECTORY, "archive.sh"), script, 0o755),
    ]


def render_schedule(root: Path, home: Path, settings: Settings, user: str, salt: str, litellm: str) -> list[Rendered]:
    """Nothing without a schedule. `user` is uid:gid; `salt` says which salt key the database is encrypted with, which
    archives carry also where they carry no secrets; `litellm` is the release.
    """
    if not settings.backup_schedule:
        return []
    environment = {
        "BACKUP_SCHEDULE": settings.backup_schedule,
        "BACKUP_KEEP": str(settings.backup_keep),
        "BACKUP_KEEP_DAYS": str(settings.backup_keep_days),
        "BACKUP_AGE_RECIPIENT": settings.backup_age_recipient,
        "BACKUP_LITELLM": litellm,
        "BACKUP_SALT": salt,
        "POSTGRES_HOST": "postgres",
    }
    text = fill(
        root / "compose" / "backup.yaml.j2",
        user=user,
        mounts=_mounts(home, secrets=bool(settings.backup_age_recipient)),
        environment=[(name, json.dumps(value)) for name, value in sorted(environment.items())],
    )
    return [Rendered(FILE, text)]


def _mounts(home: Path, *, secrets: bool) -> list[tuple[str, str, str]]:
    """Sources, targets and whether they are read-only, as YAML. What archives leave out is not even shown."""
    read = [""] if secrets else ["config", "tenants"]
    # The lock is the deployment's: a backup and a deploy wait for each other.
    written = ["var/backups", "var/lock", "var/rendered/metrics"]
    return [
        (json.dumps(str(home / path)), json.dumps(str(PurePosixPath(SITE, path))), only)
        for paths, only in ((read, "true"), (written, "false"))
        for path in paths
    ]
