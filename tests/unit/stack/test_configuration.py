"""The settings of a site: .env is written once, and some settings of the process environment win over it."""

from __future__ import annotations

import shutil
import stat
from pathlib import Path

import pytest

from tollgate import disk
from tollgate.config.env.alerts import SECRETS
from tollgate.config.env.settings import Settings
from tollgate.site import Site
from tollgate.stack import configuration

ROOT = Site.here().root
SETTINGS = sorted(str(field.alias) for field in Settings.model_fields.values())


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in SETTINGS:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    (tmp_path / "config").mkdir()
    shutil.copyfile(ROOT / "config" / "gateway.yaml", tmp_path / "config" / "gateway.yaml")
    return Site(ROOT, tmp_path)


def test_env_is_written_once_and_only_its_owner_can_read_it(site: Site) -> None:
    assert configuration.ensure_env(site)
    assert site.env_file.read_text() == site.env_example.read_text()
    assert stat.S_IMODE(site.env_file.stat().st_mode) == 0o600
    assert sorted(path.name for path in site.home.iterdir()) == [".env", "config"], "no temporary file is left"


def test_an_existing_env_is_never_changed(site: Site) -> None:
    site.env_file.write_text("REPLICAS=5\n")
    site.env_file.chmod(0o640)
    before = site.env_file.stat()
    assert not configuration.ensure_env(site)
    after = site.env_file.stat()
    # Without the access time: the read above may change it.
    assert (after.st_ino, after.st_mode, after.st_ctime_ns) == (before.st_ino, before.st_mode, before.st_ctime_ns)
    assert site.env_file.read_text() == "REPLICAS=5\n"


def test_an_env_that_appears_meanwhile_is_not_replaced(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    create = disk.create

    def late(file: Path, content: bytes, mode: int) -> None:
        site.env_file.write_text("REPLICAS=5\n")
        create(file, content, mode)

    monkeypatch.setattr(disk, "create", late)
    with pytest.raises(FileExistsError):
        configuration.ensure_env(site)
    assert site.env_file.read_text() == "REPLICAS=5\n"


def test_a_setting_in_the_environment_wins_over_env(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.env_file.write_text("IMAGE_SOURCE=registry\nREPLICAS=2\n")
    monkeypatch.setenv("IMAGE_SOURCE", "local")
    loaded = configuration.load(site).settings
    assert (loaded.image_source, loaded.replicas) == ("local", 2)
    assert configuration.settings(site).image_source == "local"


@pytest.mark.parametrize(("cores", "gateways"), [(3, 3), (32, 4)])
def test_the_machine_decides_how_many_gateway_processes_there_are(
    site: Site, monkeypatch: pytest.MonkeyPatch, cores: int, gateways: int
) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda process: range(cores))
    assert configuration.load(site).settings.gateways == configuration.settings(site).gateways == gateways
    configuration.ensure_env(site)
    assert configuration.settings(site).gateways == gateways, "the line in .env.example is empty"
    configuration.change_env(site, "GATEWAYS", "0")
    assert configuration.load(site).settings.gateways == configuration.settings(site).gateways == 0


def test_without_env_the_defaults_and_the_environment_count(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    assert configuration.settings(site).compose_project_name == "tollgate"
    monkeypatch.setenv("COMPOSE_PROJECT_NAME", "other")
    assert configuration.settings(site).compose_project_name == "other"


def test_a_provider_key_in_the_environment_is_ignored(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key in one person's shell is not a decision to spend it for everyone."""
    site.env_file.write_text("")
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-ant-from-the-shell")
    loaded = configuration.load(site)
    assert loaded.settings.provider_keys == {}
    assert set(loaded.catalogue.models) == {"test-model"}


def test_twin_a_provider_key_in_env_is_used(site: Site) -> None:
    site.env_file.write_text("ANTHROPIC_API_KEY=sk-ant-from-the-file\n")
    loaded = configuration.load(site)
    assert set(loaded.settings.provider_keys) == {"ANTHROPIC_API_KEY"}
    assert len(loaded.catalogue.models) > 1


def test_models_left_out_for_the_same_reason_share_a_line(site: Site) -> None:
    site.env_file.write_text("OPENROUTER_API_KEY=sk-or-123\n")
    catalogue = configuration.load(site).catalogue
    lines = configuration.left_out(catalogue)
    assert len(lines) == len({reason for _, reason in catalogue.left_out})
    for name, reason in catalogue.left_out:
        assert [line for line in lines if name in line and line.endswith(reason)]


def test_a_secret_of_alerts_in_the_shell_is_ignored(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in SECRETS:
        monkeypatch.setenv(name, "https://hooks.example.com/of-one-person")
    monkeypatch.setenv("ALERT_EMAIL_OWNERS", "off")
    settings = configuration.settings(site)
    assert not any([settings.alert_smtp_password, settings.alert_slack_url, settings.alert_watchdog_url])
    assert settings.alert_email_owners == "off", "any other setting in the shell counts"
