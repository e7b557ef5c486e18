"""The files of a rotation of the stack's own secrets.

    secrets/NAME          the current secret
    secrets/NAME~next     the new secret, which services will use next
    secrets/NAME~old      the old secret, which some services may still use
    secrets/ROTATION      the password of a second database login, while the first login's password changes

After an interruption these files show how far the rotation came. A deploy in between publishes secrets that work.
"""

from __future__ import annotations

import json
from pathlib import Path

from tollgate import disk
from tollgate.config.secret import Secret
from tollgate.site import Site
from tollgate.stack.secrets import store as secrets

NEXT, OLD = "~next", "~old"
ROTATION = "postgres_rotation_password"
DATABASE_USER, ROTATION_USER = "litellm", "litellm_rotation"


def next_of(site: Site, name: str) -> Path:
    return site.secret(f"{name}{NEXT}")


def old_of(site: Site, name: str) -> Path:
    return site.secret(f"{name}{OLD}")


def also_valid(site: Site, name: str) -> list[Secret]:
    """The secrets that are valid in addition to the current one during a rotation."""
    current = secrets.read(site, name)
    others = [secrets.read_file(path) for path in (next_of(site, name), old_of(site, name)) if path.exists()]
    return [secret for secret in others if secret != current]


def promote(site: Site, name: str, *, keep_old: bool = False) -> None:
    """Rename NAME~next to NAME. `keep_old` keeps the old secret as NAME~old for services that still use it."""
    old = old_of(site, name)
    if keep_old and not old.exists():
        secrets.store(old, secrets.read(site, name))
    next_of(site, name).replace(site.secret(name))


def rotation_password(site: Site) -> Secret | None:
    """The password of the second database login, which replicas use during a rotation. None outside a rotation."""
    path = site.secret(ROTATION)
    return secrets.read_file(path) if path.exists() else None


def database_user(site: Site) -> str:
    return ROTATION_USER if rotation_password(site) else DATABASE_USER


class Labels:
    """The labels of containers whose secrets changed while they ran. A label contains a digest of the secrets.

    Compose recreates a container whose label changes. Redis and Postgres must keep running, so their label stays.
    """

    def __init__(self, site: Site) -> None:
        self._file = site.secret_labels_file
        self._known: dict[str, list[str]] = json.loads(self._file.read_text()) if self._file.exists() else {}

    def of(self, service: str, digest: str) -> str:
        """The label for secrets with this digest. The container's present label if it already uses these secrets."""
        now, label = self._known.get(service, ("", ""))
        return label if now == digest else digest

    def keep(self, service: str, digest: str, label: str) -> None:
        """Record that the container with the label `label` now uses the secrets with this digest."""
        self._known[service] = [digest, label]
        disk.replace(self._file, json.dumps(self._known))
