"""Generated secrets: made once, strong, and readable only by their owner from the first byte."""

from __future__ import annotations

import os
import shlex
import stat
from pathlib import Path
from urllib.parse import quote

import pytest

from tollgate.config.secret import Secret
from tollgate.errors import TollgateError
from tollgate.site import Site
from tollgate.stack.secrets import store as secrets


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(root=tmp_path / "kit", home=tmp_path / "home")


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def values(site: Site) -> dict[str, str]:
    return {spec.name: (site.secrets_dir / spec.name).read_text() for spec in secrets.GENERATED}


def test_every_secret_is_made_strong_and_different(site: Site) -> None:
    assert secrets.ensure(site) == [spec.name for spec in secrets.GENERATED]
    made = [secrets.read(site, spec.name).reveal() for spec in secrets.GENERATED]
    assert len(set(made)) == len(secrets.GENERATED)
    for spec, value in zip(secrets.GENERATED, made, strict=True):
        assert value.startswith(spec.prefix)
        assert len(value.removeprefix(spec.prefix)) >= 43, "256 bits as URL-safe text"


def test_a_generated_secret_means_itself_in_a_url_and_in_a_shell() -> None:
    """One in 64 begins with a dash, so a program could take it for an option."""
    for value in (secrets.generate(prefix).reveal() for prefix in ("", "sk-") for _ in range(200)):
        assert quote(value, safe="") == shlex.quote(value) == value
    assert quote("a/b+c=", safe="") != "a/b+c=", "twin: base64 of the other kind does not"


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_nobody_else_can_read_them_whatever_the_umask(site: Site, umask: int) -> None:
    before = os.umask(umask)
    try:
        secrets.ensure(site)
        secrets.make_tenant_key(site, "acme")
    finally:
        os.umask(before)
    assert mode(site.secrets_dir) == 0o700
    assert {mode(path) for path in site.secrets_dir.rglob("*") if path.is_file()} == {0o600}
    assert secrets.too_open(site) == []


def test_a_file_is_0600_before_its_first_byte(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Check the mode while the file is written: before a later chmod, others could read it."""
    seen: list[tuple[int, int]] = []
    plain = os.fdopen

    def watched(descriptor: int, *arguments: str) -> object:
        state = os.fstat(descriptor)
        seen.append((stat.S_IMODE(state.st_mode), state.st_size))
        return plain(descriptor, *arguments)

    monkeypatch.setattr(os, "fdopen", watched)
    secrets.ensure(site)
    assert seen == [(0o600, 0)] * len(secrets.GENERATED)


def test_existing_secrets_stay_and_only_missing_ones_are_made(site: Site) -> None:
    secrets.ensure(site)
    before = values(site)
    assert secrets.ensure(site) == []
    assert values(site) == before
    (site.secrets_dir / "redis_password").unlink()
    assert secrets.ensure(site) == ["redis_password"]
    after = values(site)
    assert {name for name in before if before[name] != after[name]} == {"redis_password"}


def test_store_refuses_to_overwrite(site: Site, tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("precious\n")
    with pytest.raises(FileExistsError):
        secrets.store(file, Secret("another"))
    assert file.read_text() == "precious\n"


def test_store_does_not_follow_a_link_to_somewhere_else(site: Site, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(FileExistsError):
        secrets.store(tmp_path / "link", Secret("value"))
    assert not (tmp_path / "elsewhere").exists()


def test_a_tenants_key_is_made_on_first_use_and_kept(site: Site) -> None:
    secrets.ensure(site)
    key = secrets.make_tenant_key(site, "acme")
    assert key.reveal().startswith("sk-")
    assert secrets.tenant_key(site, "acme") == key
    assert secrets.make_tenant_key(site, "other") != key


def test_asking_for_a_tenants_key_makes_none(site: Site) -> None:
    """`plan` may be the first command, and writes nothing."""
    assert secrets.tenant_key(site, "acme") is None
    assert not site.secrets_dir.exists()


def test_a_tenants_key_is_never_overwritten(site: Site) -> None:
    secrets.ensure(site)
    key = secrets.make_tenant_key(site, "acme")
    with pytest.raises(FileExistsError):
        secrets.make_tenant_key(site, "acme")
    assert secrets.tenant_key(site, "acme") == key


def test_the_basic_key_is_made_once(site: Site) -> None:
    secrets.ensure_basic(site)
    key = secrets.read(site, secrets.BASIC_KEY)
    secrets.ensure_basic(site)
    assert secrets.read(site, secrets.BASIC_KEY) == key
    assert mode(site.secrets_dir / secrets.BASIC_KEY) == 0o600


@pytest.mark.parametrize("content", ["", "\n", "  \n"])
def test_an_empty_secret_is_an_error_that_names_the_file(site: Site, content: str) -> None:
    secrets.ensure(site)
    file = site.secrets_dir / "redis_password"
    file.write_text(content)
    with pytest.raises(TollgateError, match=f"{file}: expected a secret, found an empty file"):
        secrets.read(site, "redis_password")


def test_a_missing_secret_is_an_error_that_names_the_file(site: Site) -> None:
    with pytest.raises(TollgateError, match=f"{site.secrets_dir / 'redis_password'}: No such file") as error:
        secrets.read(site, "redis_password")
    assert "make deploy" in error.value.hint


@pytest.mark.parametrize("name", [".", "redis_password", "tenants", "tenants/acme"])
@pytest.mark.parametrize("bits", [0o040, 0o004, 0o020])
def test_what_others_can_read_or_change_is_found(site: Site, name: str, bits: int) -> None:
    secrets.ensure(site)
    secrets.make_tenant_key(site, "acme")
    path = site.secrets_dir / name
    path.chmod(mode(path) | bits)
    assert secrets.too_open(site) == [path]


def test_without_a_secrets_directory_nothing_is_open(site: Site) -> None:
    assert secrets.too_open(site) == []
