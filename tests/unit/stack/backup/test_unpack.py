"""A hostile archive is refused whole, nothing is written, and its names are safe to print."""

from __future__ import annotations

import gzip
import hashlib
import io
import struct
import tarfile
import tracemalloc
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from rich.console import Console

from tests.support.site import new_home
from tollgate.cli.progress import StepDisplay
from tollgate.errors import TollgateError
from tollgate.site import Site
from tollgate.stack.backup import files, unpack
from tollgate.stack.backup.archive import FILES, PLAIN_SECRETS, Manifest, Part
from tollgate.stack.backup.make import litellm_version
from tollgate.stack.restore.archive import Restore
from tollgate.stack.secrets import store as secrets

Member = tuple[tarfile.TarInfo, bytes]
TENANT = b"tenant: {id: acme, api_key: file:keys/acme}\n"


@pytest.fixture
def site(tmp_path: Path) -> Site:
    site = new_home(tmp_path / "home")
    secrets.ensure(site)
    return site


def member(name: str, content: bytes = b"x", **fields: object) -> Member:
    made = tarfile.TarInfo(name)
    made.size = len(content)
    for field, value in fields.items():
        setattr(made, field, value)
    return made, content


def tar_of(members: Iterable[Member], **how: object) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz", **how) as tar:  # type: ignore[call-overload]
        for info, content in members:
            tar.addfile(info, io.BytesIO(content))
    return out.getvalue()


def crafted(site: Site, parts: dict[str, bytes], **facts: object) -> Path:
    """An archive with a correct manifest, correct checksums and a database."""
    parts = {"database.dump": b"PGDMP", **parts}
    described = tuple(
        Part(name=name, bytes=len(content), sha256=hashlib.sha256(content).hexdigest())  # type: ignore[arg-type]
        for name, content in parts.items()
    )
    manifest = Manifest(
        created=datetime(2026, 11, 21, tzinfo=UTC), kit="0.1.0", litellm=litellm_version(site), postgres="17.6",
        migrations=("one",), rows={"t": 3}, size=8, salt=files.salt_of(site), parts=described,
    ).model_copy(update=facts)  # fmt: skip
    file = site.home.parent / "crafted.tar"
    with tarfile.open(file, "w:") as tar:
        for name, content in {"manifest.json": manifest.model_dump_json().encode(), **parts}.items():
            tar.addfile(*(lambda made: (made[0], io.BytesIO(made[1])))(member(name, content)))
    return file


def state(site: Site) -> dict[str, tuple[int, bytes]]:
    found = (path for path in site.home.parent.rglob("*") if path.is_file() and path.name != "crafted.tar")
    return {str(path): (path.stat().st_mode, path.read_bytes()) for path in found}


def refused(site: Site, file: Path) -> TollgateError:
    """Check that the restore stops before it writes anything, with a message that is safe to print."""
    before = state(site)
    restore = Restore(site, file, StepDisplay(Console(file=io.StringIO())))  # type: ignore[arg-type]
    with pytest.raises(TollgateError) as caught:
        restore.check()
    assert state(site) == before
    assert all(line.isascii() and line.isprintable() and len(line) < 500 for line in str(caught.value).splitlines())
    assert len(str(caught.value).splitlines()) <= 2, "a name must not add lines to a message"
    return caught.value


ELSEWHERE = [
    "src/tollgate/__main__.py", ".git/hooks/post-checkout", ".git/config", "Makefile", "scripts/deploy.sh", ".ci/run",
    ".venv/bin/python", "compose/compose.yaml", "images/redis/Dockerfile", "nginx/entrypoint.sh", "var/lock", ".envrc",
    "var/rendered/nginx/entrypoint.sh", "keys/of-nobody", ".bashrc", "Tenants/x.yaml", "SECRETS/x", "tenants2/x",
    "secrets", "tenants", "config", "secretsx/y", ".env/x", "pyproject.toml", "\u0455ecrets/x",
]  # fmt: skip


@pytest.mark.parametrize("name", ELSEWHERE)
@pytest.mark.parametrize("part", [FILES, PLAIN_SECRETS])
def test_nothing_is_written_outside_our_folders(name: str, part: str, site: Site) -> None:
    refused(site, crafted(site, {part: tar_of([member("tenants/acme.yaml", TENANT), member(name)])}))


