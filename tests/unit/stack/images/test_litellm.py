"""The LiteLLM that a gateway runs: the kit's directories, the line in .env, and the last deploy."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.site import new_home
from tollgate.errors import InputError, TollgateError
from tollgate.site import Site
from tollgate.stack.configuration import settings
from tollgate.stack.containers.compose import Compose
from tollgate.stack.deployment import Deployment
from tollgate.stack.images import litellm as litellm_versions
from tollgate.stack.images import versions

ROOT = Site.here().root
VERSIONS = ROOT / "images" / "versions.env"
NEWEST = litellm_versions.known(ROOT)[-1]
OLDER = litellm_versions.known(ROOT)[0]


def deployed(site: Site, *lines: str) -> Compose:
    """A deployment that was rendered with `lines` in compose.env."""
    compose = Compose.core(site, "p")
    for file in compose.files:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    compose.env_file.write_text("\n".join(lines) + "\n")
    return compose


def of(site: Site) -> Deployment:
    return Deployment(site, settings(site), Compose.core(site, "p"))


@pytest.fixture
def site(tmp_path: Path) -> Site:
    site = new_home(tmp_path / "home")
    return Site(site.root, site.home)


def test_versions_are_ordered_by_number_and_the_kit_ships_the_newest() -> None:
    assert sorted(["1.108.10", "1.108.9", "1.99.0"], key=litellm_versions.order) == ["1.99.0", "1.108.9", "1.108.10"]
    assert litellm_versions.shipped(ROOT) == NEWEST
    assert len(litellm_versions.known(ROOT)) >= 2


@pytest.mark.parametrize("version", litellm_versions.known(ROOT))
def test_each_known_version_is_pinned_for_a_pull_and_for_a_build(version: str) -> None:
    pinned = versions.load(VERSIONS, version)
    lock = (versions.directory(VERSIONS) / version / "requirements.lock").read_text()
    assert pinned.pins["LITELLM_VERSION"] == version
    assert pinned.registry["LITELLM_IMAGE"].tag == f"v{version}"
    assert re.findall(r"^litellm==(\S+)", lock, re.MULTILINE) == [version]


def test_another_version_changes_only_litellm() -> None:
    default, older = versions.load(VERSIONS), versions.load(VERSIONS, OLDER)
    differ = {name for name in default.registry if default.registry[name] != older.registry[name]}
    differ |= {name for name in default.pins if default.pins[name] != older.pins[name]}
    assert differ == {"LITELLM_IMAGE", "LITELLM_VERSION"}
    assert versions.load(VERSIONS, NEWEST) == default


@pytest.mark.parametrize(
    ("version", "words"),
    [
        ("1.82.7", "1.82.7: is backdoored"),
        ("1.83.0", "1.83.0: SQL injection without any key"),
        ("1.107.0", "1.107.0: this kit does not know it\nhint:  .* to one that it knows: .*" + re.escape(OLDER)),
        ("../versions/1.108.9", "this kit does not know it"),
    ],
)
def test_a_bad_or_unknown_version_is_refused(version: str, words: str) -> None:
    with pytest.raises(InputError) as refused:
        versions.load(VERSIONS, version)
    assert re.search(words, str(refused.value))


def test_the_pins_of_an_older_version_are_checked_too(tmp_path: Path) -> None:
    other = versions.directory(tmp_path / "versions.env") / "1.100.0"
    other.mkdir(parents=True)
    (tmp_path / "versions.env").write_text("LITELLM_VERSION=1.108.10\n")
    (other / "versions.env").write_text("LITELLM_VERSION=1.100.0\nLITELLM_IMAGE=ghcr.io/x/y:v1.82.8\n")
    with pytest.raises(InputError, match=re.escape(str(other))):
        versions.load(tmp_path / "versions.env", "1.100.0")
    (other / "versions.env").write_text("LITELLM_VERSION=1.100.0\nLITELLM_IMAGE=ghcr.io/x/y:v1.100.0\n")
    assert versions.load(tmp_path / "versions.env", "1.100.0").pins["LITELLM_VERSION"] == "1.100.0"


def test_the_first_deploy_records_its_version(site: Site) -> None:
    nothing = of(site)
    assert litellm_versions.chosen(site) == NEWEST
    assert litellm_versions.record(nothing) == NEWEST
    assert settings(site).litellm_version == NEWEST
    assert litellm_versions.record(nothing) == ""


@pytest.mark.parametrize(
    "line",
    [
        f"LITELLM_VERSION='{OLDER}'",
        f"LITELLM_IMAGE='tollgate/litellm:{OLDER}-05270414d55e'",
        f"LITELLM_IMAGE='ghcr.io/berriai/litellm-non_root:v{OLDER}'",
        f"LITELLM_IMAGE='ghcr.io/berriai/litellm-non_root:v{OLDER}@sha256:{'0' * 64}'",
    ],
)
def test_a_kit_with_a_newer_version_keeps_the_deployed_one(site: Site, line: str) -> None:
    deployed(site, line)
    assert litellm_versions.record(of(site)) == OLDER
    assert litellm_versions.chosen(site) == OLDER


def test_a_version_that_the_kit_does_not_know_is_not_recorded(site: Site) -> None:
    deployed(site, "LITELLM_VERSION='1.100.0'")
    assert litellm_versions.record(of(site)) == NEWEST


def test_a_changed_version_in_env_needs_make_upgrade(site: Site) -> None:
    deployed(site, f"LITELLM_VERSION='{OLDER}'")
    litellm_versions.check_unchanged(of(site))
    litellm_versions.record(of(site))
    litellm_versions.check_unchanged(of(site))
    site.env_file.write_text(f"LITELLM_VERSION={NEWEST}\n")
    with pytest.raises(TollgateError, match=f"LiteLLM {OLDER} is deployed, and .env says") as refused:
        litellm_versions.check_unchanged(of(site))
    assert f"make upgrade TO={NEWEST}" in refused.value.hint


def test_the_version_in_the_process_environment_is_ignored(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.env_file.write_text(f"LITELLM_VERSION={OLDER}\n")
    monkeypatch.setenv("LITELLM_VERSION", NEWEST)
    monkeypatch.setenv("REPLICAS", "5")
    assert litellm_versions.chosen(site) == OLDER
    assert settings(site).replicas == 5


def test_an_invalid_version_in_env_is_refused(site: Site) -> None:
    site.env_file.write_text("LITELLM_VERSION=latest\n")
    with pytest.raises(InputError, match="LITELLM_VERSION"):
        settings(site)
