"""Part one: what each rule refuses. Part two: the state after a failure. Fakes replace Docker."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from tests.support.images import stand_ins
from tests.support.site import new_home
from tests.unit.stack.deploy.test_steps import Shown
from tests.unit.stack.images.test_litellm import NEWEST, OLDER, deployed
from tollgate.cli.app import app
from tollgate.errors import StepError, TollgateError
from tollgate.migrate import releases
from tollgate.site import Site
from tollgate.stack.configuration import change_env, settings
from tollgate.stack.containers.compose import Compose
from tollgate.stack.containers.container import Container
from tollgate.stack.upgrade import change, check, record, schema
from tollgate.stack.upgrade.change import ReleaseSwitch
from tollgate.stack.upgrade.record import Record

GIB = 2**30
DROPS = 'ALTER TABLE "LiteLLM_TeamTable" DROP COLUMN "spend"'


@dataclass
class Machine:
    """A deployment of OLDER that can be upgraded. Each test breaks one thing."""

    site: Site
    applied: list[str] = field(default_factory=lambda: sorted(releases.migrations(OLDER)))
    size: int = GIB
    volume_free: int = 100 * GIB
    disk_free: int = 100 * GIB
    replicas: dict[str, str] = field(default_factory=lambda: dict.fromkeys(("litellm-1", "litellm-2"), "running"))
    images: set[str] = field(default_factory=set)
    docker_gib: float = 100.0

    def containers(self, _: Compose) -> list[Container]:
        return [Container(name, name, name, state, "healthy", 0, "") for name, state in self.replicas.items()]

    def findings(self, to: str = "") -> dict[str, str]:
        """The failed rules: name to text."""
        findings = check.upgrade(self.site, to).findings
        assert [each.name for each in findings] == ["image", "replicas", "migrations", "way back", "disk", "backup"]
        return {finding.name: finding.text for finding in findings if not finding.ok}


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    site = new_home(tmp_path / "home", f"LITELLM_VERSION={OLDER}", "IMAGE_SOURCE=local")
    deployed(site, f"LITELLM_VERSION='{OLDER}'")
    made = Machine(site)
    postgres = SimpleNamespace(
        migrations=lambda _: tuple(made.applied), size=lambda _: made.size, free=lambda: made.volume_free
    )
    monkeypatch.setattr(check, "running_postgres", lambda _: postgres)
    monkeypatch.setattr(check, "present", lambda: made.images)
    monkeypatch.setattr(check, "disk_free_gib", lambda: made.docker_gib)
    monkeypatch.setattr(check.shutil, "disk_usage", lambda _: SimpleNamespace(free=made.disk_free))
    monkeypatch.setattr(Compose, "services", lambda _: ["litellm-1", "litellm-2", "migrate", "nginx"])
    monkeypatch.setattr(Compose, "containers", lambda compose: made.containers(compose))
    return made


@pytest.fixture(autouse=True)
def lists(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Fake lists: the newer release has one more migration. The real lists change with every version."""
    (tmp_path / f"{OLDER}.txt").write_text("# a comment\n2025_first\n2025 second\n")
    (tmp_path / f"{NEWEST}.txt").write_text("2025_first\n2025 second\n2026_adds\n")
    monkeypatch.setattr(releases, "HERE", tmp_path)
    return tmp_path


@pytest.fixture
def drops(lists: Path) -> str:
    """Add a migration that drops a column."""
    with (lists / f"{NEWEST}.txt").open("a") as stream:
        stream.write(f"2026_drops\t{DROPS}\n")
    return "2026_drops"


# ---- part one


def test_the_newest_known_release_is_the_default_target(machine: Machine) -> None:
    upgrade = check.upgrade(machine.site)
    assert (upgrade.current, upgrade.target, upgrade.ok, upgrade.can_return) == (OLDER, NEWEST, True, True)
    assert machine.findings() == {}
    assert upgrade.schema is not None
    assert upgrade.schema.pending == ("2026_adds",)
    upgrade.refuse()


@pytest.mark.parametrize(
    ("to", "words", "hint"),
    [
        ("1.107.3", "expected a LiteLLM that this kit knows, found 1.107.3", f"it knows {OLDER}"),
        ("1.82.8", "1.82.8: is backdoored", "this kit knows"),
        ("1.84.0", "expected a LiteLLM that this kit knows, found 1.84.0", "it knows"),
    ],
)
def test_a_release_that_this_kit_does_not_know_is_refused(machine: Machine, to: str, words: str, hint: str) -> None:
    with pytest.raises(TollgateError, match=words) as refused:
        check.upgrade(machine.site, to)
    assert hint in refused.value.hint
    assert check.upgrade(machine.site, NEWEST).ok


def test_an_older_release_needs_rollback(machine: Machine) -> None:
    deployed(machine.site, f"LITELLM_VERSION='{NEWEST}'")
    with pytest.raises(TollgateError, match=f"LiteLLM {OLDER} is older than {NEWEST}") as refused:
        check.upgrade(machine.site, OLDER)
    assert "make rollback" in refused.value.hint


