"""Docker's choice of a host port can fail, and is then made again; ports for those who must keep theirs; who refuses.

Engine 20.10 hands out ports from 32768 upwards without looking whether the host uses one as the near end of some
connection: "bind: address already in use". The next try gets the next port; nothing else is tried again.
"""

from __future__ import annotations

import functools
import random
import socket
import subprocess
from collections.abc import Callable
from typing import Any

import httpx
from docker.errors import APIError
from testcontainers.compose import DockerCompose
from testcontainers.core.docker_client import DockerClient

from tests.support import plain

TAKEN = "address already in use"
TRIES = 5
# Below what Linux (32768) and Docker hand out by themselves: there a port that is free now may be a connection's near
# end a moment later, of the very clients that ask for it while nobody listens.
KEPT = range(20_000, 32_000)


def refuses(url: str) -> bool:
    """Whether a new connection gets no answer; those that are open are another matter."""
    try:
        plain.get(url, timeout=5)
    except httpx.TransportError:
        return True
    return False


def free_ports(count: int) -> list[int]:
    """Ports on which nobody listens, and which nobody is given who does not ask for that number."""
    found: list[int] = []
    for port in random.sample(KEPT, len(KEPT)):
        if len(found) == count:
            break
        with socket.socket() as tried:
            tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                tried.bind(("", port))
            except OSError:
                continue
        found.append(port)
    return found


def start_again_on_a_taken_port() -> None:
    """Make every container and Compose project that Testcontainers starts choose its ports again. Once a session."""
    DockerClient.start = again(DockerClient.start, APIError, lambda error: str(error))  # type: ignore[method-assign]
    DockerCompose.start = again(  # type: ignore[method-assign]
        DockerCompose.start, subprocess.CalledProcessError, lambda error: error.stderr.decode(errors="replace")
    )


def again(start: Callable[..., Any], kind: type[Exception], text: Callable[[Any], str]) -> Callable[..., Any]:
    """`start`, called again where the `text` of the `kind` of error it raised tells of a taken port."""

    @functools.wraps(start)
    def started(*arguments: Any, **options: Any) -> Any:
        for attempt in range(1, TRIES + 1):
            try:
                return start(*arguments, **options)
            except kind as error:
                if attempt == TRIES or TAKEN not in text(error):
                    raise
        raise AssertionError("the last attempt returns or raises")

    return started
