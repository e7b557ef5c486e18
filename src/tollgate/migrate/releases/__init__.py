"""The migrations of each known LiteLLM release, and which of them the older release cannot work with.

There is one file per release, with one migration per line. A migration that does more than add has the first such
statement after its name. With these files the host can describe an upgrade without an image or a package, and the job
applies only what the wanted release needs. `python -m tollgate.migrate.releases VERSION PACKAGE` prints such a file
(images/litellm/lock.sh).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tollgate.migrate.additive import changes
from tollgate.migrate.files import Migration

HERE = Path(__file__).parent


def known() -> frozenset[str]:
    return frozenset(file.stem for file in HERE.glob("*.txt"))


def migrations(version: str) -> Mapping[str, str]:
    """Its migrations by name, each with the statement that does more than add, or "". KeyError without a list."""
    if version not in known():
        raise KeyError(version)
    lines = (HERE / f"{version}.txt").read_text(encoding="utf-8").splitlines()
    pairs = (line.partition("\t") for line in lines if line and not line.startswith("#"))
    return {name: change for name, _, change in pairs}


def text(version: str, package: str, shipped: list[Migration]) -> str:
    """The text of a release's file, from the migrations that its package ships."""
    lines = [f"# The migrations of LiteLLM {version} ({package}); images/litellm/lock.sh writes this."]
    for migration in shipped:
        statements = changes(migration.sql)
        lines.append(f"{migration.name}\t{statements[0]}" if statements else migration.name)
    return "\n".join(lines) + "\n"
