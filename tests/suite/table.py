"""The table of seconds that closes a run: the run's parts, then the folders of tests, as docs/performance.md has it."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

# Written by the run as each part ends: {"began": seconds since the epoch, "parts": {name: seconds}}.
RUN = "run"


def write_run(directory: Path, began: float, parts: dict[str, float]) -> None:
    (directory / RUN).write_text(json.dumps({"began": began, "parts": parts}))


def text(directory: Path) -> str:
    """A run that ended early has fewer rows."""
    records = [json.loads(file.read_text()) for file in sorted(directory.glob("*.json"))]
    lines = ["| tests | number | seconds |", "|---|---:|---:|"]
    for name, (number, seconds) in sorted(_folders(records).items()):
        lines.append(f"| {name} | {number} | {seconds:.0f} |")
    lanes = {name: seconds for record in records for name, seconds in record["lanes"].items() if name}
    return "\n".join([*_parts(directory), *lines, *_busy(lanes)])


def _parts(directory: Path) -> list[str]:
    if not (directory / RUN).is_file():
        return []
    run = json.loads((directory / RUN).read_text())
    lines = [f"| {name} | | {seconds:.0f} |" for name, seconds in run["parts"].items()]
    until_now = time.time() - run["began"]
    return ["| part of the run | | seconds |", "|---|---|---:|", *lines, f"| all until now | | {until_now:.0f} |", ""]


def _folders(records: list[dict[str, Any]]) -> dict[str, tuple[int, float]]:
    """Number of tests and seconds by folder; the seconds include set-up and tear-down."""
    folders: dict[str, tuple[int, float]] = {}
    for record in records:
        for name, seconds in record["seconds"].items():
            number, before = folders.get(name, (0, 0.0))
            folders[name] = number + record["tests"].get(name, 0), before + seconds
    return folders


def _busy(lanes: dict[str, float]) -> list[str]:
    return [f"lane {name}: {seconds:.0f} s of tests" for name, seconds in sorted(lanes.items())]