PATHS = [
    "../outside", "/etc/cron.d/x", "tenants/../../x", "tenants//x", "./tenants/x", "tenants/./x", "tenants/x/", "", ".",
    "..", "tenants/" + "x" * 300, "tenants/" + "d/" * 20 + "x", "tenants/\x1b[2J.yaml", "tenants/a\nerror: well.yaml",
    "tenants/\u202egnp.yaml", "tenants/\x9b2J.yaml", "secrets/a\rb", "secrets/\x07", "tenants/\u200b.yaml",
]  # fmt: skip


@pytest.mark.parametrize("name", PATHS, ids=ascii)
@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
def test_a_name_that_is_not_a_plain_path_is_refused(name: str, form: int, site: Site) -> None:
    refused(site, crafted(site, {FILES: tar_of([member(name)], format=form)}))


KINDS = {
    "symbolic link": {"type": tarfile.SYMTYPE, "linkname": "/etc/shadow"},
    "hard link": {"type": tarfile.LNKTYPE, "linkname": "tenants/acme.yaml"},
    "character device": {"type": tarfile.CHRTYPE, "devmajor": 1, "devminor": 5},
    "block device": {"type": tarfile.BLKTYPE, "devmajor": 8},
    "pipe": {"type": tarfile.FIFOTYPE},
    "directory": {"type": tarfile.DIRTYPE},
    "contiguous file": {"type": tarfile.CONTTYPE},
    "set-user-id": {"mode": 0o4755},
    "sticky": {"mode": 0o1644},
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_member_that_is_not_a_plain_file_is_refused(kind: str, site: Site) -> None:
    fields = KINDS[kind]
    content = b"" if "type" in fields else b"x"
    members = [member("tenants/acme.yaml", TENANT), member("secrets/x", content, **fields)]
    assert "secrets/x" in str(refused(site, crafted(site, {FILES: tar_of(members)})))


def test_a_sparse_file_is_refused(site: Site) -> None:
    """The header promises a terabyte that is not in the archive."""
    sparse = {
        "GNU.sparse.major": "1",
        "GNU.sparse.minor": "0",
        "GNU.sparse.name": "tenants/x",
        "GNU.sparse.realsize": str(2**40),
    }
    info, content = member("tenants/x", b"1\n0\n1\n".ljust(512, b"\0"), pax_headers=sparse)
    refused(site, crafted(site, {FILES: tar_of([(info, content)], format=tarfile.PAX_FORMAT)}))


def huge(size: int) -> bytes:
    """A tar of `size` zeros, compressed to about a thousandth."""
    return gzip.compress(_header("tenants/x", size) + bytes(size), 9)


def _header(name: str, size: int) -> bytes:
    info = tarfile.TarInfo(name)
    info.size = size
    return info.tobuf(tarfile.GNU_FORMAT)


BOMBS: dict[str, Callable[[], bytes]] = {
    "one file of more than everything": lambda: huge(unpack.MOST_EXPANDED + (1 << 20)),
    "one file just over the bound": lambda: huge(unpack.MOST_BYTES + 512),
    "a header that says more than there is": lambda: gzip.compress(_header("tenants/x", 2**33) + bytes(512)),
    "a header that says less than nothing": lambda: gzip.compress(_header("tenants/x", -(2**33)) + bytes(1024)),
    "too many files": lambda: tar_of(member(f"tenants/{number}", b"") for number in range(unpack.MOST_FILES + 1)),
    "several streams": lambda: tar_of([member("tenants/a")]) + tar_of([member("tenants/b")]),
    "something behind the end": lambda: tar_of([member("tenants/a")]) + b"\x1b[2J",
    "cut short": lambda: tar_of([member("tenants/a", b"x" * 5000)])[:-40],
    "no gzip": lambda: b"PK\x03\x04",
    "gzip of no tar": lambda: gzip.compress(b"x" * 2000),
    "zlib": lambda: struct.pack("<H", 0x9C78) + bytes(100),
}  # fmt: skip


@pytest.mark.parametrize("name", BOMBS)
def test_bombs_and_broken_files_are_refused(name: str, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unpack, "MOST_FILES", 500)
    refused(site, crafted(site, {FILES: BOMBS[name]()}))


def test_a_bomb_takes_no_more_memory_than_the_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unpack, "MOST_EXPANDED", 16 << 20)
    packed = huge(50 << 20)
    assert len(packed) < 1 << 17
    tracemalloc.start()
    try:
        with pytest.raises(TollgateError, match="expand to more than 16 MiB"):
            unpack.unpack(packed)
        assert tracemalloc.get_traced_memory()[1] < 2.5 * unpack.MOST_EXPANDED
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "members", [[member("tenants/a.yaml"), member("tenants/a.yaml", b"other")], [member(".env"), member(".env")]]
)
def test_a_duplicate_name_is_refused(members: list[Member], site: Site) -> None:
    assert "it is there twice" in str(refused(site, crafted(site, {FILES: tar_of(members)})))


