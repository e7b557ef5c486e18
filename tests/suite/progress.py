"""The progress of a run in lanes: a line when a lane begins or ends a file, and each failure immediately.

pytest's own dots and lines would mix the lanes' tests.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import pytest


@dataclass
class File:
    """One lane's results of one file so far. `seconds` include set-up and tear-down."""

    path: str
    outcomes: Counter[str] = field(default_factory=Counter)
    seconds: float = 0

    def __str__(self) -> str:
        counted = ", ".join(f"{number} {outcome}" for outcome, number in sorted(self.outcomes.items()))
        return f"{self.path}: {counted}, {self.seconds:.0f} s"


class Progress:
    """Only in the process that hands out the tests."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.files: dict[str, File] = {}

    @pytest.hookimpl(tryfirst=True)
    def pytest_report_teststatus(self, report: pytest.TestReport) -> tuple[str, str, str] | None:
        """Counted as ever, but without a dot or letter; what is expected to fail is left to its own plugin."""
        if hasattr(report, "wasxfail"):
            return None
        if report.failed:
            return ("failed" if report.when == "call" else "error", "", "")
        if report.skipped:
            return ("skipped", "", "")
        return ("passed" if report.when == "call" else "", "", "")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        lane = getattr(report, "worker_id", "")
        path = report.nodeid.partition("::")[0]
        if lane not in self.files or self.files[lane].path != path:
            self.close(lane)
            self.files[lane] = File(path)
            self.say(f"{lane} begins {path}")
        file = self.files[lane]
        file.seconds += report.duration
        if report.when == "call" or not report.passed:
            file.outcomes[report.outcome] += 1
        if report.failed:
            self.say(f"{lane} FAILED {report.nodeid} ({report.when})")

    def close(self, lane: str) -> None:
        if lane in self.files:
            self.say(f"{lane} ended {self.files.pop(lane)}")

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self) -> None:
        for lane in list(self.files):
            self.close(lane)

    def say(self, line: str) -> None:
        reporter = self.config.pluginmanager.get_plugin("terminalreporter")
        assert reporter is not None
        reporter.ensure_newline()
        reporter.write_line(line)
