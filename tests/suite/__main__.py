"""`python -m tests.suite [ARGUMENTS OF PYTEST]`: every test from a fresh clone, or with arguments pytest alone.

First, at the same time: checks with unit tests, engine and images, and the clients that tests run. None needs another.
If all succeeded, the tests with containers follow in lanes. In every case they remove from Docker what they started.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType

from tests.suite import record, table
from tests.suite.process import Process, TimeIsUpError, run, say

ROOT = Path(__file__).resolve().parents[2]
PYTHON = str(ROOT / ".venv" / "bin" / "python")
RECORDS = ROOT / "var" / "logs" / "suite"
# CI kills a run after 90 minutes, and then nobody would see what took so long.
LIMIT_S = 85 * 60
LANES = "3"
INTERRUPTED = 130
CONTAINERS = "containers"
ENVIRONMENT = {
    # Testcontainers' own reaper image can only come from a registry; each fixture removes what it started.
    "TESTCONTAINERS_RYUK_DISABLED": "true",
    "PYTHONUNBUFFERED": "1",
}


def main(arguments: list[str]) -> int:
    # CI stops a run with SIGTERM; it ends like Ctrl-C. A shell starts background jobs with SIGINT ignored, and they
    # and their children would ignore Ctrl-C.
    signal.signal(signal.SIGTERM, terminate)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.chdir(ROOT)
    # Each test session and each `tollgate` would compile the same modules again.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    sweep()
    try:
        return pytest_alone(arguments) if arguments else everything()
    except TimeIsUpError:
        say(f"error: the tests did not end within {LIMIT_S // 60} minutes")
        return 1
    except KeyboardInterrupt:
        say("error: interrupted")
        return INTERRUPTED
    finally:
        sweep()


class Terminated(KeyboardInterrupt):
    """SIGTERM, which a terminal does not also send to our children."""


def terminate(number: int, frame: FrameType | None) -> None:
    raise Terminated


def pytest_alone(arguments: list[str]) -> int:
    """In our own terminal and process group, so that `-s` and `--pdb` work; Ctrl-C reaches pytest by itself."""
    command = [PYTHON, "-m", "pytest", *arguments]
    with subprocess.Popen(command, env={**os.environ, **ENVIRONMENT}) as process:
        try:
            return process.wait()
        except Terminated:
            process.send_signal(signal.SIGINT)
            return process.wait()
        except KeyboardInterrupt:
            return process.wait()


def everything() -> int:
    began, until = time.time(), time.monotonic() + LIMIT_S
    shutil.rmtree(RECORDS, ignore_errors=True)
    RECORDS.mkdir(parents=True)
    parts: dict[str, float] = {}
    try:
        for processes in (shell_tools(), before_containers(), containers()):
            say(*(f"==> {process.name}" for process in processes))
            code = run(processes, until)
            parts.update({process.name: process.seconds for process in processes})
            table.write_run(RECORDS, began, parts)
            if code != 0:
                return code
        return 0
    finally:
        if not (RECORDS / f"{CONTAINERS}.json").exists():
            say(table.text(RECORDS))


def shell_tools() -> list[Process]:
    """Before anything else, for only one at a time can install packages."""
    return [Process("shellcheck, shfmt and Chromium", ["scripts/check.sh", "--tools"], ENVIRONMENT)]


def before_containers() -> list[Process]:
    recorded = {record.DIRECTORY: str(RECORDS), record.PART: "unit"}
    checks = Process(
        "static checks, unit and golden tests",
        ["scripts/check.sh"],
        {**ENVIRONMENT, **recorded},
        RECORDS / "checks.txt",
    )
    images = Process(
        "Docker and the images, as make deploy would have them",
        ["sh", "-c", f".venv/bin/tollgate images && {PYTHON} -m tests.support.images"],
        ENVIRONMENT,
        RECORDS / "images.txt",
    )
    clients = Process(
        "the clients that tests run",
        [PYTHON, "-m", "tests.support.claude_code"],
        ENVIRONMENT,
        RECORDS / "clients.txt",
    )
    return [checks, images, clients]


def containers() -> list[Process]:
    """Its last lines are pytest's own."""
    recorded = {record.DIRECTORY: str(RECORDS), record.PART: CONTAINERS, record.CLOSES: "1"}
    # A lane that crashed leaves its stack behind. Another lane in its place would meet that, so the run ends.
    lanes = ["-n", os.environ.get("LANES", LANES), "--max-worker-restart", "0"]
    command = [
        PYTHON,
        "-m",
        "pytest",
        "-p",
        "tests.suite.record",
        "-m",
        "docker",
        "-q",
        "--durations=15",
        *lanes,
        "tests",
    ]
    return [Process("tests with containers", command, {**ENVIRONMENT, **recorded})]


def sweep() -> None:
    """Remove what this checkout's tests left in Docker, in this run or in an earlier run that was killed."""
    if shutil.which("docker") and subprocess.run(["docker", "info"], capture_output=True, check=False).returncode == 0:
        subprocess.run([PYTHON, "-m", "tests.support.sweep"], check=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
