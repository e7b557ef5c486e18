"""Backup and restore on the whole stack: back up, write more, restore, destroy the volume, restore again."""

from __future__ import annotations

import gzip
import json
import subprocess
import tarfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.stack.requests import message
from tests.support import logs, plain
from tests.support.eventually import eventually
from tests.support.stack import Stack
from tollgate.stack.backup import archive
from tollgate.stack.backup.age import decrypt
from tollgate.stack.backup.archive import FILES, SECRETS
from tollgate.stack.backup.make import LIVE, running_postgres
from tollgate.stack.backup.unpack import unpack

CALLS = 5
# Only `send` spends as this tenant. Rows of other tests still arrive for some seconds after those tests.
TENANT = "bookkeeper"
# A restore closes the database connections of replicas and exporters, which log this.
CUT_OFF = r"FATAL|Traceback"


@dataclass(frozen=True)
class Drill:
    archive: Path
    identity: Path
    first: set[str]
    later: set[str]


def send(stack: Stack) -> None:
    headers = {"Authorization": f"Bearer {stack.key(TENANT)}"}
    for number in range(CALLS):
        body = message(f"keep me, number {number}")
        plain.post(
            f"{stack.url}/v1/messages", json=body, headers=headers, timeout=60, trust_env=False
        ).raise_for_status()


def ledger(stack: Stack) -> set[str]:
    """Every row of the ledger as text."""
    return set(running_postgres(stack.compose).sql('SELECT t::text FROM "LiteLLM_SpendLogs" t', LIVE).splitlines())


def sent(rows: set[str]) -> set[str]:
    """The rows that `send` made."""
    return {row for row in rows if TENANT in row}


def written(stack: Stack, before: set[str]) -> set[str]:
    """Wait until the ledger has every request since `before`; return its rows."""
    return eventually(
        lambda: rows if len(sent((rows := ledger(stack)) - before)) >= CALLS else None, within=90, every=1
    )


def restore(stack: Stack, file: Path, *arguments: str) -> dict[str, Any]:
    began = time.monotonic()
    done: dict[str, Any] = json.loads(stack.cli("restore", str(file), "--yes", "--json", *arguments).stdout)
    print(f"restore: {done['rows']} rows, {time.monotonic() - began:.1f} s, of which {done['seconds']}")
    return done


@pytest.fixture(scope="module")
def drill(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Drill:
    identity = tmp_path_factory.mktemp("elsewhere") / "backup.key"
    stack.cli("backup", "--make-key", str(identity))
    before = ledger(stack)
    send(stack)
    first = written(stack, before)
    made = json.loads(stack.cli("backup", "--json").stdout)
    print(f"backup: {sum(made['rows'].values())} rows, {made['bytes']} bytes, {made['seconds']} s")
    send(stack)
    return Drill(Path(made["archive"]), identity, first, written(stack, first))


def test_no_archive_contains_a_readable_secret(stack: Stack, drill: Drill) -> None:
    assert drill.archive.stat().st_mode & 0o077 == 0
    opened = archive.read(drill.archive)
    kept = unpack(decrypt(opened.content(SECRETS), drill.identity))
    assert kept["secrets/litellm_salt_key"].decode().strip() == stack.secret("litellm_salt_key"), (
        "twin: the archive has them"
    )
    with tarfile.open(drill.archive) as tar:
        raw = b"".join(stream.read() for member in tar if (stream := tar.extractfile(member)))
    dump = subprocess.run(
        ["docker", "exec", "-i", running_postgres(stack.compose).container, "pg_restore", "--file=-"],
        input=opened.content("database.dump"),
        capture_output=True,
        check=True,
        timeout=120,
    ).stdout
    readable = raw + gzip.decompress(opened.content(FILES)) + dump
    assert not logs.leaks(readable.decode(errors="replace"), stack.secret_values())


def test_a_restore_that_fails_leaves_what_was_there(stack: Stack, drill: Drill, tmp_path: Path) -> None:
    """The manifest promises a row that the dump does not have. Only a complete load can detect this."""
    opened = archive.read(drill.archive)
    parts = {part.name: tmp_path / part.name for part in opened.manifest.parts}
    for name, file in parts.items():
        file.write_bytes(opened.content(name))
    rows = opened.manifest.rows | {"LiteLLM_SpendLogs": opened.manifest.rows["LiteLLM_SpendLogs"] + 1}
    wrong = archive.write(tmp_path / "wrong.tar", opened.manifest.model_copy(update={"rows": rows}), parts)
    tenant = stack.home / "tenants" / "example.yaml"
    was = tenant.read_text()
    tenant.write_text(was + "# changed since\n")
    before, running = ledger(stack), stack.compose.running()

    done = stack.cli("restore", str(wrong.file), "--yes", "--identity", str(drill.identity), check=False)
    assert done.returncode == 1
    assert "not all rows came back: LiteLLM_SpendLogs" in done.stderr
    assert "Database and files are as they were" in done.stderr
    assert ledger(stack) >= before
    assert tenant.read_text() == was + "# changed since\n"
    names = running_postgres(stack.compose).sql("SELECT datname FROM pg_database").split()
    assert not [name for name in names if name.startswith(("restore_", "before_"))]
    assert stack.compose.running() == running, "no container was stopped"
    tenant.write_text(was)


def test_a_running_stack_gets_the_backup_and_keeps_what_was_there(
    stack: Stack, drill: Drill, allow_in_logs: list[str]
) -> None:
    allow_in_logs.append(CUT_OFF)
    tenant = stack.home / "tenants" / "example.yaml"
    was = tenant.read_text()
    tenant.write_text(was + "# changed since\n")

    done = restore(stack, drill.archive, "--identity", str(drill.identity))
    restored = ledger(stack)
    assert drill.first <= restored
    late = sent(drill.later - drill.first)
    assert len(late) >= CALLS
    assert not late & restored, "twin: rows written after the backup are gone"
    assert tenant.read_text() == was

    # Restore the old database again, on a machine that lost the volume.
    postgres = running_postgres(stack.compose).container
    subprocess.run(["docker", "rm", "-f", "-v", postgres], check=True, capture_output=True, timeout=60)
    stack.docker("volume", "rm", f"{stack.project}_postgres-data")
    restore(stack, Path(done["kept"]), "--database-only")
    assert drill.later <= ledger(stack)
    send(stack)
