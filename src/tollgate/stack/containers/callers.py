"""Asks a gateway process about a replica: whether it sends calls there, and how many run.

services/gateway/replicas.py has the answer, as a part of `/health/readiness`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from tollgate.errors import TollgateError
from tollgate.stack.containers.container import Container
from tollgate.stack.host.docker import docker

# The image has no curl, and importing an HTTP client takes six times the processor time of a bare socket. A process
# that refuses the connection starts or ends: it has no calls, and reads which replicas are drained before it serves.
_READ = """
import _socket
asked = _socket.socket()
asked.settimeout(4)
try:
    asked.connect(("127.0.0.1", 4100))
except ConnectionRefusedError:
    print("{}")
    raise SystemExit
asked.send(b"GET /health/readiness HTTP/1.0\\r\\n\\r\\n")
answer = b""
while piece := asked.recv(65536):
    answer += piece
print(answer.partition(b"\\r\\n\\r\\n")[2].decode())
"""


@dataclass(frozen=True)
class Calls:
    """`takes` is None if the process cannot say: it does not serve, or an older kit made it."""

    takes: bool | None
    running: int = 0


def calls(process: Container, replica: str) -> Calls | None:
    """None if the process does not answer: it stands still, or its container has just ended."""
    try:
        text = docker(
            ["docker", "exec", process.id, "python", "-IS", "-c", _READ], timeout=15, what=f"asking {process.service}"
        )
        told = json.loads(text)
    except (TollgateError, ValueError):
        return None
    if "replicas" not in told:
        return Calls(None)
    known = told["replicas"].get(replica)
    # It does not know a replica that REPLICAS no longer has.
    return Calls(known["takes"], known["running"]) if known else Calls(takes=False)
