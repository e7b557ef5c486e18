"""`make test-all`: every target of the Makefile that runs tests, in its order, and how long each took."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
OURSELVES = "test-all"


def targets(makefile: str) -> list[str]:
    """`test` and every target whose name begins with `test-`, but not this one."""
    named = re.findall(r"^(test(?:-[a-z-]+)?):", makefile, re.MULTILINE)
    return [name for name in named if name != OURSELVES]


def make(target: str) -> int:
    return subprocess.run(["make", target], cwd=ROOT, check=False).returncode


def run(names: list[str], make: Callable[[str], int]) -> int:
    """Every target, even after one that failed; 1 if any did."""
    rows = []
    for name in names:
        sys.stdout.write(f"==> make {name}\n")
        sys.stdout.flush()
        began = time.monotonic()
        code = make(name)
        rows.append((name, time.monotonic() - began, code))
    lines = ["| target | seconds | exit status |", "|---|---:|---:|"]
    lines += [f"| make {name} | {seconds:.0f} | {code} |" for name, seconds, code in rows]
    sys.stdout.write("\n".join(lines) + "\n")
    return int(any(code != 0 for _, _, code in rows))


if __name__ == "__main__":
    sys.exit(run(targets((ROOT / "Makefile").read_text()), make))
