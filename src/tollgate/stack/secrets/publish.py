"""Gives each container its secrets: one file per secret and service, owned by the container's user, mode 0400.

Compose mounts a `file:` secret as it is on the host and ignores `uid`, `gid` and `mode`. A container that is not root
could not read the operator's 0600 files, so it gets copies. They are below var/rendered/secrets (0700).
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tollgate import disk
from tollgate.config.env import certificate
from tollgate.config.env.settings import Settings
from tollgate.config.secret import Secret
from tollgate.errors import TollgateError
from tollgate.render.users import IMAGES_OWN, USERS
from tollgate.site import Site
from tollgate.stack.host import owner
from tollgate.stack.host.run import run
from tollgate.stack.secrets import changing
from tollgate.stack.secrets import store as secrets

POSTGRES, REDIS, NGINX, MIGRATE = USERS["postgres"], USERS["redis"], USERS["nginx"], USERS["migrate"]
LITELLM, GRAFANA = USERS["litellm"], IMAGES_OWN["grafana"]
# The secrets of these services change while they run (stack/secrets/changing.py, stack/certificates/serve.py). Their
# files are overwritten and not replaced, because a container keeps the mounted file and does not see its replacement.
LIVE = ("postgres", "redis", "nginx")
TLS_BUNDLE = "tls.pem"
# The operator makes this file: the URL that receives alerts.
WEBHOOK = "alertmanager_webhook_url"


@dataclass(frozen=True)
class Published:
    """One secret file of one container. `uid` is the container's user."""

    service: str
    name: str
    uid: int
    content: Secret

    @property
    def path(self) -> Path:
        return Path(self.service) / self.name


def published(site: Site, settings: Settings) -> list[Published]:
    """The secret files of all services. Each service gets only what it needs."""

    def secret(name: str) -> Secret:
        return secrets.read(site, name)

    postgres, monitor, redis = (
        secret("postgres_password"),
        secret("postgres_monitor_password"),
        secret("redis_password"),
    )
    keys = {name: key.reveal() for name, key in sorted(settings.provider_keys.items())}
    webhook = secret(WEBHOOK) if site.secret(WEBHOOK).exists() else Secret("")
    served = certificate.load(settings, site.secrets_dir)
    return [
        *([Published("nginx", TLS_BUNDLE, NGINX, served.bundle)] if served else []),
        Published("postgres", "postgres_password", POSTGRES, postgres),
        Published("postgres", "monitor_password", POSTGRES, monitor),
        Published("redis", "redis_password", REDIS, redis),
        Published("redis", "redis_auth.conf", REDIS, redis_auth(redis, changing.also_valid(site, "redis_password"))),
        Published("tollgate", "postgres_password", MIGRATE, postgres),
        *([Published("backup", "postgres_password", owner.of(site)[0], postgres)] if settings.backup_schedule else []),
        Published("litellm", "postgres_password", LITELLM, changing.rotation_password(site) or postgres),
        Published("litellm", "redis_password", LITELLM, redis),
        Published("litellm", "master_key", LITELLM, secret("litellm_master_key")),
        Published("litellm", "salt_key", LITELLM, secret("litellm_salt_key")),
        Published("litellm", "provider_keys.json", LITELLM, Secret(json.dumps(keys))),
        Published("litellm", "metrics_key", LITELLM, secret("replica_metrics_key")),
        Published("litellm", "handover_key", LITELLM, secret("handover_key")),
        *([*_of_gateways(site, keys, postgres, redis)] if settings.gateways else []),
        Published("prometheus", "metrics_key", USERS["prometheus"], secret("replica_metrics_key")),
        Published("postgres-exporter", "monitor_password", USERS["postgres-exporter"], monitor),
        Published(
            "redis-exporter",
            "redis_password_exporter",
            USERS["redis-exporter"],
            Secret(json.dumps({"redis://redis:6379": redis.reveal()})),
        ),
        Published("grafana", "grafana_admin_password", GRAFANA, secret("grafana_admin_password")),
        Published("grafana", "grafana_secret_key", GRAFANA, secret("grafana_secret_key")),
        Published("alertmanager", WEBHOOK, USERS["alertmanager"], webhook),
        Published("alertmanager", "alertmanager_smtp_password", USERS["alertmanager"], settings.alert_smtp_password),
        Published("alertmanager", "alertmanager_slack_url", USERS["alertmanager"], settings.alert_slack_url),
        Published("alertmanager", "alertmanager_watchdog_url", USERS["alertmanager"], settings.alert_watchdog_url),
    ]


