"""The kit's own Redis in a container."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from testcontainers.core.config import testcontainers_config
from testcontainers.core.container import DockerContainer

from tests.support.eventually import eventually
from tests.support.images import image
from tests.support.ports import free_ports

# Its reaper is an image of its own, which a machine without a registry cannot have; the stack of contexts cleans up.
testcontainers_config.ryuk_disabled = True


@dataclass
class RedisContainer:
    """`address` is host:port of this machine; it stays the same when the container starts again."""

    container: DockerContainer
    address: str
    password: str

    def cli(self, *words: str) -> str:
        command = ["redis-cli", "--no-auth-warning", "-a", self.password, *words]
        done = self.container.get_wrapped_container().exec_run(command)
        assert done.exit_code == 0, done.output
        return str(done.output.decode().strip())


@pytest.fixture(scope="package")
def redis() -> Iterator[RedisContainer]:
    password, port = secrets.token_hex(16), free_ports(1)[0]
    container = DockerContainer(image("REDIS_IMAGE"))
    container.with_command(["redis-server", "--requirepass", password, "--appendonly", "yes", "--save", ""])
    container.ports["6379"] = ("127.0.0.1", port)  # type: ignore[assignment]  # kept when the container starts again
    with container:
        found = RedisContainer(container, f"127.0.0.1:{port}", password)

        def ready() -> bool:
            """Redis answers"""
            return found.cli("PING") == "PONG"

        eventually(ready, within=60)
        yield found
