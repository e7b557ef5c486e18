"""Another time for the replicas, while they run: libfaketime reads how far ahead they are from a file.

It is Debian's package of that name: installed on this host, or fetched and unpacked below var/. On another system
TOLLGATE_FAKETIME says where it lies. Only the replicas' time is changed, and not how fast it passes.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from tests.chaos.load import Load, ask, client
from tests.support.eventually import eventually
from tests.support.stack import ROOT, Stack

LIBRARY = "lib/*/faketime/libfaketime.so.1"
UNPACKED = ROOT / "var" / "faketime"
INSIDE = "/opt/faketime"
SPENT = "pauper"
OPENS_WITHIN_S = 180


@cache
def library() -> Path | None:
    """The path of the library, which is fetched if it is missing. None, and a line with the reason, if that fails."""
    if chosen := os.environ.get("TOLLGATE_FAKETIME"):
        return Path(chosen)
    if not (found := [*Path("/usr").glob(LIBRARY), *(UNPACKED / "usr").glob(LIBRARY)]):
        UNPACKED.mkdir(parents=True, exist_ok=True)
        fetch = ["sh", "-c", "apt-get download -qq libfaketime && dpkg-deb --extract libfaketime_*.deb ."]
        done = subprocess.run(fetch, cwd=UNPACKED, capture_output=True, text=True, check=False)
        if done.returncode:
            print(f"left out, for want of libfaketime: the clock ({done.stderr.strip()[-200:]})", file=sys.stderr)
            return None
        found = list((UNPACKED / "usr").glob(LIBRARY))
    return found[0]


def possible() -> bool:
    return library() is not None


def directory(stack: Stack) -> Path:
    return stack.home / "faketime"


def prepare(stack: Stack, load: Load) -> None:
    """Replicas whose time can be changed, and a tenant whose budget of today is spent."""
    directory(stack).mkdir(mode=0o755, exist_ok=True)
    faketime = library()
    assert faketime is not None, "the fault is left out if the library is missing"
    shutil.copyfile(faketime, directory(stack) / faketime.name)
    move(stack, "+0")
    file = stack.site.rendered_dir / "compose" / "replicas.yaml"
    described: dict[str, Any] = yaml.safe_load(file.read_text())
    for replica in described["services"].values():
        replica["volumes"].append(f"{directory(stack)}:{INSIDE}:ro")
        replica["environment"] |= {
            "LD_PRELOAD": f"{INSIDE}/{faketime.name}",
            "FAKETIME_TIMESTAMP_FILE": f"{INSIDE}/clock",
            "FAKETIME_CACHE_DURATION": "1",
            "DONT_FAKE_MONOTONIC": "1",
        }
    file.write_text(yaml.safe_dump(described))
    stack.compose.ask("up", "--detach", "--no-deps", *described["services"], timeout=300)
    eventually(stack.ready, within=180, every=2)
    eventually(lambda: outcome(stack) == "429", within=60)


def move(stack: Stack, offset: str) -> None:
    """Written over where it lies: the containers hold the file."""
    file = directory(stack) / "clock"
    file.write_text(offset + "\n")
    file.chmod(0o644)


def ahead(stack: Stack, load: Load) -> None:
    move(stack, "+1d")


def back(stack: Stack, load: Load) -> None:
    """LiteLLM's jobs wait until the time they were due; a replica that is replaced writes what it has."""
    move(stack, "+0")
    stack.cli("rollout")


def outcome(stack: Stack) -> str:
    with client() as http:
        return ask(http, stack.url, stack.key(SPENT)).outcome


def spent_budget_opens(stack: Stack) -> tuple[str, list[str]]:
    began = time.monotonic()
    try:
        eventually(lambda: outcome(stack) == "200", within=OPENS_WITHIN_S, every=1)
    except AssertionError:
        return "the spent budget stayed closed", [f"a spent budget did not open within {OPENS_WITHIN_S} s"]
    return f"the spent budget opened after {time.monotonic() - began:.0f} s", []
