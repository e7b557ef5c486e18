"""Asks the package index, with pip-audit, for known vulnerabilities of the versions in the lock files.

If pip-audit could not ask about a package, the result is "unknown", never "fine". pip-audit itself prints "no known
vulnerabilities" for packages that it skipped.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tollgate.errors import TollgateError
from tollgate.site import Site
from tollgate.stack.host.run import run

LOCKS = (
    "requirements-dev.lock",
    "images/tollgate/requirements.lock",
    "images/litellm/versions/1.108.9/requirements.lock",
    "images/litellm/versions/1.108.10/requirements.lock",
    "images/llama-cpp/requirements.lock",
    "tests/clients/requirements.lock",
)
TOOL = "scripts/scan.lock"


@dataclass
class Report:
    """`known` are lines to show. `unasked` maps each reason why pip-audit could not ask to the number of versions."""

    asked: int = 0
    known: list[str] = field(default_factory=list)
    unasked: dict[str, int] = field(default_factory=dict)

    def add(self, file: str, answer: str, complaint: str = "") -> None:
        """Add pip-audit's answer about one file. An unreadable answer means that it could not ask."""
        try:
            rows = json.loads(answer)["dependencies"]
        except (ValueError, KeyError, TypeError):
            last = (complaint.strip().splitlines() or ["pip-audit printed nothing"])[-1]
            self._not_asked(f"{file}: {last[:200]}")
            return
        for row in rows:
            if "skip_reason" in row:
                self._not_asked(f"{file}: not known to the vulnerability service")
                continue
            self.asked += 1
            for vulnerability in row.get("vulns", ()):
                fixed = ", ".join(vulnerability.get("fix_versions", ())) or "no version yet"
                self.known.append(f"{file}: {row['name']} {row['version']}: {vulnerability['id']}, fixed in {fixed}")

    def _not_asked(self, why: str) -> None:
        self.unasked[why] = self.unasked.get(why, 0) + 1


def scan(site: Site, files: Sequence[Path] = ()) -> Report:
    """Ask about every version in `files`; without `files`, in the kit's own lock files."""
    uv = site.root / ".venv" / "bin" / "uv"
    if not uv.is_file():
        raise TollgateError("uv is not installed here", "run `make bootstrap-dev`")
    report = Report()
    for file in files or [site.root / lock for lock in LOCKS]:
        tool = [str(uv), "run", "--quiet", "--no-project", "--python", sys.executable]
        tool += ["--with-requirements", str(site.root / TOOL), "pip-audit"]
        how = ["--disable-pip", "--no-deps", "--progress-spinner=off", "--format=json", "--requirement", str(file)]
        done = run([*tool, *how], cwd=site.root, timeout=None)
        report.add(file.name if files else str(file.relative_to(site.root)), done.out, done.err)
    return report
