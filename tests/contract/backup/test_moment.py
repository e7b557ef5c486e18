"""The drill of a restore to a moment, on a real Postgres with LiteLLM's schema whose volume is destroyed on the way."""

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
from tollgate.stack.backup.restore_at import archived_up_to_now
from tollgate.stack.progress import PlainProgress

pytestmark = pytest.mark.docker

LOGS = 20_000


def now_of(postgres: Postgres) -> datetime:
    """The server's clock, which commits carry; a moment that no commit has, for the next one comes later."""
    return datetime.fromisoformat(
        postgres.sql("SELECT to_char(clock_timestamp(), 'YYYY-MM-DD HH24:MI:SS.USOF')").strip()
    )


def test_the_rows_of_a_moment_come_back_after_the_volume_was_destroyed(archiving: Server, tmp_path: Path) -> None:
    site, postgres, repository = (
        new_home(tmp_path / "home"),
        Postgres(archiving.name),
        Repository.inside(archiving.name),
    )
    repository.ensure()
    repository.ensure()
    assert repository.reaches() == [], "twin: without a base backup nothing is reachable"
    write_rows(postgres, 1, LOGS // 2)
    assert base_backup(postgres, "full").kind == "full"
    # Its end is known in whole seconds: a moment within that one is not within reach for sure.
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
    assert postgres.rows(LIVE) == {}, "twin: nothing may have outlived the volume"
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

    # The cluster that was made anew is archived beside the one that was lost, and both are reachable.
    assert base_backup(postgres, "diff").kind == "full", "of this cluster there is none yet"
    # pgBackRest says in whole seconds when a backup ended: a commit within the same one is not after it for sure.
    eventually(lambda: archived_up_to_now(postgres) and len(repository.reaches()) == 2, within=60)


def test_a_moment_that_the_log_does_not_reach_is_no_database(archiving: Server) -> None:
    """What `base_for` keeps away from it, tried: Postgres itself refuses to stand where nobody asked it to."""
    base = Repository.inside(archiving.name).bases()[0]
    with (
        pytest.raises(TollgateError, match="recovery ended before configured recovery target was reached"),
        archiving.recovery().of(base, datetime.now(UTC) + timedelta(days=1), PlainProgress()),
    ):
        pytest.fail("it was reached")
    assert docker("volume", "ls", "--quiet", "--filter", f"name={archiving.name}-recovery") == ""


def test_archiving_that_fails_stops_nobody_and_is_seen(archiving: Server) -> None:
    """Then it is mended and goes on; while it is off, nothing waits for it."""
    postgres = Postgres(archiving.name)
    failed = "SELECT failed_count FROM pg_stat_archiver"
    before = int(postgres.sql(failed))
    within = ("exec", archiving.name, "sh", "-c")
    docker(*within, "mv /var/lib/pgbackrest/archive /var/lib/pgbackrest/away")
    postgres.sql("SELECT pg_current_xact_id();\nSELECT pg_switch_wal();")
    eventually(lambda: int(postgres.sql(failed)) > before, within=30)
    write_rows_of_yet_another_team(postgres)
    docker(*within, "rm -rf /var/lib/pgbackrest/archive && mv /var/lib/pgbackrest/away /var/lib/pgbackrest/archive")
    # Postgres tries again after a minute at the latest; a word makes it look now.
    eventually(lambda: archived_up_to_now(postgres), within=90)

    archiving.archive(on=False)
    count = "SELECT archived_count FROM pg_stat_archiver"
    chain = Repository.inside(archiving.name).chains()[-1]
    done = int(postgres.sql(count))
    assert archived_up_to_now(postgres), "Postgres is told that it is done"
    assert int(postgres.sql(count)) > done
    assert Repository.inside(archiving.name).chains()[-1] == chain, "and nothing was kept"


def write_rows_of_yet_another_team(postgres: Postgres) -> None:
    postgres.sql("CREATE TABLE IF NOT EXISTS still_serving (n int);\nINSERT INTO still_serving VALUES (1);")
