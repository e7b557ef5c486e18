"""What is on disk while the stack's own secrets are rotated, and what each container gets meanwhile."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.support.images import stand_ins
from tests.support.site import new_home
from tollgate.config.secret import Secret
from tollgate.errors import TollgateError
from tollgate.render.output import write
from tollgate.site import Site
from tollgate.stack import configuration, live_secrets, publish, rendering, secrets
from tollgate.stack.compose import Compose
from tollgate.stack.database_login import verifier
from tollgate.stack.infrastructure import ROTATED, chosen

REDIS, POSTGRES = "redis_password", "postgres_password"


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    monkeypatch.setattr(os, "chown", lambda *_: None)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    made = new_home(tmp_path / "home")
    secrets.ensure(made)
    render(made)
    return made


def render(site: Site) -> None:
    loaded, images = configuration.load(site), stand_ins(watchers=False)
    handed_out = publish.published(site, loaded.settings)
    publish.write(site.rendered_dir / "secrets", handed_out, "image")
    files = rendering.rendered_files(site, loaded, grafana=False)
    write(site.rendered_dir, [*files, rendering.compose_env(site, loaded, images, files, handed_out)])


def environment(site: Site) -> dict[str, str]:
    return Compose.core(site, "t").environment


def republish(site: Site) -> None:
    told = ("postgres", "redis")
    rendering.republish(site, configuration.settings(site), environment(site), told=told)


def handed(site: Site, name: str) -> str:
    return (site.rendered_dir / "secrets" / name).read_text()


def test_redis_reads_one_password_and_both_while_it_is_rotated(site: Site) -> None:
    old = secrets.read(site, REDIS).reveal()
    assert handed(site, "redis/redis_auth.conf") == f"requirepass {old}\n"
    secrets.store(live_secrets.next_of(site, REDIS), Secret("new"))
    republish(site)
    assert handed(site, "redis/redis_auth.conf") == f"user default on >{old} >new ~* &* +@all\n"
    assert handed(site, "litellm/redis_password") == old
    live_secrets.promote(site, REDIS, keep_old=True)
    republish(site)
    assert handed(site, "redis/redis_auth.conf") == f"user default on >new >{old} ~* &* +@all\n"
    assert handed(site, "litellm/redis_password") == "new"
    live_secrets.old_of(site, REDIS).unlink()
    republish(site)
    assert handed(site, "redis/redis_auth.conf") == "requirepass new\n"


def test_replicas_are_recreated_for_it_and_redis_is_not(site: Site) -> None:
    before = environment(site)
    secrets.store(live_secrets.next_of(site, REDIS), Secret("new"))
    live_secrets.promote(site, REDIS)
    republish(site)
    after = environment(site)
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {"LITELLM_CONFIG_HASH", "REDIS_EXPORTER_CONFIG_HASH"}
    render(site)
    assert environment(site) == after, "the next deploy sees it the same way and recreates nothing"


def test_twin_a_password_changed_by_hand_recreates_redis(site: Site) -> None:
    before = environment(site)
    (site.secrets_dir / REDIS).write_text("by-hand")
    render(site)
    assert environment(site)["REDIS_CONFIG_HASH"] != before["REDIS_CONFIG_HASH"]


def test_what_a_running_container_has_mounted_is_written_over_not_replaced(site: Site) -> None:
    directory = site.rendered_dir / "secrets"
    inodes = {path: (directory / path).stat().st_ino for path in ("redis/redis_password", "litellm/redis_password")}
    (site.secrets_dir / REDIS).write_text("another")
    republish(site)
    assert handed(site, "redis/redis_password") == handed(site, "litellm/redis_password") == "another"
    same = {path: (directory / path).stat().st_ino == inode for path, inode in inodes.items()}
    assert same == {"redis/redis_password": True, "litellm/redis_password": False}
    assert not list(directory.rglob("*.new"))


def test_replicas_use_the_second_login_while_there_is_one(site: Site) -> None:
    first = secrets.read(site, POSTGRES).reveal()
    assert environment(site)["DATABASE_USER"] == "litellm"
    secrets.store(site.secrets_dir / live_secrets.ROTATION, Secret("second"))
    republish(site)
    assert (environment(site)["DATABASE_USER"], handed(site, "litellm/postgres_password")) == (
        "litellm_rotation",
        "second",
    )
    assert handed(site, "tollgate/postgres_password") == first, "the migrate job keeps to the first"
    render(site)
    assert environment(site)["DATABASE_USER"] == "litellm_rotation", "a deploy in between does not cut them off"
    (site.secrets_dir / live_secrets.ROTATION).unlink()
    republish(site)
    assert (environment(site)["DATABASE_USER"], handed(site, "litellm/postgres_password")) == ("litellm", first)


def test_the_verifier_is_the_one_postgres_makes() -> None:
    # RFC 7677's own example: user "user", password "pencil".
    import base64

    salt = base64.b64decode("W22ZaJ0SNY7soEsUEjb6gQ==")
    assert verifier(Secret("pencil"), salt) == (
        "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:"
        "wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="
    )


def test_what_can_be_rotated_is_named() -> None:
    assert chosen("") == ROTATED
    assert chosen("redis_password, litellm_master_key") == ("redis_password", "litellm_master_key")
    with pytest.raises(TollgateError, match="litellm_salt_key cannot be rotated"):
        chosen("litellm_salt_key")
    with pytest.raises(TollgateError, match="--only: expected litellm_master_key"):
        chosen("grafana")
