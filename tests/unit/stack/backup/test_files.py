"""The files of a site that are backed up, which of them are secret, and how a restore writes them."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from tests.support.site import new_home
from tollgate.errors import TollgateError
from tollgate.site import Site
from tollgate.stack.backup import age, files
from tollgate.stack.backup.files import PutBack, collect, differences, pack
from tollgate.stack.backup.make import Secrets
from tollgate.stack.backup.unpack import unpack
from tollgate.stack.secrets import store as secrets

KEY = "sk-written-out-0123456789"


@pytest.fixture
def site(tmp_path: Path) -> Site:
    site = new_home(tmp_path / "home")
    secrets.ensure(site)
    secrets.make_tenant_key(site, "example")
    return site


def test_files_with_keys_are_secret_and_the_others_public(site: Site) -> None:
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


def test_files_that_exist_only_during_a_rotation_are_left_out(site: Site) -> None:
    before = collect(site)
    for name in ("redis_password~next", "litellm_master_key~old", "postgres_rotation_password"):
        files.write(site.secrets_dir / name, b"passing")
    assert collect(site) == before


def test_links_are_not_followed(site: Site) -> None:
    (site.tenants_dir / "link.yaml").symlink_to("/etc/hostname")
    public, secret = collect(site)
    assert "tenants/link.yaml" not in public.keys() | secret.keys()


def test_unpack_reads_what_pack_wrote(site: Site) -> None:
    public, _ = collect(site)
    assert unpack(pack(public)) == public


@pytest.mark.parametrize("name", ["../outside", "/etc/cron.d/x", "tenants/../../x", "tenants//x"])
def test_paths_outside_the_site_are_refused(name: str) -> None:
    with pytest.raises(TollgateError, match="not from a Tollgate backup"):
        unpack(pack({name: b""}))


def test_links_are_not_unpacked() -> None:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        member = tarfile.TarInfo("tenants/x.yaml")
        member.type, member.linkname = tarfile.SYMTYPE, "/etc/shadow"
        tar.addfile(member)
    with pytest.raises(TollgateError, match="not from a Tollgate backup"):
        unpack(packed.getvalue())
    with pytest.raises(TollgateError, match="cannot be read"):
        unpack(b"nothing of the kind")


def state(site: Site) -> dict[str, bytes]:
    kept = site.home.rglob("*")
    return {f"{file}": file.read_bytes() for file in kept if file.is_file() and "before" not in file.parts}


def test_a_restore_writes_the_files_and_undo_reverts_it(site: Site, tmp_path: Path) -> None:
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
    assert (site.secrets_dir / "postgres_password").read_text() == "this volume's\n", "the volume needs this one"
    assert site.env_file.read_text() == "REPLICAS=2\n"
    assert (tmp_path / "before" / "tenants" / "later.yaml").is_file(), "removed files are copied"
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


def test_a_restore_does_not_write_the_kits_own_configuration(site: Site) -> None:
    assert differences(site, {"config/litellm/config.yaml.j2": b"of an older kit"}) == {}


def test_only_the_right_identity_decrypts_the_secrets(tmp_path: Path) -> None:
    mine, other = tmp_path / "mine", tmp_path / "other"
    recipient = age.make_identity(mine)
    age.make_identity(other)
    name, part = Secrets(recipient).part(b"the secrets")
    assert name == "secrets.tar.gz.age" and b"the secrets" not in part
    assert age.decrypt(part, mine) == b"the secrets"
    with pytest.raises(TollgateError, match="cannot decrypt"):
        age.decrypt(part, other)
    with pytest.raises(TollgateError, match="File exists"):
        age.make_identity(mine)
    assert mine.stat().st_mode & 0o777 == 0o600


def test_a_file_without_an_identity_is_refused(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("hello\n")
    for file, message in {"key": "has no age identity", "none": "No such file"}.items():
        with pytest.raises(TollgateError, match=message):
            age.decrypt(b"", tmp_path / file)


@pytest.mark.parametrize(
    ("kept", "message"),
    [
        (Secrets(), "no recipient is set"),
        (Secrets("age1nonsense"), "expected an age recipient"),
        (Secrets("ssh-ed25519 AAAA"), "expected an age recipient"),
        (Secrets(plain=True, omit=True), "found both"),
    ],
)
def test_secrets_are_not_written_in_clear_text_by_accident(kept: Secrets, message: str) -> None:
    with pytest.raises(TollgateError, match=message):
        kept.check()


def test_twin_an_operator_may_choose_clear_text_or_no_secrets() -> None:
    Secrets(plain=True).check()
    Secrets(omit=True).check()
    assert Secrets(plain=True).part(b"x") == ("secrets.tar.gz", b"x")
