"""Part one: checks whether another LiteLLM release can be deployed. Changes nothing."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tollgate.errors import TollgateError
from tollgate.figures import room
from tollgate.migrate.decide import first_few
from tollgate.site import Site
from tollgate.stack import configuration
from tollgate.stack.backup.database import Postgres
from tollgate.stack.backup.make import LIVE, Secrets, running_postgres
from tollgate.stack.containers.drain import REPLICA
from tollgate.stack.deploy.preflight import disk_free_gib
from tollgate.stack.deployment import Deployment
from tollgate.stack.images import known_bad
from tollgate.stack.images import litellm as litellm_versions
from tollgate.stack.images.litellm import order
from tollgate.stack.images.resolve import present
from tollgate.stack.images.sources import ImageSources
from tollgate.stack.upgrade import record
from tollgate.stack.upgrade.schema import Schema, look

LITELLM = "LITELLM_IMAGE"
# Disk space in GiB for building the image. The image itself takes less than 1 GiB.
IMAGE_GIB = 4
# An index is smaller than its table, and a migration that adds columns writes very little.
MIGRATION_SHARE, MIGRATION_LEAST = 0.25, 256 * 2**20


@dataclass(frozen=True)
class Finding:
    """The result of one rule. `hint` says what to do if it is not `ok`."""

    name: str
    ok: bool
    text: str
    hint: str = ""


@dataclass
class ReleaseChange:
    """A change from the deployed release to another one, with the results of the checks."""

    deployment: Deployment
    current: str
    target: str
    back: bool = False
    # An upgrade to `target` began and did not finish. The deployed release is `target`; only the last steps are left.
    unfinished: bool = False
    findings: list[Finding] = field(default_factory=list)
    schema: Schema | None = None

    @property
    def site(self) -> Site:
        return self.deployment.site

    @property
    def ok(self) -> bool:
        return all(finding.ok for finding in self.findings)

    @property
    def can_return(self) -> bool:
        """Whether `make rollback` will work afterwards."""
        return self.schema is not None and not self.schema.in_the_way

    def refuse(self) -> None:
        """TollgateError with every failed rule. Does nothing if all are ok."""
        failed = [finding for finding in self.findings if not finding.ok]
        if failed:
            hints = dict.fromkeys(finding.hint for finding in failed if finding.hint)
            reasons = "; ".join(f"{finding.name}: {finding.text}" for finding in failed)
            raise TollgateError(f"nothing was changed: {reasons}", "; ".join(hints))


def upgrade(site: Site, to: str = "") -> ReleaseChange:
    """Check an upgrade to `to` (default: the newest known release). TollgateError for an unknown release."""
    deployment = Deployment.of(site, configuration.load(site).settings)
    current = _current(deployment)
    known = litellm_versions.known(site.root)
    change = ReleaseChange(deployment, current, to or max(known[-1], current, key=order))
    _check_target(change.target, current, known)
    last = record.read(site)
    change.unfinished = last is not None and not last.finished and last.target == current == change.target
    if change.target != current:
        examine(change, _image, _replicas, _migrations, _way_back, _disk, _backup)
    return change


def rollback(site: Site) -> ReleaseChange:
    """Check the return to the release before the last upgrade. TollgateError if no upgrade is recorded."""
    deployment = Deployment.of(site, configuration.load(site).settings)
    current, last = _current(deployment), record.read(site)
    if last is None or last.target != current:
        hint = "only `make upgrade` can be reverted; `make deploy` continues after a command that stopped"
        raise TollgateError(f"LiteLLM {current} is deployed, and no upgrade to it is recorded here", hint)
    change = ReleaseChange(deployment, current, last.before, back=True)
    known = litellm_versions.known(site.root)
    if change.target not in known:
        hint = f"it knows {', '.join(known)}; check out the older version of the kit in git first"
        raise TollgateError(f"this kit does not know LiteLLM {change.target} any more", hint)
    examine(change, _image, _schema)
    return change


def examine(change: ReleaseChange, *rules: Callable[[ReleaseChange], str]) -> None:
    """Run every rule, so that the operator sees all problems at once. A rule raises TollgateError to say no."""
    for rule in rules:
        name = rule.__name__.lstrip("_").replace("_", " ")
        try:
            change.findings.append(Finding(name, True, rule(change)))
        except TollgateError as error:
            change.findings.append(Finding(name, False, error.message, error.hint))


def _current(deployment: Deployment) -> str:
    version = litellm_versions.deployed(deployment.compose)
    if not version:
        raise TollgateError(
            "nothing is deployed here yet", "run `make deploy`; LITELLM_VERSION in .env chooses the LiteLLM release"
        )
    return version


def _check_target(target: str, current: str, known: list[str]) -> None:
    if reason := known_bad.why_not(target):
        raise TollgateError(f"LiteLLM {target}: {reason}", f"this kit knows {', '.join(known)}")
    if target not in known and target != current:
        raise TollgateError(f"expected a LiteLLM that this kit knows, found {target}", f"it knows {', '.join(known)}")
    if order(target) < order(current):
        hint = "`make rollback` returns to the version before; other versions need a restore (docs/runbooks/upgrade.md)"
        raise TollgateError(f"LiteLLM {target} is older than {current}, which is deployed", hint)


def _image(change: ReleaseChange) -> str:
    image = _image_here(change)
    return f"{image} is here" if image else "is pulled or built first, while all replicas serve"


def _image_here(change: ReleaseChange) -> str:
    """The target's image where it is on this machine already, else empty."""
    settings = change.deployment.settings
    sources = ImageSources.read(settings.image_source, change.site, settings.debian_mirror or "", change.target)
    return sources.found([LITELLM], present()).get(LITELLM, "")