def _of_gateways(site: Site, keys: Mapping[str, str], postgres: Secret, redis: Secret) -> Iterator[Published]:
    """The secrets of a gateway process: the master key to recognise the operator, and those to serve by itself."""
    values = {
        "postgres_password": changing.rotation_password(site) or postgres,
        "redis_password": redis,
        "master_key": secrets.read(site, "litellm_master_key"),
        "provider_keys.json": Secret(json.dumps(keys)),
        "metrics_key": secrets.read(site, "replica_metrics_key"),
        "handover_key": secrets.read(site, "handover_key"),
    }
    for name, value in values.items():
        yield Published("gateway", name, USERS["gateway"], value)


def redis_auth(password: Secret, also_valid: Sequence[Secret]) -> Secret:
    """The lines that Redis includes: its password, and during a rotation the others that are valid."""
    if not also_valid:
        return Secret(f"requirepass {password.reveal()}\n")
    passwords = " ".join(f">{each.reveal()}" for each in (password, *also_valid))
    return Secret(f"user default on {passwords} ~* &* +@all\n")


def published_basic(site: Site, settings: Settings) -> list[Published]:
    """The secret files of `make basic`'s only replica. Its master key is the only key of the gateway."""
    keys = {name: key.reveal() for name, key in sorted(settings.provider_keys.items())}
    return [
        Published("basic", "master_key", LITELLM, secrets.read(site, secrets.BASIC_KEY)),
        Published("basic", "provider_keys.json", LITELLM, Secret(json.dumps(keys))),
    ]


def digest(files: Iterable[Published], service: str) -> str:
    """12 hex digits over the secrets of `service`. Secrets are random, so a digest in a label does not reveal them."""
    sha = hashlib.sha256()
    for file in files:
        if file.service == service:
            sha.update(f"{file.name}\0{file.content.reveal()}\0".encode())
    return sha.hexdigest()[:12]


def write(directory: Path, files: Sequence[Published], image: str) -> list[Path]:
    """Write the changed files, make the container's user their owner, and return the changed paths.

    `image` is any local image with `chown`. It changes the owner if we are not root. A ledger keeps the digest of
    every written file, because we cannot read a file back after its owner has changed.
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
    for dropped in known.keys() - now.keys():
        (directory / dropped).unlink(missing_ok=True)
    if known != now:
        _write_one(ledger, Secret(json.dumps(now, indent=1)))
    return [file.path for file in changed]


def known(directory: Path, service: str) -> str:
    """Paths and digests of the secrets that were last published for a service, as text."""
    ledger = directory / "published.json"
    written: dict[str, str] = json.loads(ledger.read_text()) if ledger.exists() else {}
    return "\n".join(f"{path} {value}" for path, value in sorted(written.items()) if path.startswith(f"{service}/"))


def _exists(directory: Path, file: Published) -> bool:
    # Only a file counts: Docker makes a directory in the place of a missing mounted file.
    return (directory / file.path).is_file()


def _write_one(target: Path, content: Secret, suffix: str = "") -> None:
    """Write the file atomically, under its name plus `suffix`."""
    target.parent.mkdir(mode=0o700, exist_ok=True)
    if target.is_dir() and not any(target.iterdir()):
        shutil.rmtree(target)  # Docker makes a directory in the place of a missing mounted file
    disk.replace(target.with_name(f"{target.name}{suffix}"), content.reveal(), 0o400)


def _copy_over(directory: Path, file: Published, image: str) -> None:
    """Copy the new content into the existing file, so that its owner and inode stay.

    After a crash before the ledger is written, the next run repeats this.
    """
    new = directory / f"{file.path}.new"
    if os.geteuid() == 0:
        disk.overwrite(directory / file.path, new.read_bytes())
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
    """Run one program on the published files as root in a container, because we are not root."""
    mount = f"type=bind,source={directory},target=/published"
    drop = ["--network=none", "--user=0:0", "--cap-drop=ALL", "--cap-add=CHOWN", "--cap-add=DAC_OVERRIDE"]
    command = ["docker", "run", "--rm", *drop, "--mount", mount, f"--entrypoint={program}", image, *arguments]
    done = run(command, timeout=120)
    if not done.ok:
        raise TollgateError(
            f"cannot give secret files to their containers ({program}): {done.reason}",
            "run the command as root, or as a user with access to Docker",
        )
