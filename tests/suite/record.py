"""A pytest plugin (`-p tests.suite.record`): seconds by folder, and which tests there are and which ran.

Without lanes it counts in its own process. With lanes, the process that hands out the tests counts, and each lane tells
it at the end what it collected. Outside `make test` it does nothing.
"""

from __future__ import annotations

import json
import os
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.suite import table
from tests.suite.progress import Progress

# The directory of the run's records. Each part of the run writes one file there, under its own name.
DIRECTORY = "TOLLGATE_SUITE_RECORDS"
PART = "TOLLGATE_SUITE_PART"
# Set for the last part: it prints the table of the whole run, and it fails if a test ran twice or never.
CLOSES = "TOLLGATE_SUITE_CLOSES"
COLLECTED = "tollgate_collected"
SHOWN = 20


@dataclass(eq=False)  # pytest keeps its plugins in sets
class Recorder:
    """`seconds` and `tests` by folder, `lanes` by lane; `ran` counts by id, `collected` is every id there is."""

    directory: Path
    part: str
    closes: bool
    seconds: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    tests: Counter[str] = field(default_factory=Counter)
    lanes: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    ran: Counter[str] = field(default_factory=Counter)
    collected: set[str] = field(default_factory=set)

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Before `-m` takes some away."""
        self.collected.update(item.nodeid for item in items)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        nodeid = report.nodeid
        self.seconds[folder(nodeid)] += report.duration
        if lane := getattr(report, "worker_id", ""):
            self.lanes[f"{self.part} {lane}"] += report.duration
        if report.when == "setup":
            self.tests[folder(nodeid)] += 1
            self.ran[nodeid] += 1

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """xdist's: a lane has ended. One that crashed tells nothing."""
        self.collected.update(getattr(node, "workeroutput", {}).get(COLLECTED, ()))

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        output = getattr(session.config, "workeroutput", None)
        if output is not None:
            output[COLLECTED] = sorted(self.collected)
            return
        self.write()
        if self.closes and session.exitstatus == pytest.ExitCode.OK and not_once(self.directory):
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def write(self) -> None:
        counted = {"seconds": self.seconds, "tests": self.tests, "lanes": self.lanes, "ran": self.ran}
        text = json.dumps({**counted, "collected": sorted(self.collected)})
        (self.directory / f"{self.part}.json").write_text(text)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """pytest's own last line comes after it."""
        if self.closes:
            terminalreporter.section("seconds")
            terminalreporter.write_line(table.text(self.directory))
            for line in not_once(self.directory):
                terminalreporter.write_line(line, red=True)


def pytest_configure(config: pytest.Config) -> None:
    if directory := os.environ.get(DIRECTORY):
        recorder = Recorder(Path(directory), os.environ[PART], bool(os.environ.get(CLOSES)))
        config.pluginmanager.register(recorder)
        if recorder.closes and not hasattr(config, "workerinput"):
            config.pluginmanager.register(Progress(config))


def folder(nodeid: str) -> str:
    """The folder of the test's file: tests/contract/nginx for tests/contract/nginx/test_tls.py::test_x."""
    return str(Path(nodeid.partition("::")[0]).parent)


def not_once(directory: Path) -> list[str]:
    """A line for each test that no part of the run ran, and for each that ran more than once."""
    records = [json.loads(file.read_text()) for file in sorted(directory.glob("*.json"))]
    return faults(
        {nodeid for record in records for nodeid in record["collected"]}, [record["ran"] for record in records]
    )


def faults(collected: set[str], parts: Iterable[dict[str, int]]) -> list[str]:
    """`collected`: every id there is; `parts`: how often each part of the run ran each id."""
    ran: Counter[str] = Counter()
    for part in parts:
        ran.update(part)
    lines = [f"error: this test never ran: {nodeid}" for nodeid in sorted(collected - ran.keys())]
    lines += [f"error: this test ran {count} times: {nodeid}" for nodeid, count in sorted(ran.items()) if count > 1]
    return lines if len(lines) <= SHOWN else [*lines[:SHOWN], f"error: and {len(lines) - SHOWN} more"]