def _replicas(change: ReleaseChange) -> str:
    wanted = [name for name in change.deployment.compose.services() if name.startswith(REPLICA)]
    ready = {row.service for row in change.deployment.compose.containers() if row.ready}
    down = [name for name in wanted if name not in ready]
    if down:
        hint = "run `make start` or `make deploy`: the other replicas must serve while one is replaced"
        raise TollgateError(f"expected {len(wanted)} healthy replicas; not healthy: {', '.join(down)}", hint)
    alone = ", so the gateway is down while it is replaced" if len(wanted) == 1 else ""
    return f"{len(wanted)} of {len(wanted)} serve{alone}"


def _migrations(change: ReleaseChange) -> str:
    change.schema = look(_postgres(change).migrations(LIVE), change.target, change.current)
    pending = change.schema.pending
    return f"{len(pending)} to apply: {first_few(pending)}" if pending else "none to apply, the schema stays as it is"


def _schema(change: ReleaseChange) -> str:
    """For a rollback: TollgateError if the release before cannot serve on the upgraded schema."""
    change.schema = look(_postgres(change).migrations(LIVE), change.target, change.target)
    if change.schema.in_the_way:
        last = record.read(change.site)
        file = shown(last.backup) if last and last.backup else "the backup taken before the upgrade"
        hint = (
            f"set LITELLM_VERSION={change.target} in .env and `make restore FILE={file} ARGS=--database-only`; "
            "everything written since then is set aside"
        )
        raise TollgateError("; ".join(change.schema.in_the_way), hint)
    return f"{change.target} can use it unchanged; no row is changed"


def _way_back(change: ReleaseChange) -> str:
    """Say whether `make rollback` will work afterwards. If not, the operator decides, so this is not an error."""
    if change.schema is None:
        raise TollgateError("unknown, because the schema could not be read")
    if change.can_return:
        return f"`make rollback`: {change.current} can use the schema of {change.target}"
    reasons = "; ".join(change.schema.in_the_way)
    return f"NONE BUT A RESTORE, and requests may fail while replicas are replaced: {reasons}"


def _disk(change: ReleaseChange) -> str:
    postgres = _postgres(change)
    size, free = postgres.size(LIVE), postgres.free()
    needed = MIGRATION_LEAST + MIGRATION_SHARE * size
    if free < needed:
        raise TollgateError(
            f"expected {room(int(needed))} free on the database's volume, found {room(free)}", "make room there first"
        )
    here = disk_free_gib()
    if here < IMAGE_GIB and not _image_here(change):
        raise TollgateError(f"expected {IMAGE_GIB} GiB free for the image, found {here:.1f}", "free disk space")
    return f"{room(free)} free for the database, {here:.1f} GiB for the image"


def _backup(change: ReleaseChange) -> str:
    where = change.site.backups_dir
    there = next(path for path in (where, *where.parents) if path.is_dir())
    if not os.access(there, os.W_OK):
        raise TollgateError(f"{there} is not writable", "run this as the user who deployed, or with sudo")
    size, free = _postgres(change).size(LIVE), shutil.disk_usage(there).free
    if free < size:
        raise TollgateError(
            f"expected {room(size)} free below {there}, found {room(free)}", "delete older archives there"
        )
    secrets = kept_secrets(change)
    secrets.check()
    left = "; secrets are left out, because BACKUP_AGE_RECIPIENT is not set" if secrets.omit else ", secrets encrypted"
    return f"the database takes {room(size)}, {room(free)} are free{left}"


def kept_secrets(change: ReleaseChange) -> Secrets:
    """How the backup stores secrets. It may omit them, because an upgrade changes no secret."""
    recipient = change.deployment.settings.backup_age_recipient
    return Secrets(recipient, omit=not recipient)


def _postgres(change: ReleaseChange) -> Postgres:
    return running_postgres(change.deployment.compose)


def shown(path: Path | str) -> str:
    return os.path.relpath(path)
