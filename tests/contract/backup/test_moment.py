"""A restore to a moment on a real Postgres with LiteLLM's schema, after its volume was destroyed."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.contract.backup.conftest import Server, docker
from tests.contract.backup.test_drill import content, write_rows, write_rows_of_another_team
from tests.support.eventually import eventually
from tests.support.site import new_home
from tollgate.errors import TollgateError
from tollgate.stack.backup import archive
from tollgate.stack.backup.archive import DATABASE
from tollgate.stack.backup.base import base_backup
from tollgate.stack.backup.database import Postgres
from tollgate.stack.backup.make import LIVE, Secrets, make
from tollgate.stack.backup.reach import usable_from
from tollgate.stack.backup.repository import Repository
from tollgate.stack.host.progress import PlainProgress
from tollgate.stack.restore.moment import archived_up_to_now

pytestmark = pytest.mark.docker

LOGS = 20_000


def now_of(postgres: Postgres) -> datetime:
    """The server's clock, which also stamps commits. The next commit comes later than this moment."""
    return datetime.fromisoformat(
        postgres.sql("SELECT to_char(clock_timestamp(), 'YYYY-MM-DD HH24:MI:SS.USOF')").strip()
    )


def test_the_rows_of_a_moment_come_back_after_a_lost_volume(archiving: Server, tmp_path: Path) -> None:
    site, postgres, repository = (
        new_home(tmp_path / "home"),
        Postgres(archiving.name),
        Repository.inside(archiving.name),
    )
    repository.ensure()
    repository.ensure()
    assert repository.reaches() == [], "twin: without a base backup there is no moment"
    write_rows(postgres, 1, LOGS // 2)
    assert base_backup(postgres, "full").kind == "full"
    # pgBackRest gives the end in whole seconds, so a moment in that second may be too early.
    reachable = usable_from(repository.bases()[-1])
    eventually(lambda: now_of(postgres) > reachable, within=10)
    postgres.sql("DELETE FROM \"LiteLLM_TeamTable\" WHERE team_id = 'acme'", LIVE)  # written again by the next line
    write_rows(postgres, LOGS // 2 + 1, LOGS)
    before, rows, moment = content(postgres), postgres.rows(LIVE), now_of(postgres)
    write_rows_of_another_team(postgres)
    postgres.sql("DELETE FROM \"LiteLLM_SpendLogs\" WHERE request_id < 'r5'", LIVE)
    assert archived_up_to_now(postgres)
    assert content(postgres) != before, "twin: the comparison must see what was written after the moment"

    archiving.destroy()
    postgres = archiving.start()
    assert postgres.rows(LIVE) == {}, "twin: the new volume must be empty"
    repository = Repository.inside(archiving.name)
    repository.ensure()

    began = time.monotonic()
    reaches = repository.reaches()
    assert len(reaches) == 1
    base = reaches[0].base_for(moment)
    assert base
    for outside in (reaches[0].since - timedelta(seconds=1), reaches[0].until, datetime.now(UTC) + timedelta(days=1)):
        assert reaches[0].base_for(outside) is None
    with archiving.recovery().of(base, moment, PlainProgress()) as recovered:
        made = make(site, recovered, Secrets(omit=True), PlainProgress(), prefix="at", moment=moment)
    assert made.archive.manifest.rows == rows
    assert docker("ps", "--all", "--quiet", "--filter", f"name={archiving.name}-recovery") == ""
    with archive.read(made.archive.file).part(DATABASE) as dump:
        postgres.load(dump, "restored")
    assert content(postgres, "restored") == before
    print(
        f"moment: {sum(rows.values())} rows, {made.archive.manifest.size >> 20} MiB, {time.monotonic() - began:.1f} s"
    )

    # The repository keeps the archives of the new and the lost cluster, and moments of both can be restored.
    assert base_backup(postgres, "diff").kind == "full", "this cluster has no base backup yet"
    # pgBackRest gives the end in whole seconds, so a commit in that second does not count as later.
    eventually(lambda: archived_up_to_now(postgres) and len(repository.reaches()) == 2, within=60)


def test_postgres_refuses_a_moment_after_the_end_of_the_wal(archiving: Server) -> None:
    """`base_for` never asks for such a moment. Postgres itself refuses it too."""
    base = Repository.inside(archiving.name).bases()[0]
    with (
        pytest.raises(TollgateError, match="recovery ended before configured recovery target was reached"),
        archiving.recovery().of(base, datetime.now(UTC) + timedelta(days=1), PlainProgress()),
    ):
        pytest.fail("it was reached")
    assert docker("volume", "ls", "--quiet", "--filter", f"name={archiving.name}-recovery") == ""


def test_failing_archiving_is_counted_and_the_database_serves(archiving: Server) -> None:
    """Archiving continues after the repair. While it is off, no WAL waits for it."""
    postgres = Postgres(archiving.name)
    failed = "SELECT failed_count FROM pg_stat_archiver"
    before = int(postgres.sql(failed))
    within = ("exec", archiving.name, "sh", "-c")
    docker(*within, "mv /var/lib/pgbackrest/archive /var/lib/pgbackrest/away")
    postgres.sql("SELECT pg_current_xact_id();\nSELECT pg_switch_wal();")
    eventually(lambda: int(postgres.sql(failed)) > before, within=30)
    write_rows_of_yet_another_team(postgres)
    docker(*within, "rm -rf /var/lib/pgbackrest/archive && mv /var/lib/pgbackrest/away /var/lib/pgbackrest/archive")
    # Postgres retries within a minute.
    eventually(lambda: archived_up_to_now(postgres), within=90)

    archiving.archive(on=False)
    count = "SELECT archived_count FROM pg_stat_archiver"
    chain = Repository.inside(archiving.name).chains()[-1]
    done = int(postgres.sql(count))
    assert archived_up_to_now(postgres), "archive.sh reports success"
    assert int(postgres.sql(count)) > done
    assert Repository.inside(archiving.name).chains()[-1] == chain, "but it kept nothing"


def write_rows_of_yet_another_team(postgres: Postgres) -> None:
    postgres.sql("CREATE TABLE IF NOT EXISTS still_serving (n int);\nINSERT INTO still_serving VALUES (1);")
