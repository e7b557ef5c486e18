"""When the schedule runs, what it keeps, and what is said of it."""

from __future__ import annotations

import importlib.metadata
import re
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.support.site import new_home
from tollgate.cli.backup_schedule import words
from tollgate.config.env import Settings
from tollgate.config.schedule import checked, following
from tollgate.site import Site
from tollgate.stack.backup import metric
from tollgate.stack.backup.archive import stamp
from tollgate.stack.backup.make import directory, prune
from tollgate.stack.backup.scheduler.clock import LATEST, SOON, Clock
from tollgate.stack.backup.scheduler.network import NetworkPostgres, log_in

ROOT = Site.here().root
NIGHTLY = "17 2 * * *"
NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
TONIGHT = datetime(2026, 11, 22, 2, 17, tzinfo=UTC)


def test_the_next_run_is_the_schedules() -> None:
    assert following(NIGHTLY, NOON) == TONIGHT
    assert following(NIGHTLY, TONIGHT) == TONIGHT + timedelta(days=1)
    assert following("*/15 * * * 1-5", NOON) == datetime(2026, 11, 23, tzinfo=UTC), "a Saturday"


@pytest.mark.parametrize("text", ["", "off", "  off "])
def test_none_is_none(text: str) -> None:
    assert checked(text) == ""


@pytest.mark.parametrize("text", ["61 2 * * *", "17 2 * *", "@daily at two", "17 2 31 2 *x", "17 25 * * *"])
def test_what_is_no_schedule_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected minute, hour, day, month and weekday"):
        checked(text)


def test_a_run_that_was_missed_is_made_up_for_and_one_that_was_not_is_not() -> None:
    assert Clock.since(NIGHTLY, NOON - timedelta(hours=3), NOON).due == TONIGHT
    assert Clock.since(NIGHTLY, NOON - timedelta(days=2), NOON).due < NOON
    assert Clock.since(NIGHTLY, None, NOON).due == NOON
    assert Clock.since(NIGHTLY, NOON + timedelta(days=400), NOON).due == NOON, "a clock that was wrong"


def test_after_a_failure_it_is_tried_soon_and_then_more_rarely() -> None:
    clock, waits = Clock(NIGHTLY, NOON), []
    for _ in range(8):
        clock.failed(NOON)
        waits.append(clock.due - NOON)
    assert waits[:3] == [SOON, SOON * 2, SOON * 4]
    assert waits[-1] == LATEST
    clock.succeeded(NOON)
    assert (clock.due, clock.failures) == (TONIGHT, 0)


def test_archives_are_kept_by_number_and_by_age_and_the_newest_always(tmp_path: Path) -> None:
    site = new_home(tmp_path / "home")
    directory(site).mkdir(parents=True)
    ages = [1, 5, 10, 20, 30]
    names = {age: f"tollgate-{stamp(NOON - timedelta(days=age))}.tar" for age in ages}
    for name in (*names.values(), "before-20200101T000000Z.tar"):
        (directory(site) / name).touch()
    assert [file.name for file in prune(site, 4, NOON - timedelta(days=15))] == [names[20], names[30]]
    assert [file.name for file in prune(site, 2)] == [names[10]]
    assert [file.name for file in prune(site, 2, NOON)] == [names[5]]
    assert sorted(file.name for file in directory(site).iterdir()) == ["before-20200101T000000Z.tar", names[1]]


def test_when_the_last_one_was_is_read_from_what_prometheus_reads(tmp_path: Path) -> None:
    site = new_home(tmp_path / "home")
    assert metric.last(site) is None
    metric.tell_base(site, NOON)
    assert metric.last(site) is None, "another figure"
    (metric.directory(site) / "backup.prom").write_text("tollgate_backup_last_success_timestamp_seconds 1795262400\n")
    assert metric.last(site) == NOON


def test_the_password_is_in_no_argument(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGPASSFILE", "")
    (tmp_path / "secret").write_text("pass:with\\both\n")
    log_in(tmp_path / "secret", tmp_path / "pgpass")
    assert (tmp_path / "pgpass").read_text() == "*:*:*:*:pass\\:with\\\\both\n"
    assert (tmp_path / "pgpass").stat().st_mode & 0o777 == 0o600
    command = NetworkPostgres("postgres")._command
    assert command("pg_dump", "-Fc") == ["pg_dump", "-h", "postgres", "-U", "litellm", "-w", "-Fc"]
    assert command("pg_restore", "--file=-") == ["pg_restore", "--file=-"], "it only reads"


def test_what_is_said_of_it() -> None:
    on = Settings.model_validate({"BACKUP_SCHEDULE": NIGHTLY, "BACKUP_KEEP": "30"})
    lines = words(on, NOON)
    assert "next on 2026-11-22 at 02:17" in lines[0]
    assert lines[1].startswith("Kept: 30 archives, none longer than 14 days")
    assert "Secrets are left out" in lines[2]
    assert words(Settings.model_validate({}), NOON)[0].startswith("No backups are taken by themselves")


def test_what_the_container_imports_is_in_its_image() -> None:
    """Its image has the locked packages of images/tollgate and no more, and src/ without the command line."""
    code = (
        "import sys, tollgate.stack.backup.scheduler.__main__\n"
        "print('\\n'.join(sorted({name.partition('.')[0] for name in sys.modules} | "
        "{name for name in sys.modules if name.startswith('tollgate.')})))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    found = set(done.stdout.split())
    assert not {name for name in found if name.startswith("tollgate.cli")}
    packages = importlib.metadata.packages_distributions()
    wanted = {packages[name][0].lower() for name in found if name in packages} - {"tollgate", "editables", "setuptools"}
    locked = re.findall(
        r"^([\w.-]+)(?:\[\w+\])?==", (ROOT / "images/tollgate/requirements.lock").read_text(), re.MULTILINE
    )
    assert wanted >= {"cronsim", "pyrage"}, "twin: they are found"
    assert {name.replace("_", "-") for name in wanted} - set(locked) == set()
