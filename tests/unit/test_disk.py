"""A file is written completely or not at all. If the disk refuses, the error names the file and says why.

The full and the read-only disk are real: a tmpfs that only the process under test sees.
"""

from __future__ import annotations

import ast
import errno
import json
import os
import resource
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.site import new_home
from tollgate import disk
from tollgate.site import Site

ROOT = Site.here().root
PACKAGE = ROOT / "src" / "tollgate"
PYTHONPATH = {"PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"}
REFUSED = {
    errno.ENOSPC: "no space is left on the disk of",
    errno.EDQUOT: "the disk quota for",
    errno.EROFS: "is on a read-only file system",
    errno.EFBIG: "would be larger than this user or file system allows",
    errno.EIO: "reports an input/output error",
    errno.EACCES: "permission denied",
    errno.EPERM: "operation not permitted",
}
# Every function that writes a file of a deployment. Each writes into `place`, whose disk is full or read-only.
WRITERS = """
import json, pathlib, sys
from pathlib import PurePosixPath
from tollgate import disk
from tollgate.cli.tenant import report
from tollgate.config.secret import Secret
from tollgate.errors import TollgateError
from tollgate.render import output
from tollgate.site import Site
from tollgate.stack import configuration
from tollgate.stack.backup import age, files
from tollgate.stack.secrets import publish, store
from tollgate.stack.tenants import files as tenant_files
from tollgate.stack.upgrade import record

place = pathlib.Path(sys.argv[1])
site = Site(Site.here().root, place)
published = [publish.Published("redis", "redis_password", 999, Secret("precious"))]
writers = {
    "rendered": lambda: output.write(place, [output.Rendered(PurePosixPath("config.yaml"), "text")]),
    "secret": lambda: store.store(place / "secret", Secret("precious")),
    "tenant": lambda: tenant_files.write({place / "t.yaml": "tenant: {id: t}"}),
    ".env, first": lambda: configuration.ensure_env(site),
    "restored": lambda: files.write(place / "restored", b"content"),
    "identity": lambda: age.make_identity(place / "identity"),
    "report": lambda: report.write(place / "report.html", "<p>"),
    "published": lambda: publish.write(place, published, "unused"),
    "record": lambda: record.write(Site(place, place), record.Record("1", "2")),
}
answers = {}
for name, write in writers.items():
    before = sorted(place.rglob("*"))
    try:
        with disk.in_words():
            write()
        answers[name] = ["wrote it", "", []]
    except TollgateError as error:
        left = [str(path) for path in sorted(place.rglob("*")) if path not in before and path.is_file()]
        answers[name] = [error.message, error.hint, left]
print(json.dumps(answers))
"""
# FULL leaves inodes: a file can be created, but its content cannot be written.
FULL = "mount -t tmpfs -o size=16k none {0} && mkdir {0}/var {0}/redis && ! cat /dev/zero 2>/dev/null >{0}/filler"
READ_ONLY = "mount -t tmpfs none {0} && mkdir {0}/var {0}/redis && mount -o remount,ro {0}"


def alone(script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `script` in a shell that may mount. Other processes do not see its mounts."""
    who = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    command = ["unshare", *who, "--mount", "sh", "-c", script, "sh", *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=120, check=False, env={**os.environ, **PYTHONPATH}
    )


@pytest.fixture
def place(tmp_path: Path) -> Path:
    done = alone(f"mount -t tmpfs none {tmp_path}")
    if done.returncode:
        pytest.skip(f"this machine does not let us mount a tmpfs: {done.stderr.strip()}")
    return tmp_path


@pytest.mark.parametrize(
    "mount, words", [(FULL, REFUSED[errno.ENOSPC]), (READ_ONLY, REFUSED[errno.EROFS])], ids=["full", "read-only"]
)
def test_every_writer_names_the_full_disk_and_leaves_no_half_file(place: Path, mount: str, words: str) -> None:
    done = alone(f'{mount.format(place)} && exec "$0" -c "$1" {place}'.replace("$0", sys.executable), WRITERS)
    assert done.returncode == 0, done.stderr
    answers = json.loads(done.stdout)
    assert len(answers) == 9
    for name, (message, hint, left) in answers.items():
        assert words in message, name
        assert str(place) in message, name
        assert hint, name
        assert left == [], name
        assert "precious" not in message + hint, name


def test_twin_every_writer_writes_when_there_is_space(place: Path) -> None:
    mount = f"mount -t tmpfs none {place} && mkdir {place}/var {place}/redis"
    done = alone(f'{mount} && exec {sys.executable} -c "$1" {place}', WRITERS)
    assert {name: message for name, (message, _, _) in json.loads(done.stdout).items()}.keys() >= {"secret", "record"}
    assert {message for message, _, _ in json.loads(done.stdout).values()} == {"wrote it"}


@pytest.mark.parametrize("command", [("deploy", "--until", "settings"), ("basic",)])
def test_a_command_whose_home_is_full_names_the_file(place: Path, command: tuple[str, ...]) -> None:
    home = place / "home"
    shell = f"{FULL.format(home)} && exec {sys.executable} -m tollgate --home {home} {' '.join(command)}"
    home.mkdir()
    done = alone(shell)
    assert done.returncode == 1
    assert f"error: {REFUSED[errno.ENOSPC]} {home}/" in done.stderr
    assert f"hint:  `df -h {home}" in done.stderr
    assert "Traceback" not in done.stderr and "a bug in Tollgate" not in done.stderr


@contextmanager
def no_file_above(limit: int) -> Iterator[None]:
    """The system refuses a write of this process half-way. Only inside the block, because pytest writes files too."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_file_that_cannot_be_replaced_stays_unchanged(tmp_path: Path) -> None:
    file = tmp_path / "settings"
    disk.replace(file, "before", 0o600)
    with pytest.raises(OSError, match=str(file)) as failed, no_file_above(8):
        disk.replace(file, "longer than may be", 0o644)
    assert failed.value.errno == errno.EFBIG
    assert (file.read_text(), stat.S_IMODE(file.stat().st_mode)) == ("before", 0o600)
    assert list(tmp_path.iterdir()) == [file]


def test_a_failed_create_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="password") as failed, no_file_above(8):
        disk.create(tmp_path / "password", "longer than may be")
    assert failed.value.errno == errno.EFBIG
    assert list(tmp_path.iterdir()) == []


