"""Reads pgBackRest's repository in a container that mounts it: the running Postgres, or a temporary container."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from tollgate.errors import TollgateError
from tollgate.render.users import USERS
from tollgate.stack.backup import reach
from tollgate.stack.backup.reach import STANZA, Base, Chain, Reach
from tollgate.stack.containers.compose import Compose
from tollgate.stack.host.docker import docker

PATH = "/var/lib/pgbackrest"
USER = f"{USERS['postgres']}:{USERS['postgres']}"
POSTGRES = "postgres"
HINT = "`make logs S=postgres` shows more; see docs/runbooks/restore.md"
_LONG = 600
# 28: the repository belongs to another cluster, because the volume was created again. stanza-upgrade then begins a new
# WAL archive; moments of the old cluster can still be restored.
_ENSURE = f"""
pgbackrest --stanza={STANZA} --log-level-console=off --log-level-stderr=error stanza-create || {{
  [ $? = 28 ] && pgbackrest --stanza={STANZA} --log-level-console=off --log-level-stderr=error stanza-upgrade
}}
"""
# Prints the time of the last commit in one WAL file. The file may be incomplete after this commit.
_LAST_COMMIT = """
set -e
directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT
pgbackrest --log-level-console=off --log-level-stderr=error repo-get "$1" | zstd -dcq >"$directory/$2"
pg_waldump --rmgr=Transaction "$directory/$2" 2>/dev/null | sed -n 's/.*desc: COMMIT \\([0-9-]* [0-9:.]*\\) .*/\\1/p' |
  sort | tail -n 1
"""


def options(compose: Compose) -> tuple[str, ...]:
    """Options of `docker run` that mount the repository and its configuration read-only, and nothing else."""
    configuration = f"{compose.environment['TOLLGATE_RENDERED']}/pgbackrest"
    mounts = ("-v", f"{compose.project}_postgres-archive:{PATH}:ro,nocopy", "-v", f"{configuration}:/etc/pgbackrest:ro")
    return (*confinement(), *mounts)


def confinement() -> tuple[str, ...]:
    """The restrictions that the Compose files set for our containers, as options of `docker run`; and no network."""
    confined = ("--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges:true", "--network", "none")
    return (*confined, "--user", USER, "-e", "TZ=UTC", "--tmpfs", "/tmp:mode=1777")  # noqa: S108  the container's


@dataclass(frozen=True)
class Repository:
    """`run` runs a program in a container with the repository. It returns the output or raises TollgateError."""

    run: Callable[[Sequence[str]], str]

    @classmethod
    def of(cls, compose: Compose) -> Repository:
        """Use the running Postgres. If it does not run (its volume may be lost), use a container of its image."""
        running = compose.running()
        if POSTGRES in running:
            return cls.inside(running[POSTGRES][0])
        image = compose.environment["POSTGRES_IMAGE"]
        return cls(partial(_docker, ("docker", "run", "--rm", *options(compose), image)))

    @classmethod
    def inside(cls, container: str) -> Repository:
        return cls(partial(_docker, ("docker", "exec", container)))

    def ensure(self) -> None:
        """Create the stanza of the running cluster. A second call changes nothing."""
        self.run(("sh", "-c", _ENSURE))

    def bases(self) -> list[Base]:
        return reach.bases(self._pgbackrest(f"--stanza={STANZA}", "--output=json", "info"))

    def chains(self) -> list[Chain]:
        bases = self.bases()
        return reach.chains(bases, self.archived()) if bases else []

    def reaches(self) -> list[Reach]:
        """The ranges of moments that can be restored, oldest first. Each gap in the WAL begins a new range."""
        reaches = (reach.reach(chain, self.last_commit(chain)) for chain in self.chains())
        return sorted((each for each in reaches if each), key=lambda each: each.since)

    def last_commit(self, chain: Chain) -> datetime | None:
        for name, path in reversed(chain.files):
            script = ("sh", "-c", _LAST_COMMIT, "sh", f"archive/{STANZA}/{path}", name)
            if answer := self.run(script).strip():
                return datetime.fromisoformat(f"{answer}+00:00")
        return None

    def size(self) -> int:
        """Bytes of base backups and WAL."""
        return int(self.run(("du", "-sb", PATH)).split()[0])

    def free(self) -> int:
        """Free bytes on the repository's disk."""
        return int(self.run(("sh", "-c", f"df -B1 --output=avail {PATH} | tail -n 1")))

    def archived(self) -> dict[str, dict[str, str]]:
        """The WAL files of each cluster: name to path."""
        return reach.files(self._pgbackrest("--recurse", "--output=json", "repo-ls", f"archive/{STANZA}"))

    def _pgbackrest(self, *words: str) -> str:
        return self.run(("pgbackrest", "--log-level-console=off", "--log-level-stderr=error", *words))


def _docker(prefix: Sequence[str], program: Sequence[str]) -> str:
    try:
        return docker([*prefix, *program], timeout=_LONG, what=program[0])
    except TollgateError as error:
        raise TollgateError(error.message, HINT) from None
