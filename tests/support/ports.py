"""Docker's choice of a host port can fail, and is then made again.

Engine 20.10 hands out ports from 32768 upwards without looking whether the host uses one as the near end of some
connection: "bind: address already in use". The next try gets the next port; nothing else is tried again.
"""

from __future__ import annotations

import functools
import subprocess
from collections.abc import Callable
from typing import Any

from docker.errors import APIError
from testcontainers.compose import DockerCompose
from testcontainers.core.docker_client import DockerClient

TAKEN = "address already in use"
TRIES = 5


def start_again_on_a_taken_port() -> None:
    """Make every container and Compose project that Testcontainers starts choose its ports again. Once a session."""
    DockerClient.start = _again(DockerClient.start, APIError, lambda error: str(error))  # type: ignore[method-assign]
    DockerCompose.start = _again(  # type: ignore[method-assign]
        DockerCompose.start, subprocess.CalledProcessError, lambda error: error.stderr.decode(errors="replace")
    )


def _again(start: Callable[..., Any], kind: type[Exception], text: Callable[[Any], str]) -> Callable[..., Any]:
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
