"""The settings of a site: .env written once, and what of the process environment counts."""

from __future__ import annotations

import shutil
import stat
from pathlib import Path

import pytest

from tollgate.config.env import Settings
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


def test_env_is_written_once_and_only_its_owner_may_read_it(site: Site) -> None:
    assert configuration.ensure_env(site)
    assert site.env_file.read_text() == site.env_example.read_text()
    assert stat.S_IMODE(site.env_file.stat().st_mode) == 0o600
    assert sorted(path.name for path in site.home.iterdir()) == [".env", "config"], "no temporary file is left"


def test_an_operators_env_is_never_touched(site: Site) -> None:
    site.env_file.write_text("REPLICAS=5\n")
    site.env_file.chmod(0o640)
    before = site.env_file.stat()
    assert not configuration.ensure_env(site)
    after = site.env_file.stat()
    # Not the time of its last reading, which may fall into another second.
    assert (after.st_ino, after.st_mode, after.st_ctime_ns) == (before.st_ino, before.st_mode, before.st_ctime_ns)
    assert site.env_file.read_text() == "REPLICAS=5\n"


def test_one_that_appears_meanwhile_wins(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def copy(source: Path, target: Path) -> None:
        target.write_text("")
        site.env_file.write_text("REPLICAS=5\n")

    monkeypatch.setattr(configuration.shutil, "copyfile", copy)
    with pytest.raises(FileExistsError):
        configuration.ensure_env(site)
    assert site.env_file.read_text() == "REPLICAS=5\n"
    assert not site.env_file.with_name(".env.new").exists()


def test_a_setting_in_the_environment_wins_over_env(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.env_file.write_text("IMAGE_SOURCE=auto\nREPLICAS=2\n")
    monkeypatch.setenv("IMAGE_SOURCE", "local")
    loaded = configuration.load(site).settings
    assert (loaded.image_source, loaded.replicas) == ("local", 2)
    assert configuration.settings(site).image_source == "local"


def test_without_env_there_are_defaults_and_the_environment(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    assert configuration.settings(site).compose_project_name == "tollgate"
    monkeypatch.setenv("COMPOSE_PROJECT_NAME", "other")
    assert configuration.project(site) == "other"


def test_a_provider_key_in_the_environment_is_not_taken(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key in somebody's shell is not yet a decision to spend it for everyone."""
    site.env_file.write_text("")
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-ant-from-the-shell")
    loaded = configuration.load(site)
    assert loaded.settings.provider_keys == {}
    assert set(loaded.catalogue.models) == {"test-model"}


def test_twin_a_provider_key_in_env_is_taken(site: Site) -> None:
    site.env_file.write_text("ANTHROPIC_API_KEY=sk-ant-from-the-file\n")
    loaded = configuration.load(site)
    assert set(loaded.settings.provider_keys) == {"ANTHROPIC_API_KEY"}
    assert len(loaded.catalogue.models) > 1


def test_models_left_out_for_one_reason_are_one_line(site: Site) -> None:
    site.env_file.write_text("OPENROUTER_API_KEY=sk-or-123\n")
    catalogue = configuration.load(site).catalogue
    lines = configuration.left_out(catalogue)
    assert len(lines) == len({reason for _, reason in catalogue.left_out})
    for name, reason in catalogue.left_out:
        assert [line for line in lines if name in line and line.endswith(reason)]
