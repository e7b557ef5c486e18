"""Only one operation runs at a time. The holders are real processes; some are killed."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from tollgate.errors import TollgateError
from tollgate.site import Site
from tollgate.stack.host.lock import locked

HOLD = """
import sys
from pathlib import Path
from tollgate.site import Site
from tollgate.stack.host.lock import locked
with locked(Site(Path(sys.argv[1]), Path(sys.argv[1])), "upgrade"):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path, tmp_path)


def holder(site: Site) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(site.home)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_a_second_operation_is_refused_and_the_holder_named(site: Site) -> None:
    with holder(site) as process:
        try:
            with pytest.raises(TollgateError) as refused, locked(site, "deploy"):
                pytest.fail("held by two")
        finally:
            process.kill()
    message = refused.value.message
    assert "another operation is running: upgrade by " in message
    assert f"(process {process.pid}) since 2" in message
    assert "wait until it ends" in refused.value.hint


def test_a_killed_holder_leaves_no_lock(site: Site) -> None:
    with holder(site) as process:
        process.kill()
        process.wait()
    with locked(site, "deploy"):
        assert f'"pid": {os.getpid()}' in (site.home / "var" / "lock").read_text()


def test_the_lock_is_free_after_a_failed_block(site: Site) -> None:
    with pytest.raises(ZeroDivisionError), locked(site, "deploy"):
        raise ZeroDivisionError
    with locked(site, "stop"):
        content = (site.home / "var" / "lock").read_text()
    assert '"why": "stop"' in content
    assert "deploy" not in content, "the line of an earlier holder is gone"


def test_a_holder_that_has_not_written_its_name_yet(site: Site) -> None:
    with holder(site) as process:
        try:
            (site.home / "var" / "lock").write_text("")
            with (
                pytest.raises(TollgateError, match="another operation is running: it has just started"),
                locked(site, "x"),
            ):
                pytest.fail("held by two")
        finally:
            process.kill()


def test_another_home_has_its_own_lock(site: Site, tmp_path: Path) -> None:
    with locked(site, "deploy"), locked(Site(tmp_path, tmp_path / "other"), "deploy"):
        pass


@pytest.mark.parametrize("mode", [0o644, 0o666, 0o640, 0o600])
def test_other_users_cannot_open_the_lock(mode: int, site: Site) -> None:
    lock = site.home / "var" / "lock"
    lock.parent.mkdir()
    lock.touch()
    lock.chmod(mode)
    inode = lock.stat().st_ino
    with locked(site, "deploy"):
        assert stat.S_IMODE(lock.stat().st_mode) == 0o600
    assert lock.stat().st_ino == inode, "the backup container has this inode mounted"


def test_a_new_lock_is_private_with_any_umask(site: Site) -> None:
    before = os.umask(0)
    try:
        with locked(site, "deploy"):
            assert stat.S_IMODE((site.home / "var" / "lock").stat().st_mode) == 0o600
    finally:
        os.umask(before)


@pytest.mark.parametrize("kind", ["link", "dangling link", "hard link", "pipe", "directory"])
def test_a_lock_path_that_is_not_a_plain_file_is_refused(kind: str, site: Site) -> None:
    lock, other = site.home / "var" / "lock", site.home / "other"
    lock.parent.mkdir()
    if kind != "dangling link":
        other.write_text("mine")
    {
        "link": lambda: lock.symlink_to(other),
        "dangling link": lambda: lock.symlink_to(other),
        "hard link": lambda: lock.hardlink_to(other),
        "pipe": lambda: os.mkfifo(lock),
        "directory": lock.mkdir,
    }[kind]()
    with pytest.raises(TollgateError, match="expected a plain file with one name"), locked(site, "deploy"):
        pytest.fail("held")
    assert other.exists() is (kind != "dangling link")
    if other.exists():
        assert (other.read_text(), stat.S_IMODE(other.stat().st_mode)) == ("mine", 0o644)


@pytest.mark.skipif(os.geteuid() != 0, reason="a process of another user needs root to start it")
def test_another_users_process_that_holds_the_lock_is_named(site: Site) -> None:
    lock = site.home / "var" / "lock"
    lock.parent.mkdir()
    hold = "import fcntl, sys; fcntl.flock({}, fcntl.LOCK_EX); print('held', flush=True); sys.stdin.read()"
    with lock.open("w") as opened:
        child = subprocess.Popen(
            ["/usr/bin/env", "python3", "-c", hold.format(opened.fileno())],
            pass_fds=[opened.fileno()], user=65534, group=65534, extra_groups=[], cwd="/",
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
    assert child.stdout is not None
    assert child.stdout.readline() == "held\n"
    try:
        with pytest.raises(TollgateError) as refused, locked(site, "deploy"):
            pytest.fail("held by two")
    finally:
        child.communicate()
    assert f"process {child.pid} of user 65534 holds the lock" in refused.value.message
    with locked(site, "deploy"):
        pass
