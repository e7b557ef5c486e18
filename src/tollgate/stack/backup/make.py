"""`tollgate backup`: database, files and secrets into one archive, which gets its name once it was read back."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from tollgate import __version__
from tollgate.errors import TollgateError
from tollgate.site import Site
from tollgate.stack.backup import age, archive, files, owner
from tollgate.stack.backup.archive import DATABASE, FILES, PLAIN_SECRETS, SECRETS, Archive, Manifest, stamp
from tollgate.stack.backup.database import Postgres
from tollgate.stack.compose import Compose
from tollgate.stack.progress import Progress

LIVE = "litellm"
# Rows that a person recognises; the manifest has every table's.
TELLING = ("LiteLLM_SpendLogs", "LiteLLM_TeamTable", "LiteLLM_VerificationToken")
_NO_RECIPIENT = (
    "`tollgate backup --make-key FILE` makes an identity and sets its public key in .env (BACKUP_AGE_RECIPIENT); keep "
    "FILE away from this machine. Or say --no-secrets to leave them out, or --plain"
)


@dataclass(frozen=True)
class Secrets:
    """What becomes of the secrets: encrypted to `recipients`, in the clear (`plain`), or `omit`ted."""

    recipients: str = ""
    plain: bool = False
    omit: bool = False

    def check(self) -> None:
        """TollgateError unless somebody decided how they are kept."""
        if self.plain and self.omit:
            raise TollgateError("expected --plain or --no-secrets, found both", "say the one you mean")
        if self.plain or self.omit:
            return
        if not age.recipients(self.recipients):
            raise TollgateError("secrets are not written in the clear, and no recipient is set", _NO_RECIPIENT)

    def part(self, packed: bytes) -> tuple[str, bytes]:
        if self.plain:
            return PLAIN_SECRETS, packed
        return SECRETS, age.encrypt(packed, age.recipients(self.recipients))


@dataclass(frozen=True)
class Made:
    """A finished backup and how long it took."""

    archive: Archive
    seconds: float

    @property
    def bytes(self) -> int:
        return self.archive.file.stat().st_size


def directory(site: Site) -> Path:
    return owner.archives(site)


def running_postgres(compose: Compose) -> Postgres:
    """TollgateError where there is none to ask."""
    compose.must_be_rendered()
    running = compose.running()
    if "postgres" not in running:
        raise TollgateError("Postgres is not running, and a backup reads from it", "run `make start`")
    return Postgres(running["postgres"][0])


def make(
    site: Site,
    postgres: Postgres,
    kept: Secrets,
    progress: Progress,
    *,
    database: str = LIVE,
    prefix: str = "tollgate",
    moment: datetime | None = None,
    salt: str = "",
    litellm: str = "",
) -> Made:
    """One archive below var/backups, 0600. Nothing is left of a backup that fails, or that was killed before.

    `moment` is what the database is of, where that is not now; `salt` which salt key it is encrypted with and `litellm`
    which release it is of, where the site here does not say.
    """
    kept.check()
    began, moment = time.monotonic(), moment or datetime.now(UTC)
    target = directory(site) / f"{prefix}-{stamp(moment)}.tar"
    with _workplace(site) as work:
        size = postgres.size(database)
        _check_room(work, size)
        progress.detail("dumping the database")
        with _create(work / DATABASE) as stream:
            postgres.dump(database, stream)
        progress.detail("reading the dump back")
        with (work / DATABASE).open("rb") as dump:
            rows = postgres.rows_in(dump)
        progress.say(f"database: {sum(rows.values()):,} rows in {len(rows)} tables, read back from the dump")
        parts, left_out = _pack(site, kept, work)
        progress.say(f"files: {', '.join(parts)}" + "".join(f"; NOT in it: {name}" for name in left_out))
        manifest = Manifest(
            created=moment,
            kit=__version__,
            litellm=litellm or litellm_version(site),
            postgres=postgres.version(),
            migrations=postgres.migrations(database),
            rows=rows,
            size=size,
            salt=salt or files.salt_of(site),
            left_out=tuple(left_out),
        )
        progress.detail("writing the archive and reading it back")
        made = archive.write(target, manifest, {DATABASE: work / DATABASE, **parts})
    return Made(made, time.monotonic() - began)


def prune(site: Site, keep: int, since: datetime | None = None) -> list[Path]:
    """Delete all but the newest `keep` backups of `make`, and those from before `since`, but never the newest one.

    What a restore set aside is not among them.
    """
    found = sorted(directory(site).glob("tollgate-*.tar"), reverse=True)
    oldest = f"tollgate-{stamp(since)}" if since else ""
    gone = [file for number, file in enumerate(found) if number and (number >= keep or file.stem < oldest)]
    for file in gone:
        file.unlink()
    return gone


def litellm_version(site: Site) -> str:
    # Here, for it reads the whole configuration, which the container with the schedule is not given.
    from tollgate.stack import litellm_versions

    return litellm_versions.chosen(site)


def _pack(site: Site, kept: Secrets, work: Path) -> tuple[dict[str, Path], list[str]]:
    """The parts beside the database as files, and the names of what is left out."""
    public, secret = files.collect(site)
    contents = [(FILES, files.pack(public))] + ([] if kept.omit else [kept.part(files.pack(secret))])
    for name, content in contents:
        with _create(work / name) as stream:
            stream.write(content)
    # The container with the schedule does not see .env and secrets/ where they stay out.
    found = {path if path.startswith((".", "tenants", "config")) else "secrets/" for path in secret}
    left_out = sorted(found | {files.ENV, "secrets/"}) if kept.omit else []
    return {name: work / name for name, _ in contents}, left_out


@contextmanager
def _workplace(site: Site) -> Iterator[Path]:
    """A directory for what the archive is made of; the deployment's lock is held, so what lies there is left over."""
    where = directory(site)
    where.mkdir(mode=0o700, parents=True, exist_ok=True)
    for left in where.glob(".*.partial"):
        shutil.rmtree(left) if left.is_dir() else left.unlink()
    work = Path(tempfile.mkdtemp(prefix=".", suffix=".partial", dir=where))
    try:
        yield work
    finally:
        shutil.rmtree(work)
        for left in where.glob(".*.partial"):
            left.unlink()


def _create(file: Path) -> IO[bytes]:
    return os.fdopen(os.open(file, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600), "wb")


def _check_room(where: Path, needed: int) -> None:
    """A dump is smaller than its database, but it lies there twice while the archive is written."""
    free = shutil.disk_usage(where).free
    if free < needed:
        raise TollgateError(
            f"expected {needed / 2**30:.1f} GiB of free disk below {where.parent}, found {free / 2**30:.1f}",
            "delete older archives there, or make room",
        )
