"""Secrets of the stack that are being changed while it runs: what is on disk meanwhile, and who may use what.

    secrets/NAME          what everybody uses
    secrets/NAME~next     what everybody will use
    secrets/NAME~old      what somebody may still use
    secrets/ROTATION      a second login to the database, while the first one's password changes

Whatever interrupts a rotation, these files say how far it came, and a deploy in between hands out what works.
"""

from __future__ import annotations

import json
from pathlib import Path

from tollgate.config.secret import Secret
from tollgate.site import Site
from tollgate.stack import secrets

NEXT, OLD = "~next", "~old"
ROTATION = "postgres_rotation_password"
DATABASE_USER, ROTATION_USER = "litellm", "litellm_rotation"


def next_of(site: Site, name: str) -> Path:
    return site.secrets_dir / f"{name}{NEXT}"


def old_of(site: Site, name: str) -> Path:
    return site.secrets_dir / f"{name}{OLD}"


def beside(site: Site, name: str) -> list[Secret]:
    """What is valid as well as the secret itself, while it is rotated."""
    current = secrets.read(site, name)
    found = [secrets.read_file(path) for path in (next_of(site, name), old_of(site, name)) if path.exists()]
    return [secret for secret in found if secret != current]


def promote(site: Site, name: str, *, keep_old: bool = False) -> None:
    """NAME~next becomes NAME; the old one is kept where somebody goes on using it for a while."""
    old = old_of(site, name)
    if keep_old and not old.exists():
        secrets.store(old, secrets.read(site, name))
    next_of(site, name).replace(site.secrets_dir / name)


def rotation_password(site: Site) -> Secret | None:
    """The password of the second login, while there is one: replicas then use that."""
    path = site.secrets_dir / ROTATION
    return secrets.read_file(path) if path.exists() else None


def database_user(site: Site) -> str:
    return ROTATION_USER if rotation_password(site) else DATABASE_USER


class Labels:
    """The digest of a container's secrets that its label carries, where the secrets were changed without recreating it.

    Compose recreates what has another label. Redis and Postgres must not be, so their label stays as it was made.
    """

    def __init__(self, site: Site) -> None:
        self._file = site.rendered_dir / "live-labels.json"
        self._known: dict[str, list[str]] = json.loads(self._file.read_text()) if self._file.exists() else {}

    def of(self, service: str, digest: str) -> str:
        """The label for secrets of this digest: the one its container has, where it was told of them."""
        now, label = self._known.get(service, ("", ""))
        return label if now == digest else digest

    def keep(self, service: str, digest: str, label: str) -> None:
        """From now on secrets of `digest` are what the container labelled `label` knows."""
        self._known[service] = [digest, label]
        temporary = self._file.with_suffix(".new")
        temporary.write_text(json.dumps(self._known))
        temporary.replace(self._file)
