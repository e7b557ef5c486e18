"""pgBackRest's repository, asked in a container that has it: the running Postgres, or one made for the question."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from tollgate.errors import TollgateError
from tollgate.stack.backup import reach
from tollgate.stack.backup.reach import STANZA, Base, Chain, Reach
from tollgate.stack.compose import Compose
from tollgate.stack.docker import docker

PATH = "/var/lib/pgbackrest"
POSTGRES = "postgres"
HINT = "`make logs S=postgres` tells more; docs/runbooks/restore.md"
_LONG = 600
# 28: what is in the repository is another cluster's, because the volume was made anew. Its log then begins anew, and
# what was archived before can be restored as before.
_ENSURE = f"""
pgbackrest --stanza={STANZA} --log-level-console=off --log-level-stderr=error stanza-create || {{
  [ $? = 28 ] && pgbackrest --stanza={STANZA} --log-level-console=off --log-level-stderr=error stanza-upgrade
}}
"""
# The moment of the last commit in one file of the log. The file need not be whole behind it.
_LAST_COMMIT = """
set -e
directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT
pgbackrest --log-level-console=off --log-level-stderr=error repo-get "$1" | zstd -dcq >"$directory/$2"
pg_waldump --rmgr=Transaction "$directory/$2" 2>/dev/null | sed -n 's/.*desc: COMMIT \\([0-9-]* [0-9:.]*\\) .*/\\1/p' |
  sort | tail -n 1
"""


def options(compose: Compose) -> tuple[str, ...]:
    """How `docker run` gives a container the repository, which it can only read, and nothing else of the host."""
    configuration = f"{compose.environment['TOLLGATE_RENDERED']}/pgbackrest"
    mounts = ("-v", f"{compose.project}_postgres-archive:{PATH}:ro", "-v", f"{configuration}:/etc/pgbackrest:ro")
    return (*confinement(), *mounts)


def confinement() -> tuple[str, ...]:
    """What the Compose files give every container of ours, as options of `docker run`; and no network."""
    confined = ("--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges:true", "--network", "none")
    return (*confined, "--user", "999:999", "-e", "TZ=UTC", "--tmpfs", "/tmp:mode=1777")  # noqa: S108  the container's


@dataclass(frozen=True)
class Repository:
    """`run` runs a program where the repository is, and returns what it printed or raises TollgateError."""

    run: Callable[[Sequence[str]], str]

    @classmethod
    def of(cls, compose: Compose) -> Repository:
        """In the running Postgres; else, for it may be what was lost, in a container of its image."""
        running = compose.running()
        if POSTGRES in running:
            return cls.inside(running[POSTGRES][0])
        image = compose.environment["POSTGRES_IMAGE"]
        return cls(partial(_docker, ("docker", "run", "--rm", *options(compose), image)))

    @classmethod
    def inside(cls, container: str) -> Repository:
        return cls(partial(_docker, ("docker", "exec", container)))

    def ensure(self) -> None:
        """The stanza of the cluster that runs; repeated, it changes nothing."""
        self.run(("sh", "-c", _ENSURE))

    def bases(self) -> list[Base]:
        return reach.bases(self._pgbackrest(f"--stanza={STANZA}", "--output=json", "info"))

    def chains(self) -> list[Chain]:
        found = self.bases()
        return reach.chains(found, self.archived()) if found else []

    def reaches(self) -> list[Reach]:
        """What can be restored, the oldest first; more than one where the log has gaps."""
        found = (reach.reach(chain, self.last_commit(chain)) for chain in self.chains())
        return sorted((one for one in found if one), key=lambda one: one.since)

    def last_commit(self, chain: Chain) -> datetime | None:
        for name, path in reversed(chain.files):
            script = ("sh", "-c", _LAST_COMMIT, "sh", f"archive/{STANZA}/{path}", name)
            if answer := self.run(script).strip():
                return datetime.fromisoformat(f"{answer}+00:00")
        return None

    def size(self) -> int:
        """Bytes of base backups and log."""
        return int(self.run(("du", "-sb", PATH)).split()[0])

    def free(self) -> int:
        """Bytes that are left where it lies."""
        return int(self.run(("sh", "-c", f"df -B1 --output=avail {PATH} | tail -n 1")))

    def archived(self) -> dict[str, dict[str, str]]:
        """The files of the log: each cluster's, name to path."""
        return reach.files(self._pgbackrest("--recurse", "--output=json", "repo-ls", f"archive/{STANZA}"))

    def _pgbackrest(self, *words: str) -> str:
        return self.run(("pgbackrest", "--log-level-console=off", "--log-level-stderr=error", *words))


def _docker(prefix: Sequence[str], program: Sequence[str]) -> str:
    try:
        return docker([*prefix, *program], timeout=_LONG, what=program[0])
    except TollgateError as error:
        raise TollgateError(error.message, HINT) from None
