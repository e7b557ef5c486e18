"""Part one: whether another release can be put in place, found out without changing anything."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tollgate.errors import TollgateError
from tollgate.ledger.figures import room
from tollgate.litellm.migrate.decide import some
from tollgate.site import Site
from tollgate.stack import configuration, known_bad, litellm_versions
from tollgate.stack.backup.database import Postgres
from tollgate.stack.backup.make import LIVE, Secrets, directory, running_postgres
from tollgate.stack.compose import Compose
from tollgate.stack.configuration import Configuration
from tollgate.stack.images import Catalogue, present
from tollgate.stack.litellm_versions import order
from tollgate.stack.preflight import disk_free_gib
from tollgate.stack.rollout import REPLICA
from tollgate.stack.upgrade import record
from tollgate.stack.upgrade.schema import Schema, look

LITELLM = "LITELLM_IMAGE"
# What building it takes for a while; what stays is under one.
IMAGE_GIB = 4
# An index over a table is smaller than the table, and a migration that adds columns writes next to nothing.
MIGRATION_SHARE, MIGRATION_LEAST = 0.25, 256 * 2**20


@dataclass(frozen=True)
class Finding:
    """One rule of part one. `hint` says what to do about one that is not `ok`."""

    name: str
    ok: bool
    text: str
    hint: str = ""


@dataclass
class Change:
    """From the release that is deployed to another one, and what was found out about the way."""

    site: Site
    current: str
    target: str
    configuration: Configuration
    compose: Compose
    back: bool = False
    # An upgrade to `target` began and did not end: there is no other release to go to, only the rest of the work.
    unfinished: bool = False
    findings: list[Finding] = field(default_factory=list)
    schema: Schema | None = None

    @property
    def ok(self) -> bool:
        return all(finding.ok for finding in self.findings)

    @property
    def can_return(self) -> bool:
        """Whether `make rollback` will work afterwards."""
        return self.schema is not None and not self.schema.in_the_way

    def refuse(self) -> None:
        """TollgateError with everything that is in the way, unless nothing is."""
        failed = [finding for finding in self.findings if not finding.ok]
        if failed:
            hints = dict.fromkeys(finding.hint for finding in failed if finding.hint)
            reasons = "; ".join(f"{finding.name}: {finding.text}" for finding in failed)
            raise TollgateError(f"nothing was changed: {reasons}", "; ".join(hints))


def upgrade(site: Site, to: str = "") -> Change:
    """Everything about an upgrade to `to`, the newest known release unless given. TollgateError for no such release."""
    configured = configuration.load(site)
    compose = Compose.core(site, configured.settings.compose_project_name)
    current = _current(site, compose)
    known = litellm_versions.known(site.root)
    change = Change(site, current, to or max(known[-1], current, key=order), configured, compose)
    _check_target(change.target, current, known)
    last = record.read(site)
    change.unfinished = last is not None and not last.finished and last.target == current == change.target
    if change.target != current:
        examine(change, _image, _replicas, _migrations, _way_back, _disk, _backup)
    return change


def rollback(site: Site) -> Change:
    """Everything about the return to the release before. TollgateError where there is none to return to."""
    configured = configuration.load(site)
    compose = Compose.core(site, configured.settings.compose_project_name)
    current, last = _current(site, compose), record.read(site)
    if last is None or last.target != current:
        hint = "`make upgrade` is what can be taken back; `make deploy` goes on where a command stopped"
        raise TollgateError(f"LiteLLM {current} is deployed, and no upgrade to it is recorded here", hint)
    change = Change(site, current, last.before, configured, compose, back=True)
    known = litellm_versions.known(site.root)
    if change.target not in known:
        hint = f"it knows {', '.join(known)}; go back to the kit of that time in git as well"
        raise TollgateError(f"this kit does not know LiteLLM {change.target} any more", hint)
    examine(change, _image, _schema)
    return change


def examine(change: Change, *rules: Callable[[Change], str]) -> None:
    """Ask every rule, so that a person reads all that is in the way at once; a TollgateError is a rule's no."""
    for rule in rules:
        name = rule.__name__.lstrip("_").replace("_", " ")
        try:
            change.findings.append(Finding(name, True, rule(change)))
        except TollgateError as error:
            change.findings.append(Finding(name, False, error.message, error.hint))


def _current(site: Site, compose: Compose) -> str:
    version = litellm_versions.deployed(compose)
    if not version:
        raise TollgateError(
            "nothing is deployed here yet", "run `make deploy`; LITELLM_VERSION in .env says which LiteLLM"
        )
    return version


