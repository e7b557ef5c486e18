"""Asks a gateway process about a replica: whether it sends calls there, and how many run.

services/gateway/replicas.py has the answer, as a part of `/health/readiness`.
"""

from __future__ import annotations

from dataclasses import dataclass

from tollgate.errors import TollgateError
from tollgate.stack.containers.container import Container
from tollgate.stack.containers.readiness import readiness


@dataclass(frozen=True)
class Calls:
    """`takes` is None if the process cannot say: it does not serve, or an older kit made it."""

    takes: bool | None
    running: int = 0


def calls(process: Container, replica: str) -> Calls | None:
    """None if the process does not answer: it stands still, or its container has just ended."""
    try:
        told = readiness(process)
    except (TollgateError, ValueError):
        return None
    if "replicas" not in told:
        return Calls(None)
    known = told["replicas"].get(replica)
    # It does not know a replica that REPLICAS no longer has.
    return Calls(known["takes"], known["running"]) if known else Calls(takes=False)
