"""Renders the files for backups: pgBackRest's configuration, the archive command, the container with the schedule."""

from __future__ import annotations

import json
from pathlib import Path, PurePosixPath

from tollgate.config.env.settings import Settings
from tollgate.render.output import Rendered, fill
from tollgate.site import Site

DIRECTORY = "pgbackrest"
FILE = PurePosixPath("compose/backup.yaml")
# The part of the operator's home that the container sees.
SITE = "/site"


def render_archiving(root: Path, settings: Settings) -> list[Rendered]:
    """pgBackRest's files. They always exist, because Postgres also calls the script while archiving is off."""
    templates = root / "config" / "pgbackrest"
    configuration = fill(templates / "pgbackrest.conf.j2", days=settings.backup_keep_days)
    script = fill(templates / "archive.sh.j2", archiving=bool(settings.backup_schedule))
    return [
        Rendered(PurePosixPath(DIRECTORY, "pgbackrest.conf"), configuration),
        Rendered(PurePosixPath(DIRECTORY, "archive.sh"), script, 0o755),
    ]


def render_schedule(root: Path, home: Path, settings: Settings, user: str, salt: str, litellm: str) -> list[Rendered]:
    """Nothing without a schedule. `user` is uid:gid, `litellm` the release. `salt` identifies the salt key of the
    database; archives contain it even without secrets.
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
    """Sources, targets and whether they are read-only, as YAML. The container sees only what archives contain."""
    read = [""] if secrets else ["config", "tenants"]
    # With the deployment's lock, a backup and a deploy wait for each other.
    site = Site(home, home)
    written = [str(path.relative_to(home)) for path in (site.backups_dir, site.lock_file, site.metrics_dir)]
    return [
        (json.dumps(str(home / path)), json.dumps(str(PurePosixPath(SITE, path))), only)
        for paths, only in ((read, "true"), (written, "false"))
        for path in paths
    ]
