"""Whose the backups are: the container with the schedule runs as that user, and must be able to write where we do."""

from __future__ import annotations

import os
from pathlib import Path

from tollgate.site import Site
from tollgate.stack.backup import metric


def of(site: Site) -> tuple[int, int]:
    """Uid and gid of whoever keeps this deployment's settings."""
    kept = (site.env_file if site.env_file.exists() else site.home).stat()
    return kept.st_uid, kept.st_gid


def name(site: Site) -> str:
    """The same as Compose's `user`."""
    return "{}:{}".format(*of(site))


def archives(site: Site) -> Path:
    return site.home / "var" / "backups"


def prepare(site: Site) -> None:
    """What the container writes is there before it, and its user's, also where root deploys for another user."""
    archives(site).mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = site.home / "var" / "lock"
    lock.touch(exist_ok=True)
    if os.geteuid() == 0:
        for path in (archives(site), lock, metric.directory(site)):
            os.chown(path, *of(site))
