"""Known vulnerabilities of what the lock files pin, asked of the package index through pip-audit.

What could not be asked counts as not known, never as fine: pip-audit itself says "no known vulnerabilities" of packages
it found nobody to ask about.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tollgate.errors import TollgateError
from tollgate.site import Site

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
    """`known` are lines to show, `unasked` the reasons why a version could not be asked about, by how many."""

    asked: int = 0
    known: list[str] = field(default_factory=list)
    unasked: dict[str, int] = field(default_factory=dict)

    def add(self, file: str, answer: str, complaint: str = "") -> None:
        """Take in what pip-audit printed about one file; nothing readable means that it could not ask."""
        try:
            rows = json.loads(answer)["dependencies"]
        except (ValueError, KeyError, TypeError):
            last = (complaint.strip().splitlines() or ["pip-audit said nothing"])[-1]
            self._not_asked(f"{file}: {last[:200]}")
            return
        for row in rows:
            if "skip_reason" in row:
                self._not_asked(f"{file}: not known to the vulnerability service")
                continue
            self.asked += 1
            for one in row.get("vulns", ()):
                fixed = ", ".join(one.get("fix_versions", ())) or "no version yet"
                self.known.append(f"{file}: {row['name']} {row['version']}: {one['id']}, fixed in {fixed}")

    def _not_asked(self, why: str) -> None:
        self.unasked[why] = self.unasked.get(why, 0) + 1


def scan(site: Site, files: Sequence[Path] = ()) -> Report:
    """Ask about every version in `files`, the kit's own lock files where none is given."""
    uv = site.root / ".venv" / "bin" / "uv"
    if not uv.is_file():
        raise TollgateError("uv is not installed here", "run `make bootstrap-dev`")
    report = Report()
    for file in files or [site.root / lock for lock in LOCKS]:
        tool = [str(uv), "run", "--quiet", "--no-project", "--python", sys.executable]
        tool += ["--with-requirements", str(site.root / TOOL), "pip-audit"]
        how = ["--disable-pip", "--no-deps", "--progress-spinner=off", "--format=json", "--requirement", str(file)]
        done = subprocess.run([*tool, *how], capture_output=True, text=True, cwd=site.root, check=False)
        report.add(file.name if files else str(file.relative_to(site.root)), done.stdout, done.stderr)
    return report
