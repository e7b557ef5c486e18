"""Secret files for containers: which service gets which, who owns them, and what a second run does not write."""

from __future__ import annotations

import os
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.receivers import EVERY_WAY
from tollgate.config.env.settings import Settings, parse
from tollgate.config.secret import Secret
from tollgate.errors import TollgateError
from tollgate.site import Site
from tollgate.stack.host.run import Ended
from tollgate.stack.secrets import publish
from tollgate.stack.secrets import store as secrets
from tollgate.stack.secrets.publish import Published

KEY = "sk-ant-a-provider-key-0123456789"
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
Given = list[tuple[str, int, int]]


@pytest.fixture
def site(tmp_path: Path) -> Site:
    made = Site(root=tmp_path / "kit", home=tmp_path / "home")
    secrets.ensure(made)
    return made


@pytest.fixture
def settings(site: Site) -> Settings:
    return parse(f"ANTHROPIC_API_KEY={KEY}\n", site.env_file)


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> Given:
    """Record the calls of chown instead of running it, so that these tests run as any user."""
    calls: Given = []

    def chown(path: Path, uid: int, gid: int) -> None:
        calls.append((f"{path.parent.name}/{path.name}", uid, gid))

    monkeypatch.setattr(publish.os, "chown", chown)
    monkeypatch.setattr(publish.os, "geteuid", lambda: 0)
    return calls


ONE = Published("redis", "redis_password", 999, Secret("first-value"))
OTHER = Published("litellm", "master_key", 65534, Secret("sk-other"))


def times(directory: Path) -> dict[str, int]:
    """Inode and change time. A file that was not written keeps both."""
    return {str(path): hash((path.stat().st_ino, path.stat().st_mtime_ns)) for path in directory.rglob("*")}


def test_each_service_gets_what_it_needs_and_nothing_else(site: Site, settings: Settings) -> None:
    by_service: dict[str, set[str]] = {}
    for file in publish.published(site, settings):
        by_service.setdefault(file.service, set()).add(file.name)
    assert by_service == {
        "postgres": {"postgres_password", "monitor_password"},
        "redis": {"redis_password", "redis_auth.conf"},
        "tollgate": {"postgres_password"},
        "litellm": {
            *(
                "postgres_password",
                "redis_password",
                "master_key",
                "salt_key",
                "provider_keys.json",
                "metrics_key",
                "handover_key",
            ),
        },
        "gateway": {
            *("postgres_password", "redis_password", "master_key", "provider_keys.json", "metrics_key", "handover_key"),
        },
        "prometheus": {"metrics_key"},
        "postgres-exporter": {"monitor_password"},
        "redis-exporter": {"redis_password_exporter"},
        "grafana": {"grafana_admin_password", "grafana_secret_key"},
        "alertmanager": {
            *("alertmanager_webhook_url", "alertmanager_smtp_password"),
            *("alertmanager_slack_url", "alertmanager_watchdog_url"),
        },
    }


def test_each_value_reaches_only_services_that_need_it(site: Site, settings: Settings) -> None:
    """Compare values and not names: a file with another name could contain the secret too."""
    holders = {
        spec.name: {
            file.service
            for file in publish.published(site, settings)
            if secrets.read(site, spec.name).reveal() in file.content.reveal()
        }
        for spec in secrets.GENERATED
    }
    assert holders == {
        "postgres_password": {"postgres", "tollgate", "litellm", "gateway"},
        "postgres_monitor_password": {"postgres", "postgres-exporter"},
        "redis_password": {"redis", "litellm", "gateway", "redis-exporter"},
        "litellm_master_key": {"litellm", "gateway"},
        "litellm_salt_key": {"litellm"},
        "handover_key": {"litellm", "gateway"},
        "replica_metrics_key": {"litellm", "gateway", "prometheus"},
        "grafana_admin_password": {"grafana"},
        "grafana_secret_key": {"grafana"},
    }
    assert {f.service for f in publish.published(site, settings) if KEY in f.content.reveal()} == {"litellm", "gateway"}


def test_the_basic_set_up_gets_its_one_key_and_the_provider_keys(site: Site, settings: Settings) -> None:
    secrets.ensure_basic(site)
    files = {file.name: file.content.reveal() for file in publish.published_basic(site, settings)}
    assert files["master_key"] == secrets.read(site, secrets.BASIC_KEY).reveal()
    assert KEY in files["provider_keys.json"]
    assert len(files) == 2


def test_the_operators_webhook_reaches_alertmanager(site: Site, settings: Settings) -> None:
    def webhook() -> str:
        return next(f.content.reveal() for f in publish.published(site, settings) if f.name == publish.WEBHOOK)

    assert webhook() == ""
    secrets.store(site.secrets_dir / publish.WEBHOOK, Secret("https://hooks.example.com/T0/B0"))
    assert webhook() == "https://hooks.example.com/T0/B0"


def test_the_secrets_of_alerts_reach_alertmanager_and_nobody_else(site: Site) -> None:
    chosen = parse(EVERY_WAY, site.env_file)
    files = publish.published(site, chosen)
    for value, name in (
        (chosen.alert_smtp_password, "alertmanager_smtp_password"),
        (chosen.alert_slack_url, "alertmanager_slack_url"),
        (chosen.alert_watchdog_url, "alertmanager_watchdog_url"),
    ):
        assert [(f.service, f.name) for f in files if value.reveal() in f.content.reveal()] == [("alertmanager", name)]
        assert value.reveal() not in repr(chosen) + repr(files)


def test_no_secret_shows_in_a_repr(site: Site, settings: Settings) -> None:
    shown = repr(publish.published(site, settings))
    assert "***" in shown
    assert KEY not in shown
    assert not [spec.name for spec in secrets.GENERATED if secrets.read(site, spec.name).reveal() in shown]


