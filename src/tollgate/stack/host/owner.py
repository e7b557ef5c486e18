"""The user who owns this deployment's files. The backup container runs as this user and writes the same files."""

from __future__ import annotations

import os

from tollgate.site import Site


def of(site: Site) -> tuple[int, int]:
    """Uid and gid of the owner of .env, or of the home if .env is missing."""
    kept = (site.env_file if site.env_file.exists() else site.home).stat()
    return kept.st_uid, kept.st_gid


def name(site: Site) -> str:
    """The owner as Compose's `user`: uid:gid."""
    return "{}:{}".format(*of(site))


def prepare(site: Site) -> None:
    """Create what the backup container writes, for its user, also if root deploys for another user."""
    site.backups_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    site.lock_file.touch(mode=0o600, exist_ok=True)
    if os.geteuid() == 0:
        for path in (site.backups_dir, site.lock_file, site.metrics_dir):
            os.chown(path, *of(site))