def test_create_never_replaces_an_existing_file(tmp_path: Path) -> None:
    disk.create(tmp_path / "password", "first")
    with pytest.raises(FileExistsError):
        disk.create(tmp_path / "password", "second")
    assert (tmp_path / "password").read_text() == "first"


def test_an_overwritten_file_keeps_its_inode(tmp_path: Path) -> None:
    file = tmp_path / "mounted"
    file.write_bytes(b"longer")
    inode = file.stat().st_ino
    disk.overwrite(file, b"new")
    assert (file.read_bytes(), file.stat().st_ino) == (b"new", inode)


def test_a_device_stays_a_device() -> None:
    with pytest.raises(OSError, match="/dev/full") as failed:
        disk.replace(Path("/dev/full"), "text")
    assert failed.value.errno == errno.ENOSPC
    assert Path("/dev/full").is_char_device()


@pytest.mark.parametrize("code", REFUSED)
def test_each_refusal_names_the_file_and_says_what_to_do(code: int, tmp_path: Path) -> None:
    file = tmp_path / "not there" / "file"
    refusal = disk.refusal(OSError(code, "in the system's words", str(file)))
    assert refusal is not None
    assert REFUSED[code] in refusal.message
    assert str(file) in refusal.message
    assert refusal.hint.endswith(("then run the command again", "with sudo"))
    assert "not there" not in refusal.hint, "df refuses a path that does not exist"
    assert "{" not in refusal.message + refusal.hint


@pytest.mark.parametrize("code", [errno.ENOENT, errno.EBADF, errno.EINVAL, None])
def test_twin_another_error_is_still_a_bug(code: int | None) -> None:
    assert disk.refusal(OSError(code, "words") if code else OSError("words")) is None


def test_a_permission_without_a_file_is_still_a_bug() -> None:
    assert disk.refusal(PermissionError(errno.EPERM, "words")) is None


def tollgate(site: Site, words: str, redirect: str) -> subprocess.CompletedProcess[str]:
    shell = f"{sys.executable} -m tollgate --home {site.home} {words} {redirect}"
    return subprocess.run(
        ["bash", "-c", f"set -o pipefail; {shell}"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, **PYTHONPATH},
    )


PRINTING = ["--version", "tenant list --help"]


@pytest.mark.parametrize("words", PRINTING)
def test_output_to_a_full_disk_prints_an_error_and_a_hint(tmp_path: Path, words: str) -> None:
    site = new_home(tmp_path / "home")
    done = tollgate(site, words, "> /dev/full")
    assert done.returncode == 1
    assert done.stderr == (
        "error: no space is left on the disk of /dev/full\n"
        "hint:  `df -h /dev/full` and `df -i /dev/full` show what is full; make room, then run the command again\n"
    )
    assert not (site.home / "var" / "logs").exists()


def test_the_exit_code_is_1_even_if_stderr_is_full_too(tmp_path: Path) -> None:
    site = new_home(tmp_path / "home")
    assert tollgate(site, "--help", "> /dev/full 2> /dev/full").returncode == 1
    assert tollgate(site, "nonsense", "2> /dev/full").returncode == 1
    assert not (site.home / "var" / "logs").exists()


@pytest.mark.parametrize("words", PRINTING)
def test_a_reader_that_closes_the_pipe_is_no_error(tmp_path: Path, words: str) -> None:
    done = tollgate(new_home(tmp_path / "home"), words, "| head -c 1")
    assert len(done.stdout) == 1
    assert done.stderr == ""


def test_an_exceeded_quota_is_a_refusal_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The system reports it only when the file is closed, as NFS does."""

    def used_up(descriptor: int) -> None:
        raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))

    monkeypatch.setattr(os, "fsync", used_up)
    with pytest.raises(OSError) as failed, disk.naming(tmp_path):
        disk.create(tmp_path / "secret", "content")
    assert disk.refusal(failed.value) is not None
    assert list(tmp_path.iterdir()) == []


# The lock's file keeps its inode, because a container has it mounted.
ELSEWHERE = {"disk.py", "stack/host/lock.py"}


def test_files_are_written_in_one_place_only() -> None:
    written = set()
    for file in PACKAGE.rglob("*.py"):
        calls = [node.attr for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Attribute)]
        if {"write_text", "write_bytes", "fdopen", "copyfile", "copy2"} & set(calls):
            written.add(str(file.relative_to(PACKAGE)))
    assert {name for name in written if not name.startswith("services/")} <= ELSEWHERE
