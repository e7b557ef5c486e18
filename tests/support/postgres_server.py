"""A PostgreSQL of the test's own, if this machine has the programs. Tests in containers use the kit's image instead."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.eventually import eventually
from tests.support.ports import free_ports

_FOUND = shutil.which("postgres")
PROGRAMS = Path(_FOUND).resolve().parent if _FOUND else None
# PostgreSQL refuses to run as root.
_USER = "postgres" if os.geteuid() == 0 else None


@dataclass
class Server:
    """It keeps its data when it is stopped."""

    directory: Path
    port: int
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def address(self) -> str:
        return f"host=127.0.0.1 port={self.port} user=test dbname=postgres connect_timeout=2"

    def start(self) -> None:
        command = [str(_programs() / "postgres"), "-D", str(self.directory / "data"), "-p", str(self.port)]
        command += ["-k", str(self.directory), "-c", "listen_addresses=127.0.0.1", "-c", "fsync=off"]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        self.process = subprocess.Popen(command, user=_USER, **quiet)
        eventually(self._answers, within=30, every=0.1)

    def stop(self) -> None:
        if self.process is not None:
            # The fast way: it ends its connections. After SIGTERM it would wait for its clients.
            self.process.send_signal(signal.SIGINT)
            self.process.wait(20)
            self.process = None

    def _answers(self) -> bool:
        ready = [str(_programs() / "pg_isready"), "-h", "127.0.0.1", "-p", str(self.port)]
        return subprocess.run(ready, stdout=subprocess.DEVNULL, check=False).returncode == 0


def _programs() -> Path:
    assert PROGRAMS is not None
    return PROGRAMS


@contextmanager
def postgres_server() -> Iterator[Server]:
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        if _USER is not None:
            shutil.chown(directory, _USER)
        create = [str(_programs() / "initdb"), "-D", str(directory / "data"), "-U", "test", "-A", "trust", "-N"]
        subprocess.run(create, user=_USER, stdout=subprocess.DEVNULL, check=True)
        server = Server(directory, free_ports(1)[0])
        server.start()
        try:
            yield server
        finally:
            server.stop()