def test_a_name_in_both_parts_is_refused(site: Site) -> None:
    part = tar_of([member("tenants/acme.yaml", TENANT)])
    assert "twice" in str(refused(site, crafted(site, {FILES: part, PLAIN_SECRETS: part})))


@pytest.mark.parametrize("field", ["kit", "litellm", "postgres", "salt"])
def test_control_characters_in_a_manifest_are_refused(field: str, site: Site) -> None:
    refused(site, crafted(site, {}, **{field: "1.108.10\x1b[2J\nerror: fake"}))


@pytest.mark.parametrize("facts", [{"rows": {"t\x1b[2J": 1}}, {"migrations": ("\n",)}, {"left_out": ("\x9b",)}])
def test_control_characters_in_a_manifests_lists_are_refused(facts: dict[str, object], site: Site) -> None:
    refused(site, crafted(site, {}, **facts))


@pytest.mark.parametrize("name", ["\x1b[2Jx", "x" * 500, "../x"])
def test_parts_with_other_names_are_refused(name: str, site: Site) -> None:
    file = crafted(site, {})
    with tarfile.open(file, "a:") as tar:
        tar.addfile(member(name)[0], io.BytesIO(b"x"))
    refused(site, file)


@pytest.mark.parametrize("kind", ["symbolic link", "hard link", "pipe", "character device"])
def test_a_part_that_is_not_a_plain_file_is_refused(kind: str, site: Site) -> None:
    file = crafted(site, {})
    with tarfile.open(file, "a:") as tar:
        tar.addfile(member("files.tar.gz", b"", **{**KINDS[kind], "linkname": "database.dump"})[0])
    refused(site, file)


def test_twin_an_honest_archive_is_accepted(site: Site) -> None:
    """Tenants, their key files, settings and secrets. A restore does not write the kit's own files of config/."""
    honest = {
        "tenants/acme.yaml": TENANT, "keys/acme": b"sk-0123456789abcdef", "secrets/tenants/b": b"sk-fedcba9876543210",
        "config/litellm/config.yaml.j2": b"of an older kit", "config/gateway.yaml": site.gateway_file.read_bytes(),
    }  # fmt: skip
    parts = tar_of(member(name, content) for name, content in honest.items())
    restore = Restore(site, crafted(site, {FILES: parts}), StepDisplay(Console(file=io.StringIO())))  # type: ignore[arg-type]
    lines = "\n".join(restore.check())
    assert restore.contents == honest
    assert "keys/acme: written from the archive" in lines
    assert "config.yaml.j2" not in lines


@pytest.mark.parametrize("place", ["keys/acme", "keys"])
def test_a_key_file_is_not_written_through_a_link(place: str, site: Site, tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.mkdir()
    (site.home / place).parent.mkdir(exist_ok=True)
    (site.home / place).symlink_to(target)
    parts = tar_of([member("tenants/acme.yaml", TENANT), member("keys/acme")])
    assert "symbolic link" in str(refused(site, crafted(site, {FILES: parts})))


def test_a_link_at_the_temporary_name_is_not_followed(site: Site, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("mine")
    (site.tenants_dir / ".acme.yaml.new").symlink_to(victim)
    files.write(site.tenants_dir / "acme.yaml", TENANT)
    assert victim.read_text() == "mine"
    assert (site.tenants_dir / "acme.yaml").read_bytes() == TENANT


def test_a_backup_that_a_restore_would_refuse_is_not_made(site: Site) -> None:
    (site.secrets_dir / "film").write_bytes(bytes(unpack.MOST_BYTES + 1))
    _, secret = files.collect(site)
    with pytest.raises(TollgateError, match="secrets/film") as caught:
        files.pack(secret)
    assert "move the file out of" in caught.value.hint
