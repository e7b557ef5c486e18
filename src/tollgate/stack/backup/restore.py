"""`tollgate restore`: an archive onto a running or an empty stack.

Nobody notices yet:   archive checked → files put back → deploy until `databases` → loaded beside the live database,
                      every row counted, migrated
The gateway is away:  replicas stopped → the two databases exchange names → Redis emptied → deploy
Afterwards:           what was there before becomes an archive of its own

A failure before the exchange leaves database and files as they were; one after it leaves both databases, and says so.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from tollgate.errors import StepError, TollgateError
from tollgate.site import Site
from tollgate.stack.backup import age, archive, files
from tollgate.stack.backup.archive import DATABASE, FILES, SECRETS, Archive, stamp
from tollgate.stack.backup.database import Postgres
from tollgate.stack.backup.make import LIVE, Secrets, directory, litellm_version, make, running_postgres
from tollgate.stack.bring_up import bring_up
from tollgate.stack.compose import MIGRATE, Compose
from tollgate.stack.configuration import project
from tollgate.stack.deploy import Deploy, Display
from tollgate.stack.rollout import REPLICA

# Redis holds what belongs to the database of before: counters of budgets, limits, cached keys, and spend that was not
# written yet. LiteLLM and our hooks ask the ledger again for what they do not find (docs/facts.md 5).
_EMPTY_REDIS = 'REDISCLI_AUTH="$(cat /run/secrets/redis_password)" redis-cli FLUSHALL SYNC | grep -q "^OK"'


GIB = 2**30
# What a dump is loaded into is called so, until it is exchanged.
LOADED = "restore_"
# Its tables and indexes again, and the log of writing them.
ROOM = 1.5


@dataclass
class Restore:
    """One restore. `check` may be called without a stack; `run` needs the deployment's lock.

    `seconds` says how long steps took; `away` is from the first replica's stopping to the answered request.
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
        """Read the archive; what restoring it would do, a line each. TollgateError where it cannot be done."""
        self.archive = archive.read(self.file)
        manifest = self.archive.manifest
        here = litellm_version(self.site)
        if _line(manifest.litellm) != _line(here):
            raise TollgateError(
                f"expected a backup of LiteLLM {_line(here)}, found one of {manifest.litellm}",
                f"restore it with the kit of that time ({manifest.kit}), then upgrade",
            )
        self.contents = {} if self.database_only else self._contents()
        self._check_salt()
        lines = [
            f"the database as of {manifest.created:%Y-%m-%d %H:%M:%S} UTC, {sum(manifest.rows.values()):,} rows; "
            "what was written since is set aside"
        ]
        for path, content in sorted(files.differences(self.site, self.contents).items()):
            lines.append(f"{path}: {'removed' if content is None else 'as in the archive'}")
        return lines

    def run(self) -> None:
        now = stamp(datetime.now(UTC))
        new, aside = f"{LOADED}{now.lower()}", f"before_{now.lower()}"
        put_back = files.PutBack(self.site, directory(self.site) / f"before-{now}")
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
                f"the restored database is in place, and what was there before stands beside it as {aside}. "
                f"{error.hint or 'Mend the cause'}; then `make deploy` goes on"
            )
            raise TollgateError(error.message, hint) from None
        self._keep_what_was(aside)

    def _contents(self) -> dict[str, bytes]:
        """The files to put back: the public ones, and the secrets where they can be read."""
        contents = files.unpack(self.archive.content(FILES)) if self._has(FILES) else {}
        secrets = self.archive.manifest.secrets
        if secrets == SECRETS and self.identity:
            contents |= files.unpack(age.decrypt(self.archive.content(secrets), self.identity))
        elif secrets and secrets != SECRETS:
            contents |= files.unpack(self.archive.content(secrets))
        return contents

    def _has(self, part: str) -> bool:
        return part in {described.name for described in self.archive.manifest.parts}

    def _check_salt(self) -> None:
        """With another salt LiteLLM could not read the credentials it stored."""
        salt = self.contents.get(files.SALT)
        have = files.fingerprint(salt) if salt else files.salt_of(self.site)
        if have == self.archive.manifest.salt:
            return
        encrypted = self.archive.manifest.secrets == SECRETS
        raise TollgateError(
            f"the archive's database was encrypted with another {files.SALT} than "
            + ("the one here" if have else "the kit would make, and there is none here"),
            "give --identity FILE, the age identity that opens the archive's secrets"
            if encrypted
            else f"put the {files.SALT} of that time in place",
        )

    @contextmanager
    def _all_or_nothing(self, put_back: files.PutBack, new: str) -> Iterator[None]:
        """On any failure inside: files as they were, the half-loaded database gone, replicas serving again."""
        try:
            yield
        except BaseException as error:
            put_back.undo()
            left = self._tidy(new)
            if not isinstance(error, TollgateError):
                raise
            hint = f"{error.hint}. Database and files are as they were{left}".removeprefix(". ")
            if isinstance(error, StepError):
                raise StepError(error.step, error.message.removeprefix(f"{error.step}: "), hint, error.log) from None
            raise TollgateError(error.message, hint) from None

    def _tidy(self, new: str) -> str:
        """Remove `new` and start stopped replicas; what of that did not work, as words."""
        try:
            compose = self._compose()
            running_postgres(compose).drop(new)
            stopped = [row.service for row in compose.containers() if row.service.startswith(REPLICA) and not row.ready]
            if stopped:
                bring_up("restore", compose, stopped, self.display)
        except TollgateError as error:
            return f"; {error.message}: run `make deploy`"
        return ""

    def _load(self, new: str) -> None:
        manifest = self.archive.manifest
        postgres = self._postgres()
        for left in postgres.called(LOADED):  # by a restore that was killed
            postgres.drop(left)
        needed = manifest.size * ROOM
        if postgres.free() < needed:
            raise TollgateError(
                f"expected {needed / GIB:.1f} GiB free on the database's volume, found {postgres.free() / GIB:.1f}",
                "the restored database stands beside the live one for a while; make room",
            )
        with self._step("load"):
            with self.archive.part(DATABASE) as dump:
                postgres.load(dump, new)
            differ = compare(manifest.rows, postgres.rows(new))
            if differ:
                raise TollgateError(f"not all rows came back: {differ}", "the archive stays as it is; try again")
            # The job refuses a schema newer than this kit's, and brings an older one up to date.
            options = ("--rm", "-T", "--no-deps", "-e", f"POSTGRES_DB={new}", MIGRATE)
            self._compose().run("load", self.display, "run", *options)
        self.display.say(f"{sum(manifest.rows.values()):,} rows in {len(manifest.rows)} tables, as many as were dumped")

    def _stop_replicas(self) -> None:
        compose = self._compose()
        replicas = sorted(name for name in compose.running() if name.startswith(REPLICA))
        if replicas:
            with self._step("stop replicas"):
                self.display.say(f"stopping {', '.join(replicas)}: running streams may end, new requests are refused")
                compose.run("stop replicas", self.display, "stop", *replicas)

    def _keep_what_was(self, aside: str) -> None:
        """The database of before as an archive, with which this restore can be taken back."""
        postgres = self._postgres()
        with self._step("set aside"):
            try:
                if postgres.migrations(aside):
                    made = make(self.site, postgres, Secrets(omit=True), self.display, database=aside, prefix="before")
                    self.kept = str(made.archive.file)
            except TollgateError as error:  # the restore itself is done: what was there stays where it is
                self.display.say(f"what was there before stays in Postgres, as the database {aside}: {error.message}")
                return
            postgres.drop(aside)

    def _deploy(self) -> Deploy:
        return Deploy(self.site, self.display, allow_engine_install=self.allow_engine_install)

    def _compose(self) -> Compose:
        return Compose.core(self.site, project(self.site))

    def _postgres(self) -> Postgres:
        return running_postgres(self._compose())

    @contextmanager
    def _step(self, title: str) -> Iterator[None]:
        began = time.monotonic()
        with self.display.step(title):
            yield
        self.seconds[title] = time.monotonic() - began
        self.display.done(title, self.seconds[title], "")


def compare(expected: dict[str, int], found: dict[str, int]) -> str:
    """Where the two differ, for a person; empty where they do not. A table without rows may be missing in neither."""
    differ = sorted(table for table in expected.keys() | found.keys() if expected.get(table) != found.get(table))
    shown = ", ".join(
        f"{table}: {expected.get(table, 'none')} expected, {found.get(table, 'none')} found" for table in differ[:5]
    )
    return shown + (f" and {len(differ) - 5} more" if len(differ) > 5 else "")


def _line(version: str) -> str:
    """The line of a LiteLLM release: 1.108 of 1.108.10."""
    found = re.match(r"\d+\.\d+", version)
    return found[0] if found else version
