"""The target of the suite: the embedded provider itself, a gateway in front of it, or a real provider."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tests.support import plain
from tests.support.eventually import eventually

KEY = "sk-contract-c0ffee5ca1ab1e"


@dataclass(frozen=True)
class Target:
    """`url` has no /v1. `dials`: the embedded provider is the upstream. `direct`: no gateway is in between."""

    url: str
    key: str
    model: str
    embedding_model: str
    dials: bool
    direct: bool

    def recorded(self, request_id: str) -> dict[str, Any] | None:
        """The provider's record of one request; only with a direct target."""
        entries = plain.get(f"{self.url}/_recorded", params={"limit": 1000}).raise_for_status().json()["requests"]
        return next((entry for entry in entries if entry["request_id"] == request_id), None)

    def post(self, path: str, body: object, **headers: str) -> httpx.Response:
        sent = {"authorization": f"Bearer {self.key}", **headers}
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return plain.post(f"{self.url}{path}", content=content, headers=sent, timeout=30)


def from_environment() -> Target | None:
    """TOLLGATE_CONTRACT_URL, _KEY, _MODEL, _EMBEDDING_MODEL; _DIALS=no if the upstream is a real provider."""
    url = os.environ.get("TOLLGATE_CONTRACT_URL")
    if not url:
        return None
    model = os.environ.get("TOLLGATE_CONTRACT_MODEL", "test-model")
    return Target(
        url.rstrip("/"),
        os.environ["TOLLGATE_CONTRACT_KEY"],
        model,
        os.environ.get("TOLLGATE_CONTRACT_EMBEDDING_MODEL", ""),
        dials=os.environ.get("TOLLGATE_CONTRACT_DIALS", "yes") != "no",
        direct=False,
    )


@contextmanager
def embedded(log: Path) -> Iterator[Target]:
    """The provider as its container runs it, on a free port; its log must be clean when it stops."""
    command = [sys.executable, "-m", "tollgate.services.provider", "--port", "0", "--under-test", "yes"]
    with log.open("wb") as out, subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT) as process:
        try:
            port = eventually(lambda: listening_port(log), within=60)
            yield Target(f"http://127.0.0.1:{port}", KEY, "test-model", "test-embedding", dials=True, direct=True)
        finally:
            process.terminate()
            try:
                assert process.wait(timeout=60) == 0
            finally:
                process.kill()


def listening_port(log: Path) -> int | None:
    """The provider prints its port"""
    first = log.read_text().partition("\n")
    return json.loads(first[0])["port"] if first[1] else None


def unclean(log: str, key: str) -> list[str]:
    """Lines that must not be in a provider's log: not JSON, worse than info, a query string, or the key."""
    found = []
    for line in log.splitlines():
        try:
            entry = json.loads(line)
        except ValueError:
            found.append(line)
            continue
        if entry["level"] != "info" or key in line or "?" in str(entry.get("path")):
            found.append(line)
    return found
