"""The files on disk while the stack's own secrets are rotated, and the secrets that each container gets then."""

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
from tollgate.stack import configuration
from tollgate.stack.deploy import render as rendering
from tollgate.stack.deployment import Deployment
from tollgate.stack.passwords.database import verifier
from tollgate.stack.passwords.rotate import ROTATED, chosen
from tollgate.stack.secrets import changing, publish
from tollgate.stack.secrets import store as secrets

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
    files = rendering.rendered_files(site, loaded, [])
    write(site.rendered_dir, [*files, rendering.compose_env(site, loaded, images, files, handed_out)])


def environment(site: Site) -> dict[str, str]:
    return Deployment.of(site).compose.environment


def republish(site: Site) -> None:
    told = ("postgres", "redis")
    rendering.republish(Deployment.of(site), told=told)


def handed(site: Site, name: str) -> str:
    return (site.rendered_dir / "secrets" / name).read_text()


def test_redis_accepts_both_passwords_during_a_rotation(site: Site) -> None:
    old = secrets.read(site, REDIS).reveal()
    assert handed(site, "redis/redis_auth.conf") == f"requirepass {old}\n"
    secrets.store(changing.next_of(site, REDIS), Secret("new"))
    republish(site)
    assert handed(site, "redis/redis_auth.conf") == f"user default on >{old} >new ~* &* +@all\n"
    assert handed(site, "litellm/redis_password") == old
    changing.promote(site, REDIS, keep_old=True)
    republish(site)
    assert handed(site, "redis/redis_auth.conf") == f"user default on >new >{old} ~* &* +@all\n"
    assert handed(site, "litellm/redis_password") == "new"
    changing.old_of(site, REDIS).unlink()
    republish(site)
    assert handed(site, "redis/redis_auth.conf") == "requirepass new\n"


def test_a_new_redis_password_recreates_its_users_but_not_redis(site: Site) -> None:
    before = environment(site)
    secrets.store(changing.next_of(site, REDIS), Secret("new"))
    changing.promote(site, REDIS)
    republish(site)
    after = environment(site)
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {"LITELLM_CONFIG_HASH", "GATEWAY_CONFIG_HASH", "REDIS_EXPORTER_CONFIG_HASH"}
    render(site)
    assert environment(site) == after, "the next deploy recreates nothing"


def test_twin_a_password_changed_by_hand_recreates_redis(site: Site) -> None:
    before = environment(site)
    (site.secrets_dir / REDIS).write_text("by-hand")
    render(site)
    assert environment(site)["REDIS_CONFIG_HASH"] != before["REDIS_CONFIG_HASH"]


def test_a_file_that_a_running_container_mounts_is_overwritten(site: Site) -> None:
    directory = site.rendered_dir / "secrets"
    inodes = {path: (directory / path).stat().st_ino for path in ("redis/redis_password", "litellm/redis_password")}
    (site.secrets_dir / REDIS).write_text("another")
    republish(site)
    assert handed(site, "redis/redis_password") == handed(site, "litellm/redis_password") == "another"
    same = {path: (directory / path).stat().st_ino == inode for path, inode in inodes.items()}
    assert same == {"redis/redis_password": True, "litellm/redis_password": False}
    assert not list(directory.rglob("*.new"))


def test_replicas_use_the_second_login_during_a_rotation(site: Site) -> None:
    first = secrets.read(site, POSTGRES).reveal()
    assert environment(site)["DATABASE_USER"] == "litellm"
    secrets.store(site.secrets_dir / changing.ROTATION, Secret("second"))
    republish(site)
    assert (environment(site)["DATABASE_USER"], handed(site, "litellm/postgres_password")) == (
        "litellm_rotation",
        "second",
    )
    assert handed(site, "tollgate/postgres_password") == first, "the migrate job uses the first login"
    render(site)
    assert environment(site)["DATABASE_USER"] == "litellm_rotation", "a deploy during the rotation keeps it"
    (site.secrets_dir / changing.ROTATION).unlink()
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


def test_only_accepts_secrets_that_can_be_rotated() -> None:
    assert chosen("") == ROTATED
    assert chosen("redis_password, litellm_master_key") == ("redis_password", "litellm_master_key")
    with pytest.raises(TollgateError, match="litellm_salt_key cannot be rotated"):
        chosen("litellm_salt_key")
    with pytest.raises(TollgateError, match="--only: expected litellm_master_key"):
        chosen("grafana")
