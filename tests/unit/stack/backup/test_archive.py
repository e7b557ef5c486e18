"""Archives: they get their name after they were read back, and damaged or foreign archives are refused."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tollgate.errors import TollgateError
from tollgate.site import Site
from tollgate.stack.backup import archive, metric
from tollgate.stack.backup.archive import DATABASE, FILES, MANIFEST, SECRETS, Archive, Manifest

NOW = datetime(2026, 11, 21, 14, 5, tzinfo=UTC)
MADE = Manifest(
    created=NOW,
    kit="0.1.0",
    litellm="1.108.10",
    postgres="17.6",
    size=8,
    migrations=("one",),
    rows={"t": 3},
    salt="5a17",
)


@pytest.fixture
def made(tmp_path: Path) -> Archive:
    parts = {}
    for name in (DATABASE, FILES):
        parts[name] = tmp_path / name
        parts[name].write_bytes(name.encode() * 100)
    return archive.write(tmp_path / "tollgate-x.tar", MADE, parts)


def test_a_written_archive_is_read_back_and_is_private(made: Archive) -> None:
    again = archive.read(made.file)
    assert again.manifest == made.manifest
    assert again.content(DATABASE) == DATABASE.encode() * 100
    assert again.manifest.secrets == ""
    assert made.file.stat().st_mode & 0o777 == 0o600
    assert not list(made.file.parent.glob(".*")), "nothing temporary is left"


def changed(content: bytes) -> bytes:
    place = content.rindex(FILES.encode())
    return content[:place] + b"F" + content[place + 1 :]


def renamed(content: bytes) -> bytes:
    """Rename the part to a name that is not in the manifest. tarfile corrects the header's checksum."""
    return _again(content, {FILES: "notes.txt"})


def without_a_part(content: bytes) -> bytes:
    return _again(content, {FILES: ""})


def foreign(content: bytes) -> bytes:
    return _again(content, {MANIFEST: "readme"})


def of_a_newer_kit(content: bytes) -> bytes:
    return content.replace(b'"format": 1', b'"format": 2')


def cut_short(content: bytes) -> bytes:
    return content[: content.rindex(FILES.encode()) - 300]


def no_tar(content: bytes) -> bytes:
    return b"PGDMP" + content


def _again(content: bytes, names: dict[str, str]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=io.BytesIO(content)) as old, tarfile.open(fileobj=out, mode="w:") as new:
        for member in old:
            stream = old.extractfile(member)
            member.name = names.get(member.name, member.name)
            if member.name:
                new.addfile(member, stream)
    return out.getvalue()


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (changed, "damaged: files.tar.gz"),
        (renamed, "damaged: files.tar.gz, notes.txt"),
        (without_a_part, "damaged: files.tar.gz"),
        (foreign, "is not a Tollgate backup"),
        (of_a_newer_kit, "format"),
        (cut_short, "files.tar.gz|unexpected end"),
        (no_tar, "cannot be read"),
    ],
)
def test_a_damaged_archive_is_refused(made: Archive, harm: Callable[[bytes], bytes], message: str) -> None:
    made.file.write_bytes(harm(made.file.read_bytes()))
    with pytest.raises(TollgateError, match=message):
        archive.read(made.file)


def test_a_missing_archive_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TollgateError, match="No such file"):
        archive.read(tmp_path / "nothing.tar")


def test_the_manifest_is_first_and_plain(made: Archive) -> None:
    """`tar -xOf FILE manifest.json` prints the manifest without reading gigabytes."""
    with tarfile.open(made.file) as tar:
        first = tar.next()
        assert first is not None and first.name == MANIFEST
        stream = tar.extractfile(first)
        assert stream is not None
        assert json.loads(stream.read())["rows"] == {"t": 3}


def test_the_manifest_names_the_part_with_the_secrets(tmp_path: Path) -> None:
    (tmp_path / SECRETS).write_bytes(b"age")
    made = archive.write(tmp_path / "x.tar", MADE, {SECRETS: tmp_path / SECRETS})
    assert made.manifest.secrets == SECRETS


def test_the_metrics_describe_the_newest_archive(made: Archive, tmp_path: Path) -> None:
    site = Site.here(tmp_path / "home")
    metric.tell(site, made)
    metric.tell(site, made)
    [file] = site.metrics_dir.iterdir()
    assert file.name == "backup.prom" and file.stat().st_mode & 0o777 == 0o644
    figures = dict(line.split() for line in file.read_text().splitlines() if not line.startswith("#"))
    assert figures == {
        "tollgate_backup_last_success_timestamp_seconds": f"{NOW.timestamp():.0f}",
        "tollgate_backup_bytes": str(made.file.stat().st_size),
        "tollgate_backup_rows": "3",
    }