def test_a_stopped_replica_stops_the_upgrade(machine: Machine) -> None:
    machine.replicas["litellm-2"] = "exited"
    assert machine.findings() == {"replicas": "expected 2 healthy replicas; not healthy: litellm-2"}
    machine.replicas["litellm-2"] = "running"
    assert machine.findings() == {}


def test_a_full_database_volume_stops_the_upgrade(machine: Machine) -> None:
    machine.volume_free = GIB // 4
    assert machine.findings() == {"disk": "expected 512.0 MiB free on the database's volume, found 256.0 MiB"}


def test_only_a_missing_image_needs_disk_space(machine: Machine) -> None:
    machine.docker_gib = 1.0
    assert machine.findings() == {"disk": "expected 4 GiB free for the image, found 1.0"}
    catalogue = check.ImageSources.read("local", machine.site, "", NEWEST)
    machine.images = {catalogue.ways["LITELLM_IMAGE"].reference}
    assert machine.findings() == {}


def test_a_backup_that_would_not_fit_stops_the_upgrade(machine: Machine) -> None:
    machine.disk_free = GIB - 1
    assert list(machine.findings()) == ["backup"]


def test_all_problems_are_reported_at_once(machine: Machine) -> None:
    machine.disk_free, machine.docker_gib, machine.replicas = 0, 1.0, {}
    upgrade = check.upgrade(machine.site)
    with pytest.raises(TollgateError, match=r"nothing was changed: replicas: .*; disk: .*; backup: ") as refused:
        upgrade.refuse()
    assert refused.value.hint.count("; ") >= 2


def test_a_backup_says_whether_secrets_are_in_it(machine: Machine) -> None:
    texts = {finding.name: finding.text for finding in check.upgrade(machine.site).findings}
    assert "secrets are left out" in texts["backup"]
    change_env(machine.site, "BACKUP_AGE_RECIPIENT", "age1" + "q" * 58)
    with pytest.raises(TollgateError):  # it is not an age key, so the backup would fail
        check.upgrade(machine.site).refuse()


# ---- the way back


def test_after_migrations_that_only_add_rollback_works() -> None:
    applied = releases.migrations(OLDER)
    assert schema.look(applied, NEWEST, OLDER).in_the_way == ()
    assert schema.look(releases.migrations(NEWEST), OLDER, OLDER) == schema.Schema((), ())


def test_a_migration_that_drops_a_column_prevents_rollback(machine: Machine, drops: str) -> None:
    upgrade = check.upgrade(machine.site)
    texts = {finding.name: finding.text for finding in upgrade.findings}
    assert upgrade.ok
    assert not upgrade.can_return
    assert texts["way back"].startswith("NONE BUT A RESTORE")
    assert f"{drops} changes what {OLDER} uses: {DROPS}" in texts["way back"]


def test_an_unknown_migration_prevents_rollback() -> None:
    applied = {*releases.migrations(OLDER), "20990101_of_another_kit"}
    assert schema.look(applied, NEWEST, OLDER).in_the_way == (
        "this kit does not know the migrations 20990101_of_another_kit",
    )
    assert schema.look(releases.migrations(OLDER), NEWEST, "1.100.0").in_the_way


def test_without_a_terminal_the_upgrade_needs_yes(machine: Machine, drops: str) -> None:
    def type_in(*words: str) -> str:
        done = CliRunner().invoke(app, ["--home", str(machine.site.home), "upgrade", *words])
        assert done.exit_code == 1
        return str(done.exception)

    assert f"`make rollback` could not return to {OLDER}" in type_in("--yes")
    assert "this is not a terminal" in type_in()
    assert settings(machine.site).litellm_version == OLDER


def test_check_prints_the_findings_as_text_and_as_json(machine: Machine) -> None:
    shown = CliRunner().invoke(app, ["--home", str(machine.site.home), "upgrade", "--check"])
    assert shown.exit_code == 0
    assert f"LiteLLM {OLDER} -> {NEWEST}" in shown.output
    assert "way back" in shown.output
    machine.replicas = {}
    printed = CliRunner().invoke(app, ["--home", str(machine.site.home), "upgrade", "--check", "--json"])
    facts = json.loads(printed.stdout)
    assert printed.exit_code == 1
    assert (facts["ok"], facts["can_return"], facts["target"]) == (False, True, NEWEST)


# ---- rollback


def test_rollback_needs_a_recorded_upgrade_to_this_release(machine: Machine) -> None:
    with pytest.raises(TollgateError, match="no upgrade to it is recorded here"):
        check.rollback(machine.site)
    record.write(machine.site, Record(OLDER, NEWEST))
    with pytest.raises(TollgateError, match=f"LiteLLM {OLDER} is deployed"):
        check.rollback(machine.site)
    deployed(machine.site, f"LITELLM_VERSION='{NEWEST}'")
    machine.applied = sorted(releases.migrations(NEWEST))
    rollback = check.rollback(machine.site)
    assert (rollback.current, rollback.target, rollback.ok) == (NEWEST, OLDER, True)


