"""A tenant's file that somebody else wrote: no key source reads or writes what is not that tenant's own key."""

from __future__ import annotations

import os
import re
import socket
import subprocess
from pathlib import Path

import pytest

from tests.support.site import new_home
from tollgate.config.env.settings import Settings
from tollgate.config.gateway.providers import PROVIDERS
from tollgate.config.secret import Secret
from tollgate.config.tenant import key_files, own_names
from tollgate.config.tenant import load as tenants
from tollgate.config.tenant.key_source import file_path
from tollgate.config.tenant.own_names import is_own_variable, owner_of
from tollgate.errors import InputError, Mistake, TollgateError
from tollgate.site import Site
from tollgate.stack.backup.files import collect
from tollgate.stack.secrets import store as secrets
from tollgate.stack.tenants import rotate
from tollgate.stack.tenants.key_file import KeyFile
from tollgate.stack.tenants.keys import key_of, raise_if_own

KEY = "sk-0123456789abcdefghij"
ROOT = Site.here().root


@pytest.fixture
def site(tmp_path: Path) -> Site:
    site = new_home(tmp_path / "home")
    secrets.ensure(site)
    secrets.ensure_basic(site)
    (site.home / "keys").mkdir()
    return site


def tenant_with(site: Site, source: str, name: str = "acme") -> None:
    (site.tenants_dir / f"{name}.yaml").write_text(f"tenant:\n  id: {name}\n  api_key: {source!r}\n")


def refusal(site: Site) -> list[str]:
    with pytest.raises(InputError) as caught:
        tenants.load(site.tenants_dir)
    assert all(
        problem.line == 3 and problem.path == "tenant.api_key" and problem.hint for problem in caught.value.problems
    )
    return [problem.message for problem in caught.value.problems]


def files_of_the_kit() -> list[str]:
    listed = subprocess.run(["git", "-C", str(ROOT), "ls-files"], capture_output=True, text=True, check=True)
    return sorted({line.partition("/")[0] for line in listed.stdout.splitlines()})


# ---- names


@pytest.mark.parametrize(
    "name", [*(spec.name for spec in secrets.GENERATED), "basic_key", "postgres_rotation_password",
             "alertmanager_webhook_url", "vertex_credentials.json", "tls_self_signed.pem", "tenants/beta", "tenants"],
)  # fmt: skip
@pytest.mark.parametrize("spelling", ["{}", "{}~next", "{}~old", "{}/", "./{}", ".//{}"])
def test_no_spelling_of_a_secret_of_the_gateway_is_a_tenants_key(name: str, spelling: str, site: Site) -> None:
    for path in (spelling.format(f"secrets/{name}"), spelling.format(f"SECRETS/{name.upper()}")):
        tenant_with(site, f"file:{path}")
        assert len(refusal(site)) == 1


@pytest.mark.parametrize("name", files_of_the_kit())
def test_nothing_of_the_kit_is_a_tenants_key(name: str) -> None:
    """From what git lists, so that a new directory cannot be forgotten."""
    for path in (name, f"{name}/x", f"./{name.upper()}/x"):
        with pytest.raises(Mistake) as refused:
            file_path(path)
        assert re.search(
            "found one of the kit's|no part of it begins with a dot", f"{refused.value}\n{refused.value.hint}"
        )


@pytest.mark.parametrize("path", [
    ".env", ".git/config", "keys/.hidden", "keys/a b", "keys/\u0430cme", "keys/a~next",
    "\uff53ecrets/litellm_master_key", "keys/-rf", "keys/$(id)", "keys/a*", "k\u00e9ys/a", "ke\u0301ys/a", "keys/a\\b",
    "keys/" + "x" * 300,
    "keys/a\u200b", "secre\u017fts/litellm_master_key", "//secrets/litellm_master_key",
    "keys/../secrets/litellm_master_key",
])  # fmt: skip
def test_tricks_with_letters_are_refused(path: str) -> None:
    with pytest.raises(ValueError, match="expected file:PATH"):
        file_path(path)


def test_variables_of_the_gateway_and_of_providers_are_not_a_tenants() -> None:
    names = {str(field.alias) for field in Settings.model_fields.values()}
    names |= {name for provider in PROVIDERS.values() for name in provider.credentials}
    names |= {"LITELLM_MASTER_KEY", "DATABASE_URL", "REDIS_PASSWORD", "TOLLGATE_HOME", "SOME_NEW_PROVIDER_API_KEY"}
    assert [name for name in names if not (is_own_variable(name) and is_own_variable(name.lower()))] == []


