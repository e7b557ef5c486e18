"""A published secret can be read by the user of its own container, and by no other, root of a container included."""

from __future__ import annotations

import secrets as random
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.images import image
from tollgate.config.secret import Secret
from tollgate.stack.secrets import publish
from tollgate.stack.secrets.publish import Published

pytestmark = pytest.mark.docker

VALUE = random.token_urlsafe(24)
FILES = [Published(f"service-{uid}", "word", uid, Secret(VALUE)) for uid in (65521, 65525, 65523, 472)]
EVERYBODY = ("0:0", "65521:65521", "65525:65525", "65534:65534", "999:999", "10001:10001", "472:0", "1000:1000")


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    made = tmp_path_factory.mktemp("published") / "secrets"
    publish.write(made, FILES, image("TOLLGATE_IMAGE"))
    yield made


def read(file: Path, user: str) -> subprocess.CompletedProcess[str]:
    """`cat` of the file as Compose mounts it, as `user` without any capability."""
    mount = f"type=bind,source={file},target=/run/secrets/word,readonly"
    confined = ["--network=none", "--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges", f"--user={user}"]
    command = ["docker", "run", "--rm", *confined, "--mount", mount, "--entrypoint=cat", image("TOLLGATE_IMAGE")]
    return subprocess.run([*command, "/run/secrets/word"], capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.uid))
def test_its_own_user_reads_it(directory: Path, file: Published) -> None:
    done = read(directory / file.path, f"{file.uid}:{file.uid}")
    assert (done.returncode, done.stdout) == (0, VALUE), done.stderr


@pytest.mark.parametrize("user", [user for user in EVERYBODY if not user.startswith("65525")])
def test_nobody_else_does(directory: Path, user: str) -> None:
    done = read(directory / "service-65525" / "word", user)
    assert done.returncode != 0
    assert "Permission denied" in done.stderr
    assert VALUE not in done.stdout + done.stderr


def test_a_changed_secret_is_seen_by_a_new_container(directory: Path) -> None:
    """A file that was given away is replaced, not written into: our own user may not open it any more."""
    changed = [Published(FILES[0].service, "word", FILES[0].uid, Secret("another")), *FILES[1:]]
    try:
        assert publish.write(directory, changed, image("TOLLGATE_IMAGE")) == [FILES[0].path]
        assert read(directory / FILES[0].path, "65521:65521").stdout == "another"
    finally:
        publish.write(directory, FILES, image("TOLLGATE_IMAGE"))