def _check_target(target: str, current: str, known: list[str]) -> None:
    if reason := known_bad.why_not(target):
        raise TollgateError(f"LiteLLM {target}: {reason}", f"this kit knows {', '.join(known)}")
    if target not in known and target != current:
        raise TollgateError(f"expected a LiteLLM that this kit knows, found {target}", f"it knows {', '.join(known)}")
    if order(target) < order(current):
        hint = "`make rollback` returns to the version before; any other is a restore (docs/runbooks/upgrade.md)"
        raise TollgateError(f"LiteLLM {target} is older than {current}, which is deployed", hint)


def _image(change: Change) -> str:
    settings = change.configuration.settings
    ways = Catalogue.read(settings.image_source, change.site, settings.debian_mirror or "", change.target)
    found = ways.found([LITELLM], present()).get(LITELLM)
    return f"{found} is here" if found else "is pulled or built first, while everything serves"


def _replicas(change: Change) -> str:
    wanted = [name for name in change.compose.services() if name.startswith(REPLICA)]
    ready = {row.service for row in change.compose.containers() if row.ready}
    down = [name for name in wanted if name not in ready]
    if down:
        hint = "`make start` or `make deploy` brings it up; the others have to serve while one is replaced"
        raise TollgateError(f"{', '.join(down)} of {len(wanted)} does not serve", hint)
    alone = ", so the gateway is away while it is replaced" if len(wanted) == 1 else ""
    return f"{len(wanted)} of {len(wanted)} serve{alone}"


def _migrations(change: Change) -> str:
    change.schema = look(_postgres(change).migrations(LIVE), change.target, change.current)
    pending = change.schema.pending
    return f"{len(pending)} to apply: {some(pending)}" if pending else "none to apply, the schema stays as it is"


def _schema(change: Change) -> str:
    """For the return: whether the release before serves on what the upgrade made of the schema."""
    change.schema = look(_postgres(change).migrations(LIVE), change.target, change.target)
    if change.schema.in_the_way:
        last = record.read(change.site)
        file = shown(last.backup) if last and last.backup else "the backup taken before the upgrade"
        hint = (
            f"set LITELLM_VERSION={change.target} in .env and `make restore FILE={file} ARGS=--database-only`; "
            "what was written since is set aside"
        )
        raise TollgateError("; ".join(change.schema.in_the_way), hint)
    return f"{change.target} serves on it as it is; no row is touched"


def _way_back(change: Change) -> str:
    """Never a no: whether it is worth it is for a person to say."""
    if change.schema is None:
        raise TollgateError("not known, because the schema could not be read")
    if change.can_return:
        return f"`make rollback`: {change.current} serves on the schema of {change.target}"
    reasons = "; ".join(change.schema.in_the_way)
    return f"NONE BUT A RESTORE, and requests may fail while replicas are replaced: {reasons}"


def _disk(change: Change) -> str:
    postgres = _postgres(change)
    size, free = postgres.size(LIVE), postgres.free()
    needed = MIGRATION_LEAST + MIGRATION_SHARE * size
    if free < needed:
        raise TollgateError(
            f"expected {room(int(needed))} free on the database's volume, found {room(free)}", "make room there first"
        )
    here = disk_free_gib()
    if here < IMAGE_GIB and not _image(change).endswith("here"):
        raise TollgateError(f"expected {IMAGE_GIB} GiB free for the image, found {here:.1f}", "make room for Docker")
    return f"{room(free)} free for the database, {here:.1f} GiB for the image"


def _backup(change: Change) -> str:
    where = directory(change.site)
    there = next(path for path in (where, *where.parents) if path.is_dir())
    if not os.access(there, os.W_OK):
        raise TollgateError(f"{there} cannot be written to", "run this as the user who deployed, or with sudo")
    size, free = _postgres(change).size(LIVE), shutil.disk_usage(there).free
    if free < size:
        raise TollgateError(
            f"expected {room(size)} free below {there}, found {room(free)}", "delete older archives there"
        )
    secrets = kept_secrets(change)
    secrets.check()
    left = "; secrets are left out, because BACKUP_AGE_RECIPIENT is not set" if secrets.omit else ", secrets encrypted"
    return f"the database takes {room(size)}, {room(free)} are free{left}"


def kept_secrets(change: Change) -> Secrets:
    """An upgrade changes no secret, so a backup without them brings it back."""
    recipient = change.configuration.settings.backup_age_recipient
    return Secrets(recipient, omit=not recipient)


def _postgres(change: Change) -> Postgres:
    return running_postgres(change.compose)


def shown(path: Path | str) -> str:
    return os.path.relpath(path)
