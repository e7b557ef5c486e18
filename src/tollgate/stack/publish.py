"""Hands each container its secrets: one file a secret and service, owned by that container's user, mode 0400.

Compose mounts a `file:` secret as it is on the host and ignores `uid`, `gid` and `mode`, so a 0600 file of the
operator's could not be read by a container that is not root. The copies live under var/rendered/secrets (0700).
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tollgate.config import certificate
from tollgate.config.env import Settings
from tollgate.config.secret import Secret
from tollgate.errors import TollgateError
from tollgate.site import Site
from tollgate.stack import live_secrets, secrets
from tollgate.stack.backup import owner

POSTGRES, REDIS, NGINX, NOBODY, TOLLGATE, GRAFANA = 999, 999, 101, 65534, 10001, 472
# Their secrets are changed while they run (stack/live_secrets.py, stack/certificates.py), so their files are written
# over and not replaced: a container sees what a mounted file says, not what took its name.
LIVE = ("postgres", "redis", "nginx")
TLS_BUNDLE = "tls.pem"
# Made by the operator, not by us: where alerts are sent.
WEBHOOK = "alertmanager_webhook_url"


@dataclass(frozen=True)
class Published:
    """One secret file of one container; `uid` is the user the container runs as."""

    service: str
    name: str
    uid: int
    content: Secret

    @property
    def path(self) -> Path:
        return Path(self.service) / self.name


def published(site: Site, settings: Settings) -> list[Published]:
    """Everything every container may read; a service gets only what it needs."""

    def secret(name: str) -> Secret:
        return secrets.read(site, name)

    postgres, monitor, redis = (
        secret("postgres_password"),
        secret("postgres_monitor_password"),
        secret("redis_password"),
    )
    keys = {name: key.reveal() for name, key in sorted(settings.provider_keys.items())}
    webhook = secret(WEBHOOK) if (site.secrets_dir / WEBHOOK).exists() else Secret("")
    shown = certificate.load(settings, site.secrets_dir)
    return [
        *([Published("nginx", TLS_BUNDLE, NGINX, shown.bundle)] if shown else []),
        Published("postgres", "postgres_password", POSTGRES, postgres),
        Published("postgres", "monitor_password", POSTGRES, monitor),
        Published("redis", "redis_password", REDIS, redis),
        Published("redis", "redis_auth.conf", REDIS, redis_auth(redis, live_secrets.beside(site, "redis_password"))),
        Published("tollgate", "postgres_password", TOLLGATE, postgres),
        *([Published("backup", "postgres_password", owner.of(site)[0], postgres)] if settings.backup_schedule else []),
        Published("litellm", "postgres_password", NOBODY, live_secrets.rotation_password(site) or postgres),
        Published("litellm", "redis_password", NOBODY, redis),
        Published("litellm", "master_key", NOBODY, secret("litellm_master_key")),
        Published("litellm", "salt_key", NOBODY, secret("litellm_salt_key")),
        Published("litellm", "provider_keys.json", NOBODY, Secret(json.dumps(keys))),
        Published("postgres-exporter", "monitor_password", NOBODY, monitor),
        Published(
            "redis-exporter",
            "redis_password_exporter",
            NOBODY,
            Secret(json.dumps({"redis://redis:6379": redis.reveal()})),
        ),
        Published("grafana", "grafana_admin_password", GRAFANA, secret("grafana_admin_password")),
        Published("grafana", "grafana_secret_key", GRAFANA, secret("grafana_secret_key")),
        Published("alertmanager", WEBHOOK, NOBODY, webhook),
    ]


def redis_auth(password: Secret, beside: Sequence[Secret]) -> Secret:
    """What Redis includes: its password, and those that are valid `beside` it while it is rotated."""
    if not beside:
        return Secret(f"requirepass {password.reveal()}\n")
    passwords = " ".join(f">{one.reveal()}" for one in (password, *beside))
    return Secret(f"user default on {passwords} ~* &* +@all\n")


def published_basic(site: Site, settings: Settings) -> list[Published]:
    """What the one replica of `make basic` reads: its master key is the one key there is."""
    keys = {name: key.reveal() for name, key in sorted(settings.provider_keys.items())}
    return [
        Published("basic", "master_key", NOBODY, secrets.read(site, secrets.BASIC_KEY)),
        Published("basic", "provider_keys.json", NOBODY, Secret(json.dumps(keys))),
    ]


def digest(files: Iterable[Published], service: str) -> str:
    """Changes when any secret of `service` does. The values are random, so a digest in a label gives nothing away."""
    sha = hashlib.sha256()
    for file in files:
        if file.service == service:
            sha.update(f"{file.name}\0{file.content.reveal()}\0".encode())
    return sha.hexdigest()[:12]


def write(directory: Path, files: Sequence[Published], image: str) -> list[Path]:
    """Write what changed and give it to its container's user; return the changed paths.

    `image` is any local image with `chown`: it is used where we are not root and cannot give a file away ourselves.
    What was written is remembered by digest, because a file given away can no longer be read back.
    """
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    ledger = directory / "published.json"
    known: dict[str, str] = json.loads(ledger.read_text()) if ledger.exists() else {}
    now = {str(file.path): f"{file.uid}:{digest([file], file.service)}" for file in files}
    changed = [
        file for file in files if known.get(str(file.path)) != now[str(file.path)] or not _exists(directory, file)
    ]
    over = [file for file in changed if file.service in LIVE and _exists(directory, file)]
    for file in changed:
        _write_one(directory / file.path, file.content, suffix=".new" if file in over else "")
    for file in over:
        _copy_over(directory, file, image)
    if changed:
        _give_away(directory, changed, image)
    for gone in known.keys() - now.keys():
        (directory / gone).unlink(missing_ok=True)
    if known != now:
        _write_one(ledger, Secret(json.dumps(now, indent=1)))
    return [file.path for file in changed]


def known(directory: Path, service: str) -> str:
    """What was last handed to a service, as text that changes when any of it does."""
    ledger = directory / "published.json"
    written: dict[str, str] = json.loads(ledger.read_text()) if ledger.exists() else {}
    return "\n".join(f"{path} {value}" for path, value in sorted(written.items()) if path.startswith(f"{service}/"))


def _exists(directory: Path, file: Published) -> bool:
    # Not merely something of that name: the engine makes a directory where a mounted file was missing.
    return (directory / file.path).is_file()


def _write_one(target: Path, content: Secret, suffix: str = "") -> None:
    """Under its name at once, or beside it."""
    target.parent.mkdir(mode=0o700, exist_ok=True)
    temporary = target.with_name(f".{target.name}.new")
    temporary.unlink(missing_ok=True)
    if target.is_dir() and not any(target.iterdir()):
        shutil.rmtree(target)  # the engine makes a directory where a mounted file was missing
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o400)
    with os.fdopen(descriptor, "w") as stream:
        stream.write(content.reveal())
    temporary.replace(target.with_name(f"{target.name}{suffix}"))


def _copy_over(directory: Path, file: Published, image: str) -> None:
    """The new content into the file that is there, whose owner and inode stay. A crash before the ledger is written
    makes the next run do it again."""
    new = directory / f"{file.path}.new"
    if os.geteuid() == 0:
        (directory / file.path).write_text(new.read_text())
    else:
        _as_root(directory, image, "cp", f"/published/{file.path}.new", f"/published/{file.path}")
    new.unlink()


def _give_away(directory: Path, files: Sequence[Published], image: str) -> None:
    if os.geteuid() == 0:
        for file in files:
            os.chown(directory / file.path, file.uid, file.uid)
        return
    for uid in {file.uid for file in files}:
        names = [f"/published/{file.path}" for file in files if file.uid == uid]
        _as_root(directory, image, "chown", f"{uid}:{uid}", *names)


def _as_root(directory: Path, image: str, program: str, *arguments: str) -> None:
    """Run one program on the published files as root in a container, where we are not root ourselves."""
    mount = f"type=bind,source={directory},target=/published"
    drop = ["--network=none", "--user=0:0", "--cap-drop=ALL", "--cap-add=CHOWN", "--cap-add=DAC_OVERRIDE"]
    command = ["docker", "run", "--rm", *drop, "--mount", mount, f"--entrypoint={program}", image, *arguments]
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode != 0:
        raise TollgateError(
            f"cannot give secret files to their containers ({program}): {result.stderr.strip()}",
            "run the command as root, or as a user who may use Docker",
        )
