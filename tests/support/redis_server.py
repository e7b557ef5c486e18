"""A Redis of the test's own, if this machine has the program. Tests in containers use the kit's image instead."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from tests.support.ports import free_ports

# Debian's redis-tools has the server too, under another name, and starts no service: the program looks at its own name.
PROGRAM = shutil.which("redis-server") or shutil.which("redis-check-rdb")


@contextmanager
def redis_server(*options: str) -> Iterator[str]:
    """Its address, as host:port. It keeps nothing on the disk."""
    assert PROGRAM is not None
    port = free_ports(1)[0]
    with tempfile.TemporaryDirectory() as directory:
        command = [
            "redis-server",
            "--port",
            str(port),
            "--bind",
            "127.0.0.1",
            "--save",
            "",
            "--dir",
            directory,
            *options,
        ]
        process = subprocess.Popen(command, executable=PROGRAM, stdout=subprocess.PIPE, text=True)
        try:
            assert process.stdout is not None
            lines = iter(process.stdout)
            assert any("Ready to accept connections" in line for line in lines)
            yield f"127.0.0.1:{port}"
        finally:
            process.kill()
            process.wait()
            if process.stdout is not None:
                process.stdout.close()