def test_a_rollback_that_is_not_possible_names_the_backup(machine: Machine, drops: str) -> None:
    deployed(machine.site, f"LITELLM_VERSION='{NEWEST}'")
    record.write(machine.site, Record(OLDER, NEWEST, backup="var/backups/tollgate-1.tar", finished=True))
    machine.applied = sorted(releases.migrations(NEWEST))
    with pytest.raises(TollgateError, match=drops) as refused:
        check.rollback(machine.site).refuse()
    assert "tollgate-1.tar" in refused.value.hint


def test_a_broken_record_is_refused(machine: Machine) -> None:
    (machine.site.home / "var" / "upgrade.json").write_text('{"from": 1}')
    with pytest.raises(TollgateError, match=r"upgrade\.json: expected what"):
        record.read(machine.site)


# ---- part two


@dataclass
class Deploys:
    """Replaces Deploy: records the release of .env, and fails in the step that a test names."""

    site: Site
    fails_in: str = ""
    runs: list[str] = field(default_factory=list)

    def __call__(self, *_: object, **__: object) -> Deploys:
        self.timings: dict[str, float] = {}
        self.changes = ["started litellm-1"]
        return self

    def run(self, until: str = "") -> None:
        self.runs.append(f"{settings(self.site).litellm_version} until {until or 'the end'}")
        for step in ("rendering", "schema", "services"):
            if step == self.fails_in and not until:
                raise StepError(
                    step, "broken on purpose", "litellm-2 still serves as before; litellm-1 gets no requests."
                )
            self.timings[step] = 0.1


@pytest.fixture
def deploys(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> Deploys:
    made = Deploys(machine.site)
    monkeypatch.setattr(change, "Deploy", made)
    monkeypatch.setattr(change.Images, "provide", lambda *_: stand_ins())
    archive = SimpleNamespace(file=machine.site.home / "var" / "backups" / "tollgate-1.tar")
    monkeypatch.setattr(change, "make", lambda *_: SimpleNamespace(archive=archive))
    monkeypatch.setattr(change, "running_postgres", lambda _: None)
    monkeypatch.setattr(change.metric, "tell", lambda *_: None)
    return made


def test_an_upgrade_records_the_release_before(machine: Machine, deploys: Deploys) -> None:
    ReleaseSwitch(check.upgrade(machine.site), Shown()).run()
    last = record.read(machine.site)
    assert last is not None
    assert (last.before, last.target, last.finished) == (OLDER, NEWEST, True)
    assert last.backup.endswith("tollgate-1.tar")
    assert deploys.runs == [f"{NEWEST} until the end"]


def test_a_rollback_removes_the_record(machine: Machine, deploys: Deploys) -> None:
    ReleaseSwitch(check.upgrade(machine.site), Shown()).run()
    deployed(machine.site, f"LITELLM_VERSION='{NEWEST}'")
    ReleaseSwitch(check.rollback(machine.site), Shown()).run()
    assert settings(machine.site).litellm_version == OLDER
    assert record.read(machine.site) is None


def test_a_failure_before_the_rollout_restores_env_and_rendering(machine: Machine, deploys: Deploys) -> None:
    deploys.fails_in = "schema"
    with pytest.raises(StepError, match="broken on purpose") as failed:
        ReleaseSwitch(check.upgrade(machine.site), Shown()).run()
    assert f"Nothing was replaced: every replica serves {OLDER}" in failed.value.hint
    assert settings(machine.site).litellm_version == OLDER
    assert deploys.runs[-1] == f"{OLDER} until rendering"
    assert record.read(machine.site) is None


def test_a_failure_in_the_rollout_says_what_serves_and_what_to_do(machine: Machine, deploys: Deploys) -> None:
    deploys.fails_in = "services"
    with pytest.raises(StepError) as failed:
        ReleaseSwitch(check.upgrade(machine.site), Shown()).run()
    assert "litellm-2 still serves as before; litellm-1 gets no requests." in failed.value.hint
    assert f"`make rollback` returns to {OLDER}; `make deploy` continues with {NEWEST}" in failed.value.hint
    assert settings(machine.site).litellm_version == NEWEST
    last = record.read(machine.site)
    assert last is not None
    assert not last.finished


def test_an_interrupted_upgrade_continues(machine: Machine, deploys: Deploys) -> None:
    deploys.fails_in = "services"
    with pytest.raises(StepError):
        ReleaseSwitch(check.upgrade(machine.site), Shown()).run()
    deployed(machine.site, f"LITELLM_VERSION='{NEWEST}'")
    deploys.fails_in = ""
    rest = check.upgrade(machine.site)
    assert (rest.current, rest.target, rest.unfinished) == (NEWEST, NEWEST, True)
    ReleaseSwitch(rest, Shown()).run()
    assert not check.upgrade(machine.site).unfinished
    last = record.read(machine.site)
    assert last is not None
    assert last.before == OLDER
