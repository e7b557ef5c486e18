"""One operation at a time, by processes that live and processes that die."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tollgate.errors import TollgateError
from tollgate.site import Site
from tollgate.stack.lock import locked

HOLD = """
import sys
from pathlib import Path
from tollgate.site import Site
from tollgate.stack.lock import locked
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


def test_a_second_one_is_refused_and_told_who_and_why(site: Site) -> None:
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


def test_it_is_free_again_after_the_block_also_when_that_failed(site: Site) -> None:
    with pytest.raises(ZeroDivisionError), locked(site, "deploy"):
        raise ZeroDivisionError
    with locked(site, "stop"):
        content = (site.home / "var" / "lock").read_text()
    assert '"why": "stop"' in content
    assert "deploy" not in content, "the line of an earlier holder is gone"


def test_a_holder_that_has_not_said_who_it_is_yet(site: Site) -> None:
    with holder(site) as process:
        try:
            (site.home / "var" / "lock").write_text("")
            with (
                pytest.raises(TollgateError, match="another operation is running: it has just begun"),
                locked(site, "x"),
            ):
                pytest.fail("held by two")
        finally:
            process.kill()


def test_another_home_has_a_lock_of_its_own(site: Site, tmp_path: Path) -> None:
    with locked(site, "deploy"), locked(Site(tmp_path, tmp_path / "other"), "deploy"):
        pass
