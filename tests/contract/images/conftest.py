"""Runs our images as a deployment does, with every restriction that Compose sets."""

from __future__ import annotations

import secrets
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from testcontainers.core.labels import LABEL_SESSION_ID, SESSION_ID

from tests.support import images
from tests.support.eventually import eventually

HARDENED = ("--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--pids-limit", "200")


def docker(*arguments: str, check: bool = True) -> str:
    """Output of a docker command, stdout and stderr together; AssertionError with it if the command fails."""
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True, check=False, timeout=300)
    text = (done.stdout + done.stderr).strip()
    assert not check or done.returncode == 0, f"docker {' '.join(arguments[:3])} ...: {text}"
    return text


@dataclass(frozen=True)
class Container:
    name: str

    def run(self, *command: str, check: bool = True) -> str:
        return docker("exec", self.name, *command, check=check)

    def logs(self) -> str:
        return docker("logs", self.name)

    def until(self, *command: str, within: float = 60) -> str:
        """Repeat a command in the container until it succeeds with some output."""

        def succeeds() -> str:
            return self.run(*command)

        try:
            return eventually(succeeds, within=within)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.logs()}") from None


@pytest.fixture(scope="session")
def image() -> Callable[[str], str]:
    """The image of a variable: POSTGRES_IMAGE and so on."""
    return images.image


@pytest.fixture
def once(image: Callable[[str], str]) -> Callable[..., str]:
    """Run one command in a hardened container of an image and return its output."""

    def run(variable: str, *command: str, options: Sequence[str] = ()) -> str:
        return docker("run", "--rm", *HARDENED, *options, image(variable), *command)

    return run


@pytest.fixture
def started(image: Callable[[str], str]) -> Callable[..., AbstractContextManager[Container]]:
    """A hardened container that runs until the `with` block ends."""

    @contextmanager
    def start(variable: str, *command: str, options: Sequence[str] = ()) -> Iterator[Container]:
        name = f"tollgate-test-{secrets.token_hex(4)}"
        label = f"{LABEL_SESSION_ID}={SESSION_ID}"  # so that tests/support/sweep.py finds it
        docker("run", "-d", "--name", name, "--label", label, *HARDENED, *options, image(variable), *command)
        try:
            yield Container(name)
        finally:
            docker("rm", "-f", "-v", name)

    return start


@pytest.fixture
def volume() -> Iterator[str]:
    name = f"tollgate-test-{secrets.token_hex(4)}"
    docker("volume", "create", name)
    yield name
    docker("volume", "rm", "-f", name)


@pytest.fixture
def secret_file(tmp_path: Path) -> Callable[[str, str], Path]:
    """A file as Compose mounts it into a container: every uid can read it."""

    def write(name: str, text: str) -> Path:
        file = tmp_path / name
        file.write_text(text)
        file.chmod(0o444)
        return file

    tmp_path.chmod(0o755)
    return write
