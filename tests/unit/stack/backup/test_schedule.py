"""When the scheduler runs, which archives it keeps, and what the command prints about it."""

from __future__ import annotations

import importlib.metadata
import re
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.support.site import new_home
from tollgate.cli.backup_schedule import must_run, words
from tollgate.config.env import settings as env
from tollgate.config.env.schedule import checked, following
from tollgate.errors import StepError
from tollgate.site import Site
from tollgate.stack.backup import metric
from tollgate.stack.backup.archive import stamp
from tollgate.stack.backup.make import prune
from tollgate.stack.backup.scheduler.clock import LATEST, SOON, Clock
from tollgate.stack.backup.scheduler.network import NetworkPostgres, log_in
from tollgate.stack.containers.optional import NotUp

ROOT = Site.here().root
NIGHTLY = "17 2 * * *"
NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
TONIGHT = datetime(2026, 11, 22, 2, 17, tzinfo=UTC)


def test_the_next_run_follows_the_schedule() -> None:
    assert following(NIGHTLY, NOON) == TONIGHT
    assert following(NIGHTLY, TONIGHT) == TONIGHT + timedelta(days=1)
    assert following("*/15 * * * 1-5", NOON) == datetime(2026, 11, 23, tzinfo=UTC), "a Saturday"


@pytest.mark.parametrize("text", ["", "off", "  off "])
def test_empty_and_off_mean_no_schedule(text: str) -> None:
    assert checked(text) == ""


@pytest.mark.parametrize("text", ["61 2 * * *", "17 2 * *", "@daily at two", "17 2 31 2 *x", "17 25 * * *"])
def test_text_that_is_not_a_schedule_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected minute, hour, day, month and weekday"):
        checked(text)


def test_a_missed_run_is_due_at_once() -> None:
    assert Clock.since(NIGHTLY, NOON - timedelta(hours=3), NOON).due == TONIGHT
    assert Clock.since(NIGHTLY, NOON - timedelta(days=2), NOON).due < NOON
    assert Clock.since(NIGHTLY, None, NOON).due == NOON
    assert Clock.since(NIGHTLY, NOON + timedelta(days=400), NOON).due == NOON, "the clock was wrong"


def test_a_failed_run_is_retried_soon_and_then_less_often() -> None:
    clock, waits = Clock(NIGHTLY, NOON), []
    for _ in range(8):
        clock.failed(NOON)
        waits.append(clock.due - NOON)
    assert waits[:3] == [SOON, SOON * 2, SOON * 4]
    assert waits[-1] == LATEST
    clock.succeeded(NOON)
    assert (clock.due, clock.failures) == (TONIGHT, 0)


def test_archives_are_kept_by_number_and_age_the_newest_always(tmp_path: Path) -> None:
    site = new_home(tmp_path / "home")
    site.backups_dir.mkdir(parents=True)
    ages = [1, 5, 10, 20, 30]
    names = {age: f"tollgate-{stamp(NOON - timedelta(days=age))}.tar" for age in ages}
    for name in (*names.values(), "before-20200101T000000Z.tar"):
        (site.backups_dir / name).touch()
    assert [file.name for file in prune(site, 4, NOON - timedelta(days=15))] == [names[20], names[30]]
    assert [file.name for file in prune(site, 2)] == [names[10]]
    assert [file.name for file in prune(site, 2, NOON)] == [names[5]]
    assert sorted(file.name for file in site.backups_dir.iterdir()) == ["before-20200101T000000Z.tar", names[1]]


def test_the_time_of_the_last_backup_comes_from_the_metrics_file(tmp_path: Path) -> None:
    site = new_home(tmp_path / "home")
    assert metric.last(site) is None
    metric.tell_base(site, NOON)
    assert metric.last(site) is None, "this is another metric"
    (site.metrics_dir / "backup.prom").write_text("tollgate_backup_last_success_timestamp_seconds 1795262400\n")
    assert metric.last(site) == NOON


def test_no_argument_contains_the_password(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGPASSFILE", "")
    (tmp_path / "secret").write_text("pass:with\\both\n")
    log_in(tmp_path / "secret", tmp_path / "pgpass")
    assert (tmp_path / "pgpass").read_text() == "*:*:*:*:pass\\:with\\\\both\n"
    assert (tmp_path / "pgpass").stat().st_mode & 0o777 == 0o600
    command = NetworkPostgres("postgres")._command
    assert command("pg_dump", "-Fc") == ["pg_dump", "-h", "postgres", "-U", "litellm", "-w", "-Fc"]
    assert command("pg_restore", "--file=-") == ["pg_restore", "--file=-"], "it makes no connection"


def test_the_command_prints_the_schedule() -> None:
    on = env.parse(f"BACKUP_SCHEDULE={NIGHTLY}\nBACKUP_KEEP=30\n", Path(".env"))
    lines = words(on, NOON)
    assert "next on 2026-11-22 at 02:17" in lines[0]
    assert lines[1].startswith("Kept: 30 archives, none longer than 14 days")
    assert "Secrets are left out" in lines[2]
    assert words(env.parse("", Path(".env")), NOON)[0].startswith("Scheduled backups are off")


def test_the_schedulers_image_has_everything_that_it_imports() -> None:
    """The image has only the locked packages of images/tollgate, and src/ without the command line."""
    code = (
        "import sys, tollgate.stack.backup.scheduler.__main__\n"
        "print('\\n'.join(sorted({name.partition('.')[0] for name in sys.modules} | "
        "{name for name in sys.modules if name.startswith('tollgate.')})))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    imported = set(done.stdout.split())
    assert not {name for name in imported if name.startswith("tollgate.cli")}
    packages = importlib.metadata.packages_distributions()
    wanted = {packages[name][0].lower() for name in imported if name in packages}
    wanted -= {"tollgate", "editables", "setuptools"}
    locked = re.findall(
        r"^([\w.-]+)(?:\[\w+\])?==", (ROOT / "images/tollgate/requirements.lock").read_text(), re.MULTILINE
    )
    assert wanted >= {"cronsim", "pyrage"}, "twin: the test sees them"
    assert {name.replace("_", "-") for name in wanted} - set(locked) == set()


def test_the_command_fails_if_the_scheduler_is_not_up() -> None:
    loki = NotUp("loki", "it stopped (exit status 1)", "mend it")
    must_run([loki])
    with pytest.raises(StepError, match="backup is not up: it stopped") as failed:
        must_run([loki, NotUp("backup", "it stopped (exit status 1)", "mend it", ("no room",))])
    assert failed.value.log == ("no room",)