@pytest.mark.parametrize("name", ["ENGINEERING_KEY", "ACME_KEY", "ENG", "TEAM_7"])
def test_twin_names_of_a_tenants_own_are_taken(name: str) -> None:
    assert not is_own_variable(name)
    assert owner_of(("secrets", f"{name.lower()}.key")) == owner_of(("keys", name)) == ""


def test_twin_without_the_names_the_master_key_is_a_tenants(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own_names, "owner_of", lambda parts: "")
    assert file_path("secrets/litellm_master_key") == "secrets/litellm_master_key"


# ---- what lies there


def _socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(path))


MASTER = "secrets/litellm_master_key"
OTHERS = {
    "a link to the master key": (lambda key, home: key.symlink_to(home / MASTER), "symbolic link"),
    "a link out of the checkout": (lambda key, home: key.symlink_to("/etc/passwd"), "symbolic link"),
    "a link to nowhere": (lambda key, home: key.symlink_to("nowhere"), "symbolic link"),
    "a link to itself": (lambda key, home: key.symlink_to(key), "symbolic link"),
    "a second name": (lambda key, home: key.hardlink_to(home / MASTER), "2 names"),
    "a pipe": (lambda key, home: os.mkfifo(key), "pipe"),
    "a socket": (lambda key, home: _socket(key), "socket"),
    "a directory": (lambda key, home: key.mkdir(), "a directory"),
    "a large file": (lambda key, home: key.write_text(KEY + "\n" * 5000), "more than a key has"),
    "a hole of a terabyte": (lambda key, home: os.truncate(_touched(key), 2**40), "more than a key has"),
}  # fmt: skip


def _touched(path: Path) -> Path:
    path.touch()
    return path


@pytest.mark.parametrize("name", OTHERS)
def test_what_is_no_plain_file_is_refused_and_never_opened(name: str, site: Site) -> None:
    make, says = OTHERS[name]
    key = site.home / "keys" / "acme"
    make(key, site.home)
    tenant_with(site, "file:keys/acme")
    assert says in refusal(site)[0]
    with pytest.raises(TollgateError):  # it was exchanged after the check
        KeyFile(site.home, "keys/acme").read()


@pytest.mark.skipif(os.geteuid() != 0, reason="making a device needs root")
def test_a_device_is_refused(site: Site) -> None:
    os.mknod(site.home / "keys" / "acme", 0o600 | 0o020000, os.makedev(1, 5))
    tenant_with(site, "file:keys/acme")
    assert "device" in refusal(site)[0]


@pytest.mark.parametrize("target", ["secrets", "/etc", "/", "nowhere"])
def test_a_link_anywhere_on_the_way_is_refused(target: str, site: Site) -> None:
    place = site.home / "keys" / "deep"
    place.symlink_to(site.home / target)
    tenant_with(site, "file:keys/deep/litellm_master_key")
    assert "symbolic link deep in its path" in refusal(site)[0]
    with pytest.raises(TollgateError):
        KeyFile(site.home, "keys/deep/litellm_master_key").read()


def test_everything_is_told_at_once(site: Site) -> None:
    (site.home / "keys" / "one").symlink_to("/etc/passwd")
    os.mkfifo(site.home / "keys" / "two")
    for name, source in {
        "a": "file:keys/one",
        "b": "file:keys/two",
        "c": "env:OPENAI_API_KEY",
        "d": "file:.env",
    }.items():
        tenant_with(site, source, name)
    assert len(refusal(site)) == 4


def test_one_file_by_two_names_is_one_key(site: Site) -> None:
    """As on a file system to which A and a are one."""
    (site.home / "keys" / "one").write_text(KEY)
    tenant_with(site, "file:keys/one", "a")
    tenant_with(site, "file:keys/two", "b")
    original = key_files._inode
    key_files_inode = lambda file: original(file.with_name("one"))  # noqa: E731
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(key_files, "_inode", key_files_inode)
        assert refusal(site) == ["the same file as tenant.api_key of a.yaml"]


