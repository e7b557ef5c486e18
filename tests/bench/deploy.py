"""`make bench-deploy`: cold deploy, warm start and no-op deploy, step by step, in a home of its own.

Cold means no image of ours, no build cache and no data. It removes this checkout's local images first, so run it on a
machine whose running deployment may have to rebuild them; the deployment itself is not touched. Prints a Markdown
table for docs/performance.md; figures are seconds of one run, on the machine named above the table.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.support.stack import BENCH, ROOT, Stack, prepare, project_name, take_down
from tests.support.sweep import remember

PROMISED = {"cold deploy": 480, "warm start": 90, "no-op deploy": 10}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keep-images", action="store_true", help="measure the cold deploy with the images there")
    options = parser.parse_args()
    remember()
    if not options.keep_images:
        forget_images()
    with tempfile.TemporaryDirectory() as scratch:
        stack = prepare(Path(scratch) / "home", project_name(BENCH))
        try:
            runs = {"cold deploy": deploy(stack)}
            resident = resident_mib(stack)
            runs["no-op deploy"] = deploy(stack)
            stack.cli("stop")
            runs["warm start"] = start(stack)
        finally:
            take_down(stack, ROOT / "var" / "logs" / "bench")
    sys.stdout.write(table(runs, resident))
    return 0


def forget_images() -> None:
    """Remove local images and the build cache; an image in use stays, and says so."""
    listing = ["docker", "image", "ls", "--format", "{{.Repository}}:{{.Tag}}", "--filter", "reference=tollgate/*"]
    images = subprocess.run(listing, capture_output=True, text=True, check=True).stdout.split()
    for image in images:
        subprocess.run(["docker", "image", "rm", "--force", image], capture_output=True, check=False)
    subprocess.run(["docker", "builder", "prune", "--all", "--force"], capture_output=True, check=True)


def deploy(stack: Stack) -> dict[str, float]:
    began = time.monotonic()
    seconds: dict[str, float] = json.loads(stack.cli("deploy", "--json").stdout)["seconds"]
    return {**seconds, "total": time.monotonic() - began}


def start(stack: Stack) -> dict[str, float]:
    began = time.monotonic()
    stack.cli("start")
    return {"services": time.monotonic() - began, "total": time.monotonic() - began}


def resident_mib(stack: Stack) -> float:
    """Memory of all containers together, as Docker counts it (without page cache)."""
    names = [row.name for row in stack.compose.containers() if row.state == "running"]
    lines = stack.docker("stats", "--no-stream", "--format", "{{.MemUsage}}", *names).splitlines()
    units = {"KiB": 1 / 1024, "MiB": 1.0, "GiB": 1024.0}
    used = [line.split("/")[0].strip() for line in lines]
    return sum(float(value[:-3]) * units[value[-3:]] for value in used)


def table(runs: dict[str, dict[str, float]], resident: float) -> str:
    steps = [*runs["cold deploy"]]
    processor = platform.processor() or platform.machine()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1024**3
    lines = [
        f"{os.cpu_count()} cores ({processor}), {memory:.0f} GiB, {platform.freedesktop_os_release()['PRETTY_NAME']}, "
        f"Python {platform.python_version()}, {time.strftime('%Y-%m-%d')}; seconds, one run.",
        "",
        f"| step | {' | '.join(runs)} |",
        f"|---|{'---:|' * len(runs)}",
    ]
    for step in steps:
        cells = [f"{run[step]:.1f}" if step in run else "" for run in runs.values()]
        lines.append(f"| {step} | {' | '.join(cells)} |")
    aims = [f"{PROMISED[name]}" for name in runs]
    lines.append(f"| aim | {' | '.join(aims)} |")
    lines += ["", f"At rest the whole stack uses {resident / 1024:.2f} GiB of memory (aim: 4)."]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
