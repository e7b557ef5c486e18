"""`make test-restore` on a whole stack: scheduled backups, and a moment restored, also after a lost volume."""

from __future__ import annotations

import json
import os
import subprocess
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.stack.test_backup import CALLS, CUT_OFF, ledger, send, sent, written
from tests.support.eventually import eventually
from tests.support.stack import Stack
from tollgate.stack.backup import archive
from tollgate.stack.backup.make import running_postgres
from tollgate.stack.restore.moment import archived_up_to_now

pytestmark = pytest.mark.skipif(os.environ.get("TOLLGATE_LONG_TESTS") != "1", reason="minutes; `make test-restore`")


def restore(stack: Stack, moment: datetime) -> dict[str, Any]:
    began = time.monotonic()
    text = f"{moment:%Y-%m-%d %H:%M:%S.%f}"
    done: dict[str, Any] = json.loads(stack.cli("restore", "--at", text, "--yes", "--json").stdout)
    print(f"restore to a moment: {done['rows']} rows, {time.monotonic() - began:.1f} s, of which {done['seconds']}")
    return done


def now_of(stack: Stack) -> datetime:
    shown = running_postgres(stack.compose).sql("SELECT extract(epoch FROM clock_timestamp())")
    return datetime.fromtimestamp(float(shown), UTC)


def test_without_archiving_no_moment_can_be_restored(stack: Stack) -> None:
    done = stack.cli("restore", "--at", "2026-11-21 10:00", "--yes", check=False)
    assert done.returncode == 1
    assert "no moment can be restored" in done.stderr
    assert "make backup-schedule" in done.stderr


def test_a_moment_comes_back_on_a_running_and_on_an_empty_stack(stack: Stack, allow_in_logs: list[str]) -> None:
    allow_in_logs.append(CUT_OFF)
    said = stack.cli("backup-schedule", "--keep", "5").stdout
    assert 'Backups are taken at "17 2 * * *" (UTC), next on ' in said
    # The scheduler takes the first archive and the first base backup at once.
    metrics = stack.site.rendered_dir / "metrics"
    eventually(lambda: all((metrics / f"{name}.prom").is_file() for name in ("backup", "base-backup")), within=180)
    first_archive = next((stack.home / "var" / "backups").glob("tollgate-*.tar"))
    assert archive.read(first_archive).manifest.rows["LiteLLM_TeamTable"] > 0
    container = stack.compose.running()["backup"][0]
    eventually(lambda: "verified" in stack.docker("logs", container), within=30)
    assert "secrets are left out" in stack.docker("logs", container)

    before = ledger(stack)
    send(stack)
    first = written(stack, before)
    moment = now_of(stack)
    send(stack)
    later = written(stack, first)

    refused = stack.cli("restore", "--at", "2020-01-01", "--yes", check=False)
    assert refused.returncode == 1
    assert "out of reach; nothing was changed" in refused.stderr
    assert "choose a moment from 20" in refused.stderr
    assert ledger(stack) >= later

    after = now_of(stack)
    done = restore(stack, moment)
    assert Path(done["kept"]).is_file(), "the old database is an archive"
    restored = ledger(stack)
    assert first <= restored
    late = sent(later - first)
    assert len(late) >= CALLS
    assert not late & restored, "twin: rows written after the moment are gone"

    # Other moments can still be restored, also one before that restore and after the volume is lost.
    assert archived_up_to_now(running_postgres(stack.compose))
    stack.docker("rm", "-f", "-v", stack.compose.running()["postgres"][0])
    stack.docker("volume", "rm", f"{stack.project}_postgres-data")
    restore(stack, after)
    assert later <= ledger(stack)
    send(stack)


def test_off_removes_the_scheduler_and_keeps_the_archives(stack: Stack) -> None:
    kept = set((stack.home / "var" / "backups").iterdir())
    assert "backup" in stack.compose.running()
    stack.cli("backup-schedule", "--off")
    assert "backup" not in stack.compose.running()
    assert set((stack.home / "var" / "backups").iterdir()) == kept
    assert Path(kept.pop()).exists()
    running = ("docker", "exec", stack.compose.running()["postgres"][0], "cat", "/etc/pgbackrest/archive.sh")
    assert "exit 0" in subprocess.run(running, capture_output=True, text=True, check=True).stdout
