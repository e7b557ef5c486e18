"""`tollgate backup`: writes database, files and secrets to one archive, reads it back, then gives it its name."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from tollgate import __version__, disk
from tollgate.errors import TollgateError
from tollgate.site import Site
from tollgate.stack.backup import age, archive, files
from tollgate.stack.backup.archive import DATABASE, FILES, PLAIN_SECRETS, SECRETS, Archive, Manifest, stamp
from tollgate.stack.backup.database import Postgres
from tollgate.stack.containers.compose import Compose
from tollgate.stack.host.progress import Progress

LIVE = "litellm"
# The row counts that the command prints. The manifest has those of all tables.
TELLING = ("LiteLLM_SpendLogs", "LiteLLM_TeamTable", "LiteLLM_VerificationToken")
_NO_RECIPIENT = (
    "`tollgate backup --make-key FILE` makes an identity and sets its public key in .env (BACKUP_AGE_RECIPIENT); keep "
    "FILE on another machine. Or pass --no-secrets to leave the secrets out, or --plain to write them in clear text"
)


@dataclass(frozen=True)
class Secrets:
    """How the archive stores secrets: encrypted to `recipients`, in clear text (`plain`), or not at all (`omit`)."""

    recipients: str = ""
    plain: bool = False
    omit: bool = False

    def check(self) -> None:
        """TollgateError unless the operator chose exactly one way."""
        if self.plain and self.omit:
            raise TollgateError("expected --plain or --no-secrets, found both", "keep one of them")
        if self.plain or self.omit:
            return
        if not age.recipients(self.recipients):
            raise TollgateError("no recipient is set, so the secrets cannot be encrypted", _NO_RECIPIENT)

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


def running_postgres(compose: Compose) -> Postgres:
    """The running Postgres. TollgateError if it does not run."""
    compose.must_be_rendered()
    running = compose.running()
    if "postgres" not in running:
        raise TollgateError("Postgres is not running; this command needs it", "run `make start`")
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
    """Write one archive below var/backups (0600). Removes all files of a backup that fails or that was killed earlier.

    `moment` is the time of the database's content (default: now). `salt` is the fingerprint of its salt key and
    `litellm` its release (default for both: the site's own).
    """
    kept.check()
    began, moment = time.monotonic(), moment or datetime.now(UTC)
    target = site.backups_dir / f"{prefix}-{stamp(moment)}.tar"
    with _workplace(site) as work:
        size = postgres.size(database)
        _check_room(work, size)
        progress.detail("dumping the database")
        with disk.naming(target), disk.creating(work / DATABASE, durable=False) as stream:
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
        written = archive.write(target, manifest, {DATABASE: work / DATABASE, **parts})
    return Made(written, time.monotonic() - began)


def prune(site: Site, keep: int, since: datetime | None = None) -> list[Path]:
    """Delete all but the newest `keep` archives, and archives older than `since`. Never deletes the newest one.

    Archives that a restore set aside have other names and stay. Returns the deleted files.
    """
    archives = sorted(site.backups_dir.glob("tollgate-*.tar"), reverse=True)
    oldest = f"tollgate-{stamp(since)}" if since else ""
    expired = [file for number, file in enumerate(archives) if number and (number >= keep or file.stem < oldest)]
    for file in expired:
        file.unlink()
    return expired


def litellm_version(site: Site) -> str:
    # Imported here: it reads the whole configuration, which the scheduler's container does not have.
    from tollgate.stack.images import litellm as litellm_versions

    return litellm_versions.chosen(site)


def _pack(site: Site, kept: Secrets, work: Path) -> tuple[dict[str, Path], list[str]]:
    """The parts other than the database, as files in `work`, and the names of the files that are left out."""
    public, secret = files.collect(site)
    contents = [(FILES, files.pack(public))] + ([] if kept.omit else [kept.part(files.pack(secret))])
    for name, content in contents:
        disk.create(work / name, content)
    # Without secrets, the scheduler's container does not have .env and secrets/, so they are named here.
    names = {path if path.startswith((".", "tenants", "config")) else "secrets/" for path in secret}
    left_out = sorted(names | {files.ENV, "secrets/"}) if kept.omit else []
    return {name: work / name for name, _ in contents}, left_out


@contextmanager
def _workplace(site: Site) -> Iterator[Path]:
    """A temporary directory for the parts. The caller holds the deployment's lock, so older ones are left-overs."""
    where = site.backups_dir
    where.mkdir(mode=0o700, parents=True, exist_ok=True)
    for leftover in where.glob(".*.partial"):
        shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()
    work = Path(tempfile.mkdtemp(prefix=".", suffix=".partial", dir=where))
    try:
        yield work
    finally:
        shutil.rmtree(work)
        for leftover in where.glob(".*.partial"):
            leftover.unlink()


def _check_room(where: Path, needed: int) -> None:
    """A dump is smaller than its database, but it is on disk twice while the archive is written."""
    free = shutil.disk_usage(where).free
    if free < needed:
        raise TollgateError(
            f"expected {needed / 2**30:.1f} GiB of free disk below {where.parent}, found {free / 2**30:.1f}",
            "delete older archives there, or free disk space",
        )