def test_the_digest_changes_with_a_secret_of_that_service_only(site: Site, settings: Settings) -> None:
    before = publish.published(site, settings)
    changed = publish.published(site, parse("ANTHROPIC_API_KEY=sk-ant-another-one\n", site.env_file))
    assert publish.digest(before, "litellm") != publish.digest(changed, "litellm")
    assert publish.digest(before, "postgres") == publish.digest(changed, "postgres")


def test_files_are_0400_in_our_own_directory_and_owned_by_their_user(tmp_path: Path, given: Given) -> None:
    directory = tmp_path / "secrets"
    assert publish.write(directory, [ONE, OTHER], "image") == [ONE.path, OTHER.path]
    assert (directory / ONE.path).read_text() == "first-value"
    assert stat.S_IMODE((directory / ONE.path).stat().st_mode) == 0o400
    assert {stat.S_IMODE(p.stat().st_mode) for p in (directory, directory / "redis", directory / "litellm")} == {0o700}
    assert given == [("redis/redis_password", 999, 999), ("litellm/master_key", 65534, 65534)]


@as_root
def test_root_changes_the_owner(tmp_path: Path) -> None:
    publish.write(tmp_path / "secrets", [ONE, OTHER], "image")
    owners = {file.path: (tmp_path / "secrets" / file.path).stat() for file in (ONE, OTHER)}
    assert {str(path): (state.st_uid, state.st_gid) for path, state in owners.items()} == {
        "redis/redis_password": (999, 999),
        "litellm/master_key": (65534, 65534),
    }


def test_unchanged_secrets_are_not_written_again(tmp_path: Path, given: Given) -> None:
    directory = tmp_path / "secrets"
    publish.write(directory, [ONE, OTHER], "image")
    before, given[:] = times(directory), []
    assert publish.write(directory, [ONE, OTHER], "image") == []
    assert times(directory) == before
    assert given == []


def test_only_what_changed_is_written_again(tmp_path: Path, given: Given) -> None:
    directory = tmp_path / "secrets"
    publish.write(directory, [ONE, OTHER], "image")
    given.clear()
    assert publish.write(directory, [replace(ONE, content=Secret("second")), OTHER], "image") == [ONE.path]
    assert (directory / ONE.path).read_text() == "second"
    assert given == [("redis/redis_password", 999, 999)]


def test_another_owner_counts_as_a_change(tmp_path: Path, given: Given) -> None:
    directory = tmp_path / "secrets"
    publish.write(directory, [ONE], "image")
    given.clear()
    publish.write(directory, [replace(ONE, uid=1000)], "image")
    assert given == [("redis/redis_password", 1000, 1000)]


def test_a_secret_that_is_no_longer_published_is_removed(tmp_path: Path, given: Given) -> None:
    directory = tmp_path / "secrets"
    publish.write(directory, [ONE, OTHER], "image")
    publish.write(directory, [ONE], "image")
    assert not (directory / OTHER.path).exists()
    assert (directory / ONE.path).exists()


def test_a_deleted_file_is_written_again(tmp_path: Path, given: Given) -> None:
    directory = tmp_path / "secrets"
    publish.write(directory, [ONE], "image")
    (directory / ONE.path).unlink()
    assert publish.write(directory, [ONE], "image") == [ONE.path]


@pytest.mark.parametrize("known", [False, True], ids=["first deploy", "published before"])
def test_a_directory_that_docker_left_in_its_place_is_replaced(tmp_path: Path, given: Given, known: bool) -> None:
    directory = tmp_path / "secrets"
    if known:
        publish.write(directory, [ONE], "image")
        (directory / ONE.path).unlink()
    (directory / ONE.path).mkdir(parents=True)
    assert publish.write(directory, [ONE], "image") == [ONE.path]
    assert (directory / ONE.path).read_text() == "first-value"


def test_a_failed_change_of_owner_is_repeated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The ledger is written last: a file with the wrong owner must not count as done."""
    monkeypatch.setattr(publish.os, "geteuid", lambda: 1000)
    refused = Ended(125, "", "docker: permission denied")
    monkeypatch.setattr(publish, "run", lambda *_, **__: refused)
    with pytest.raises(TollgateError, match=r"cannot give secret files .*: docker: permission denied"):
        publish.write(tmp_path / "secrets", [ONE], "image")
    monkeypatch.setattr(publish, "run", lambda *_, **__: Ended(0))
    assert publish.write(tmp_path / "secrets", [ONE], "image") == [ONE.path]
    assert publish.write(tmp_path / "secrets", [ONE], "image") == []


def test_without_root_a_container_does_the_chown_and_gets_no_value(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[list[str]] = []

    def run(command: list[str], **_: object) -> Ended:
        calls.append(command)
        return Ended(0)

    monkeypatch.setattr(publish.os, "geteuid", lambda: 1000)
    monkeypatch.setattr(publish, "run", run)
    publish.write(tmp_path / "secrets", [ONE, OTHER], "tollgate/tollgate:1")
    assert sorted(command[-2:] for command in calls) == [
        ["65534:65534", "/published/litellm/master_key"],
        ["999:999", "/published/redis/redis_password"],
    ]
    for command in calls:
        assert "--network=none" in command
        assert "--cap-drop=ALL" in command
        assert not {"first-value", "sk-other"} & {word for part in command for word in part.split("=")}


def test_the_ledger_holds_no_secret(tmp_path: Path, given: Given) -> None:
    publish.write(tmp_path / "secrets", [ONE, OTHER], "image")
    ledger = tmp_path / "secrets" / "published.json"
    assert "first-value" not in ledger.read_text()
    assert stat.S_IMODE(ledger.stat().st_mode) == 0o400
