"""Reads what a gateway process says of itself in `/health/readiness` (services/gateway/inside.py)."""

from __future__ import annotations

import json
from typing import Any

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


def readiness(process: Container) -> dict[str, Any]:
    """The answer; empty if the process refuses the connection.

    Raises TollgateError or ValueError if it does not answer: it stands still, or its container has just ended.
    """
    command = ["docker", "exec", process.id, "python", "-IS", "-c", _READ]
    answer: dict[str, Any] = json.loads(docker(command, timeout=15, what=f"asking {process.service}"))
    return answer
