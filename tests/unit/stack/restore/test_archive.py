"""A restore refuses wrong archives before it changes anything, and lists its changes."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from rich.console import Console

from tests.support.site import new_home
from tollgate.cli.progress import StepDisplay
from tollgate.errors import TollgateError
from tollgate.site import Site
from tollgate.stack.backup import age, archive, files
from tollgate.stack.backup.archive import DATABASE, FILES, Manifest
from tollgate.stack.backup.make import Secrets, litellm_version, prune
from tollgate.stack.restore.archive import Restore, compare
from tollgate.stack.secrets import store as secrets


@pytest.fixture
def site(tmp_path: Path) -> Site:
    site = new_home(tmp_path / "home")
    secrets.ensure(site)
    return site


def backup(site: Site, tmp_path: Path, kept: Secrets, **manifest: str) -> Path:
    """An archive of a site's files. The database part is not a real dump, because no test here loads it."""
    public, secret = files.collect(site)
    parts = {DATABASE: b"PGDMP", FILES: files.pack(public)}
    if not kept.omit:
        name, packed = kept.part(files.pack(secret))
        parts[name] = packed
    for name, content in parts.items():
        (tmp_path / name).write_bytes(content)
    made = {"litellm": litellm_version(site), "salt": files.salt_of(site), **manifest}
    described = Manifest(
        created=datetime(2026, 11, 21, tzinfo=UTC),
        kit="0.1.0",
        postgres="17.6",
        size=8,
        migrations=(),
        rows={"t": 1234},
        **made,
    )
    return archive.write(tmp_path / "tollgate-x.tar", described, {name: tmp_path / name for name in parts}).file


def restore(site: Site, file: Path, identity: Path | None = None, *, database_only: bool = False) -> Restore:
    return Restore(site, file, StepDisplay(Console(stderr=True)), identity, database_only)


def test_the_check_lists_every_change(site: Site, tmp_path: Path) -> None:
    file = backup(site, tmp_path, Secrets(omit=True))
    (site.tenants_dir / "later.yaml").write_text("tenant: {id: later}\n")
    site.gateway_file.write_text("models: []\n")
    lines = restore(site, file).check()
    assert "as of 2026-11-21 00:00:00 UTC, 1,234 rows" in lines[0]
    assert lines[1:] == ["config/gateway.yaml: written from the archive", "tenants/later.yaml: removed"]
    assert len(restore(site, file, database_only=True).check()) == 1


@pytest.mark.parametrize("version", ["1.109.0", "1.107.3", "2.0.0"])
def test_a_backup_of_another_litellm_line_is_refused(site: Site, tmp_path: Path, version: str) -> None:
    file = backup(site, tmp_path, Secrets(omit=True), litellm=version)
    with pytest.raises(TollgateError, match=f"found one of {version}"):
        restore(site, file).check()


def test_twin_another_patch_release_of_the_line_is_accepted(site: Site, tmp_path: Path) -> None:
    line = ".".join(litellm_version(site).split(".")[:2])
    assert restore(site, backup(site, tmp_path, Secrets(omit=True), litellm=f"{line}.0")).check()


def test_another_salt_needs_the_archives_secrets(site: Site, tmp_path: Path) -> None:
    identity = tmp_path / "key"
    file = backup(site, tmp_path, Secrets(age.make_identity(identity)))
    assert restore(site, file).check(), "the same machine needs no identity"
    (site.home / files.SALT).write_text("sk-another\n")
    with pytest.raises(
        TollgateError, match="another secrets/litellm_salt_key; this site has a different one"
    ) as caught:
        restore(site, file).check()
    assert "--identity" in caught.value.hint
    assert f"{files.SALT}: written from the archive" in restore(site, file, identity).check()
    (site.home / files.SALT).unlink()
    with pytest.raises(TollgateError, match="this site has none"):
        restore(site, file).check()


def test_an_archive_without_secrets_needs_the_old_salt(site: Site, tmp_path: Path) -> None:
    file = backup(site, tmp_path, Secrets(omit=True), salt="5a17")
    with pytest.raises(TollgateError) as caught:
        restore(site, file).check()
    assert caught.value.hint == "restore secrets/litellm_salt_key from the time of the backup first"


def test_tables_with_other_row_counts_are_named() -> None:
    assert compare({"a": 1, "b": 2}, {"a": 1, "b": 2}) == ""
    assert compare({"a": 1, "b": 2}, {"a": 1, "b": 3, "c": 0}) == "b: 2 expected, 3 found, c: none expected, 0 found"
    assert compare({f"t{n}": 1 for n in range(8)}, {}).endswith("and 3 more")


def test_prune_keeps_the_newest_archives(site: Site) -> None:
    where = site.home / "var" / "backups"
    where.mkdir(parents=True)
    names = [f"tollgate-2026112{day}T000000Z.tar" for day in range(5)]
    for name in [*names, "before-20261101T000000Z.tar"]:
        (where / name).touch()
    assert [file.name for file in prune(site, 2)] == [names[2], names[1], names[0]]
    assert sorted(file.name for file in where.iterdir()) == ["before-20261101T000000Z.tar", names[3], names[4]]