def test_twin_a_plain_file_is_read(site: Site) -> None:
    (site.home / "keys" / "acme").write_text(f"{KEY}\n")
    tenant_with(site, "file:keys/acme")
    (acme,) = [tenant for tenant in tenants.load(site.tenants_dir) if tenant.id == "acme"]
    assert key_of(site, acme) == Secret(KEY)


# ---- what it says


@pytest.mark.parametrize("name", ["litellm_master_key", "litellm_salt_key", "basic_key"])
@pytest.mark.parametrize("suffix", ["", "~next", "~old"])
def test_a_copy_of_a_secret_is_no_tenants_key(name: str, suffix: str, site: Site) -> None:
    secret = secrets.generate("sk-")
    (site.secrets_dir / f"{name}{suffix}").write_text(f"{secret.reveal()}\n")
    with pytest.raises(TollgateError, match=f"acme/default has the gateway's secret {name} as its key") as refused:
        raise_if_own(site, {("acme", "default"): secret})
    assert secret.reveal() not in str(refused.value)
    raise_if_own(site, {("acme", "default"): Secret(KEY)})


def test_a_copy_of_a_providers_key_is_no_tenants_key(site: Site) -> None:
    site.env_file.write_text(f"OPENAI_API_KEY={KEY}\n")
    with pytest.raises(TollgateError, match="the provider's key OPENAI_API_KEY"):
        raise_if_own(site, {("acme", "default"): Secret(KEY)})


# ---- writing


def rotating(site: Site) -> KeyFile:
    """A key whose rotation has come as far as its last step."""
    file = KeyFile(site.home, "keys/acme")
    file.store(Secret(KEY))
    file.next.store(secrets.generate("sk-"))
    return file


def test_a_rotation_writes_the_tenants_file(site: Site) -> None:
    file = rotating(site)
    new = file.next.read()
    file.promote_next()
    assert (file.read(), file.next.read()) == (new, None)
    assert file.file.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    "attack", ["file to link", "file to second name", "next to link", "directory to link", "file to pipe"]
)
def test_what_was_exchanged_since_the_check_is_not_written(attack: str, site: Site) -> None:
    file = rotating(site)
    master = site.secrets_dir / "litellm_master_key"
    before = master.read_text()
    if attack == "directory to link":
        file.file.parent.rename(site.home / "away")
        file.file.parent.symlink_to(site.secrets_dir)
        (site.secrets_dir / "acme").write_text("of another")
        (site.secrets_dir / "acme~next").write_text("of another")
    else:
        victim = file.next.file if attack == "next to link" else file.file
        victim.unlink()
        {
            "file to link": lambda: victim.symlink_to(master),
            "next to link": lambda: victim.symlink_to(master),
            "file to second name": lambda: victim.hardlink_to(master),
            "file to pipe": lambda: os.mkfifo(victim),
        }[attack]()
    with pytest.raises(TollgateError, match="keys/acme"):
        file.promote_next()
    assert master.read_text() == before
    if attack == "directory to link":
        assert (site.secrets_dir / "acme").read_text() == "of another"


def test_a_new_key_is_never_written_through_a_link(site: Site) -> None:
    file = KeyFile(site.home, "keys/acme")
    target = site.home / "target"
    file.next.file.symlink_to(target)
    with pytest.raises(TollgateError, match="File exists"):
        file.next.store(Secret(KEY))
    assert not target.exists()


def test_an_interrupted_rotation_is_seen_without_following_links(site: Site) -> None:
    tenant_with(site, "file:keys/acme")
    (acme,) = [tenant for tenant in tenants.load(site.tenants_dir) if tenant.id == "acme"]
    rotating(site)
    assert rotate.unfinished(site, acme, acme.all_keys[0])


# ---- backups


@pytest.mark.parametrize(
    "source", ["keys/link", "keys/deep/passwd", "../outside", ".env", "/etc/passwd", "secrets/../x"]
)
def test_a_backup_takes_no_file_that_is_no_tenants_key(source: str, site: Site, tmp_path: Path) -> None:
    (tmp_path / "outside").write_text("private")
    (site.home / "keys" / "link").symlink_to("/etc/passwd")
    (site.home / "keys" / "deep").symlink_to("/etc")
    tenant_with(site, f"file:{source}")
    public, secret = collect(site)
    assert not any("passwd" in path or "outside" in path or "link" in path for path in public.keys() | secret.keys())
    assert not any(b"root:" in content or content == b"private" for content in [*public.values(), *secret.values()])
