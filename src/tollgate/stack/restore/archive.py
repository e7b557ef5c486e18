"""`tollgate restore`: restores an archive on a running or an empty stack.

The gateway serves:    check the archive → write the files → deploy until `databases` → load the dump into a second
                       database, count every row, migrate it
The gateway is down:   stop the replicas → swap the names of the two databases → empty Redis → deploy
The gateway serves:    save the old database as an archive

A failure before the swap leaves database and files unchanged. A failure after it keeps both databases and says so.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from tollgate.errors import TollgateError
from tollgate.site import Site
from tollgate.stack.backup import age, archive, files
from tollgate.stack.backup.archive import DATABASE, FILES, SECRETS, Archive, stamp
from tollgate.stack.backup.database import Postgres
from tollgate.stack.backup.make import LIVE, Secrets, litellm_version, make, running_postgres
from tollgate.stack.backup.unpack import raise_if_elsewhere, shown, unpack
from tollgate.stack.containers.bring_up import bring_up
from tollgate.stack.containers.compose import MIGRATE, Compose
from tollgate.stack.containers.rollout import SERVING
from tollgate.stack.deploy.steps import Deploy
from tollgate.stack.deployment import Deployment
from tollgate.stack.host.progress import Display

# Redis has data of the old database: budget counters, limits, cached keys, and spend that was not written yet. LiteLLM
# and our hooks read the ledger again for entries that Redis does not have (docs/facts.md 5).
_EMPTY_REDIS = 'REDISCLI_AUTH="$(cat /run/secrets/redis_password)" redis-cli FLUSHALL SYNC | grep -q "^OK"'


GIB = 2**30
# The prefix of the database that a dump is loaded into, until the swap.
LOADED = "restore_"
# Disk space for the load, in sizes of the database: its tables and indexes, and the WAL of writing them.
ROOM = 1.5


@dataclass
class Restore:
    """One restore. `check` works without a stack; `run` needs the deployment's lock.

    `seconds` has the duration of each step. `away` is the time from the stop of the replicas to the end of the deploy.
    """

    site: Site
    file: Path
    display: Display
    identity: Path | None = None
    database_only: bool = False
    allow_engine_install: bool = True
    archive: Archive = field(init=False)
    contents: dict[str, bytes] = field(init=False, repr=False)
    kept: str = field(default="", init=False)
    seconds: dict[str, float] = field(default_factory=dict, init=False)

    def check(self) -> list[str]:
        """Read the archive and return one line for each change. TollgateError if it cannot be restored."""
        self.archive = archive.read(self.file)
        manifest = self.archive.manifest
        here = litellm_version(self.site)
        if _line(manifest.litellm) != _line(here):
            raise TollgateError(
                f"expected a backup of LiteLLM {_line(here)}, found one of {manifest.litellm}",
                f"restore it with the kit that made it (version {manifest.kit}), then upgrade",
            )
        self.contents = {} if self.database_only else self._contents()
        self._check_salt()
        lines = [
            f"the database as of {manifest.created:%Y-%m-%d %H:%M:%S} UTC, {sum(manifest.rows.values()):,} rows; "
            "everything written since then is set aside"
        ]
        for path, content in sorted(files.differences(self.site, self.contents).items()):
            lines.append(f"{path}: {'removed' if content is None else 'written from the archive'}")
        return lines

    def run(self) -> None:
        now = stamp(datetime.now(UTC))
        new, aside = f"{LOADED}{now.lower()}", f"before_{now.lower()}"
        put_back = files.PutBack(self.site, self.site.backups_dir / f"before-{now}")
        with self._all_or_nothing(put_back, new):
            put_back.run(self.contents)
            self._deploy().run(until="databases")
            self._load(new)
            stopped = time.monotonic()
            self._stop_replicas()
            with self._step("exchange"):
                self._postgres().exchange(LIVE, new, aside)
        try:
            with self._step("counters"):
                self._compose().run("counters", self.display, "exec", "-T", "redis", "sh", "-c", _EMPTY_REDIS)
            self._deploy().run()
            self.seconds["away"] = time.monotonic() - stopped
        except TollgateError as error:
            hint = (
                f"the restored database is in use, and Postgres still has the old one as {aside}. "
                f"{error.hint or 'Fix the cause'}; then `make deploy` continues"
            )
            raise TollgateError(error.message, hint) from None
        self._archive_old_database(aside)

    def _contents(self) -> dict[str, bytes]:
        """The files to write: the public ones, and the secrets if they can be decrypted."""
        contents = unpack(self.archive.content(FILES)) if self._has(FILES) else {}
        secrets = self.archive.manifest.secrets
        kept: dict[str, bytes] = {}
        if secrets == SECRETS and self.identity:
            kept = unpack(age.decrypt(self.archive.content(secrets), self.identity))
        elif secrets and secrets != SECRETS:
            kept = unpack(self.archive.content(secrets))
        if twice := sorted(contents.keys() & kept.keys()):
            raise TollgateError(
                f"the archive contains {shown(twice[0])} twice", "restore an archive that `make backup` wrote"
            )
        contents |= kept
        raise_if_elsewhere(contents)
        return contents

    def _has(self, part: str) -> bool:
        return part in {described.name for described in self.archive.manifest.parts}

    def _check_salt(self) -> None:
        """TollgateError for another salt: LiteLLM could not read the credentials that it stored."""
        salt = self.contents.get(files.SALT)
        have = files.fingerprint(salt) if salt else files.salt_of(self.site)
        if have == self.archive.manifest.salt:
            return
        encrypted = self.archive.manifest.secrets == SECRETS
        raise TollgateError(
            f"the archive's database was encrypted with another {files.SALT}; "
            + ("this site has a different one" if have else "this site has none"),
            "pass --identity FILE, the age identity that decrypts the archive's secrets"
            if encrypted
            else f"restore {files.SALT} from the time of the backup first",
        )

    @contextmanager
    def _all_or_nothing(self, put_back: files.PutBack, new: str) -> Iterator[None]:
        """On a failure: restore the files, drop the half-loaded database, start the stopped replicas."""
        try:
            yield
        except BaseException as error:
            put_back.undo()
            problem = self._clean_up(new)
            if not isinstance(error, TollgateError):
                raise
            hint = f"{error.hint}. Database and files are as they were{problem}".removeprefix(". ")
            raise error.with_hint(hint) from None

    def _clean_up(self, new: str) -> str:
        """Drop the database `new` and start stopped replicas. Returns words about a failure, or an empty string."""
        try:
            compose = self._compose()
            running_postgres(compose).drop(new)
            stopped = [row.service for row in compose.containers() if row.service.startswith(SERVING) and not row.ready]
            if stopped:
                bring_up("restore", compose, stopped, self.display)
        except TollgateError as error:
            return f"; {error.message}: run `make deploy`"
        return ""

    def _load(self, new: str) -> None:
        manifest = self.archive.manifest
        postgres = self._postgres()
        for database in postgres.called(LOADED):  # left by a restore that was killed
            postgres.drop(database)
        needed = manifest.size * ROOM
        if postgres.free() < needed:
            raise TollgateError(
                f"expected {needed / GIB:.1f} GiB free on the database's volume, found {postgres.free() / GIB:.1f}",
                "make room there: for a while the volume holds both databases",
            )
        with self._step("load"):
            with self.archive.part(DATABASE) as dump:
                postgres.load(dump, new)
            differ = compare(manifest.rows, postgres.rows(new))
            if differ:
                raise TollgateError(f"not all rows came back: {differ}", "retry; the archive is unchanged")
            # The job refuses a schema newer than this kit's, and migrates an older one.
            options = ("--rm", "-T", "--no-deps", "-e", f"POSTGRES_DB={new}", MIGRATE)
            self._compose().run("load", self.display, "run", *options)
        self.display.say(
            f"{sum(manifest.rows.values()):,} rows in {len(manifest.rows)} tables, the same as in the dump"
        )

    def _stop_replicas(self) -> None:
        compose = self._compose()
        replicas = sorted(name for name in compose.running() if name.startswith(SERVING))
        if replicas:
            with self._step("stop replicas"):
                self.display.say(f"stopping {', '.join(replicas)}: running streams may end, new requests are refused")
                compose.run("stop replicas", self.display, "stop", *replicas)

    def _archive_old_database(self, aside: str) -> None:
        """Save the old database as an archive. A restore of this archive reverts this restore."""
        postgres = self._postgres()
        with self._step("set aside"):
            try:
                if postgres.migrations(aside):
                    backup = make(
                        self.site, postgres, Secrets(omit=True), self.display, database=aside, prefix="before"
                    )
                    self.kept = str(backup.archive.file)
            except TollgateError as error:  # the restore itself is done
                self.display.say(
                    f"the old database could not be archived and stays in Postgres as {aside}: {error.message}"
                )
                return
            postgres.drop(aside)

    def _deploy(self) -> Deploy:
        return Deploy(self.site, self.display, allow_engine_install=self.allow_engine_install)

    def _compose(self) -> Compose:
        return Deployment.of(self.site).compose

    def _postgres(self) -> Postgres:
        return running_postgres(self._compose())

    @contextmanager
    def _step(self, title: str) -> Iterator[None]:
        began = time.monotonic()
        with self.display.step(title):
            yield
        self.seconds[title] = time.monotonic() - began
        self.display.done(title, self.seconds[title], "")


def compare(expected: dict[str, int], actual: dict[str, int]) -> str:
    """The tables whose row counts differ, as words; empty if none do. A missing table differs from an empty one."""
    differ = sorted(table for table in expected.keys() | actual.keys() if expected.get(table) != actual.get(table))
    shown = ", ".join(
        f"{table}: {expected.get(table, 'none')} expected, {actual.get(table, 'none')} found" for table in differ[:5]
    )
    return shown + (f" and {len(differ) - 5} more" if len(differ) > 5 else "")


def _line(version: str) -> str:
    """The release line: 1.108 for LiteLLM 1.108.10."""
    match = re.match(r"\d+\.\d+", version)
    return match[0] if match else version
