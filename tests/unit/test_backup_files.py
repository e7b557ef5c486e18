"""What of a site is backed up, what of it is secret, and how it is put back, or not at all."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from tests.support.site import new_home
from tollgate.errors import TollgateError
from tollgate.site import Site
from tollgate.stack import secrets
from tollgate.stack.backup import age, files
from tollgate.stack.backup.files import PutBack, collect, differences, pack, unpack
from tollgate.stack.backup.make import Secrets

KEY = "sk-written-out-0123456789"


@pytest.fixture
def site(tmp_path: Path) -> Site:
    site = new_home(tmp_path / "home")
    secrets.ensure(site)
    secrets.make_tenant_key(site, "example")
    return site


def test_what_is_secret_and_what_is_not(site: Site) -> None:
    (site.tenants_dir / "written.yaml").write_text(f"tenant: {{id: written, api_key: {KEY}}}\n")
    (site.tenants_dir / "filed.yaml").write_text("tenant: {id: filed, api_key: file:keys/filed}\n")
    files.write(site.home / "keys" / "filed", KEY.encode())
    public, secret = collect(site)
    assert {"config/gateway.yaml", "tenants/example.yaml", "tenants/filed.yaml"} <= public.keys()
    assert {".env", "secrets/litellm_salt_key", "secrets/tenants/example", "tenants/written.yaml", "keys/filed"} <= (
        secret.keys()
    )
    values = [content.strip() for path, content in secret.items() if path.startswith("secrets/")]
    assert len(values) > 5
    assert not any(value in content for value in [*values, KEY.encode()] for content in public.values())


def test_what_is_there_during_a_rotation_only_is_left_out(site: Site) -> None:
    before = collect(site)
    for name in ("redis_password~next", "litellm_master_key~old", "postgres_rotation_password"):
        files.write(site.secrets_dir / name, b"passing")
    assert collect(site) == before


def test_links_are_not_followed(site: Site) -> None:
    (site.tenants_dir / "link.yaml").symlink_to("/etc/hostname")
    public, secret = collect(site)
    assert "tenants/link.yaml" not in public.keys() | secret.keys()


def test_packed_and_unpacked(site: Site) -> None:
    public, _ = collect(site)
    assert unpack(pack(public)) == public


@pytest.mark.parametrize("name", ["../outside", "/etc/cron.d/x", "tenants/../../x", "tenants//x"])
def test_nothing_is_unpacked_outside(name: str) -> None:
    with pytest.raises(TollgateError, match="no backup of ours"):
        unpack(pack({name: b""}))


def test_links_are_not_unpacked() -> None:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        member = tarfile.TarInfo("tenants/x.yaml")
        member.type, member.linkname = tarfile.SYMTYPE, "/etc/shadow"
        tar.addfile(member)
    with pytest.raises(TollgateError, match="no backup of ours"):
        unpack(packed.getvalue())
    with pytest.raises(TollgateError, match="cannot be read"):
        unpack(b"nothing of the kind")


def state(site: Site) -> dict[str, bytes]:
    kept = site.home.rglob("*")
    return {f"{file}": file.read_bytes() for file in kept if file.is_file() and "before" not in file.parts}


def test_a_site_becomes_what_it_was_and_back(site: Site, tmp_path: Path) -> None:
    public, secret = collect(site)
    contents = public | secret
    assert differences(site, contents) == {}
    (site.tenants_dir / "example.yaml").write_text("tenant: {id: example, name: Other, owner: x@example.com}\n")
    (site.tenants_dir / "later.yaml").write_text("tenant: {id: later}\n")
    (site.secrets_dir / "tenants" / "example").write_text("sk-rotated\n")
    (site.secrets_dir / "postgres_password").write_text("this volume's\n")
    (site.secrets_dir / "litellm_master_key").write_text("sk-rotated-since\n")
    site.env_file.write_text("REPLICAS=2\n")
    changed = state(site)

    put_back = PutBack(site, tmp_path / "before")
    put_back.run(contents)
    assert sorted(put_back.changed) == ["secrets/tenants/example", "tenants/example.yaml", "tenants/later.yaml"]
    assert (site.home / "tenants/example.yaml").read_bytes() == contents["tenants/example.yaml"]
    assert not (site.tenants_dir / "later.yaml").exists()
    assert (site.secrets_dir / "postgres_password").read_text() == "this volume's\n", "its volume knows no other"
    assert site.env_file.read_text() == "REPLICAS=2\n"
    assert (tmp_path / "before" / "tenants" / "later.yaml").is_file(), "what went is kept"
    put_back.undo()
    assert state(site) == changed


def test_an_empty_machine_gets_everything(site: Site, tmp_path: Path) -> None:
    public, secret = collect(site)
    empty = Site.here(tmp_path / "empty")
    PutBack(empty, tmp_path / "before").run(public | secret)
    assert collect(empty) == (public, secret)
    assert secrets.too_open(empty) == []
    assert empty.env_file.stat().st_mode & 0o077 == 0
    assert files.salt_of(empty) == files.salt_of(site) != ""


def test_the_kits_own_configuration_is_not_put_back(site: Site) -> None:
    assert differences(site, {"config/litellm/config.yaml.j2": b"of an older kit"}) == {}


def test_secrets_are_read_with_the_identity_and_with_no_other(tmp_path: Path) -> None:
    mine, other = tmp_path / "mine", tmp_path / "other"
    recipient = age.make_identity(mine)
    age.make_identity(other)
    name, part = Secrets(recipient).part(b"the secrets")
    assert name == "secrets.tar.gz.age" and b"the secrets" not in part
    assert age.decrypt(part, mine) == b"the secrets"
    with pytest.raises(TollgateError, match="does not open"):
        age.decrypt(part, other)
    with pytest.raises(TollgateError, match="File exists"):
        age.make_identity(mine)
    assert mine.stat().st_mode & 0o777 == 0o600


def test_what_is_no_identity_is_said(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("hello\n")
    for file, says in {"key": "holds no age identity", "none": "No such file"}.items():
        with pytest.raises(TollgateError, match=says):
            age.decrypt(b"", tmp_path / file)


@pytest.mark.parametrize(
    ("kept", "says"),
    [
        (Secrets(), "no recipient is set"),
        (Secrets("age1nonsense"), "no age recipient"),
        (Secrets("ssh-ed25519 AAAA"), "no age recipient"),
        (Secrets(plain=True, omit=True), "found both"),
    ],
)
def test_nobody_writes_secrets_in_the_clear_by_accident(kept: Secrets, says: str) -> None:
    with pytest.raises(TollgateError, match=says):
        kept.check()


def test_somebody_may_decide_to() -> None:
    Secrets(plain=True).check()
    Secrets(omit=True).check()
    assert Secrets(plain=True).part(b"x") == ("secrets.tar.gz", b"x")
