"""Which migrations each known LiteLLM release ships, and which of them the release before could not serve on.

One file a release, a migration a line; what changes more than it adds has the statement beside it. So the host can say
what an upgrade would do without an image or a package at hand, and the job stops at the release that is to run.
`python -m tollgate.litellm.migrate.releases VERSION PACKAGE` prints such a file (images/litellm/lock.sh).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tollgate.litellm.migrate.additive import changes
from tollgate.litellm.migrate.files import Migration

HERE = Path(__file__).parent


def known() -> frozenset[str]:
    return frozenset(file.stem for file in HERE.glob("*.txt"))


def migrations(version: str) -> Mapping[str, str]:
    """Its migrations by name, with what in them is no mere addition; KeyError for a release without a list."""
    if version not in known():
        raise KeyError(version)
    lines = (HERE / f"{version}.txt").read_text(encoding="utf-8").splitlines()
    pairs = (line.partition("\t") for line in lines if line and not line.startswith("#"))
    return {name: change for name, _, change in pairs}


def text(version: str, package: str, shipped: list[Migration]) -> str:
    """The file of a release, from the migrations that its package ships."""
    lines = [f"# The migrations of LiteLLM {version} ({package}); images/litellm/lock.sh writes this."]
    for migration in shipped:
        found = changes(migration.sql)
        lines.append(f"{migration.name}\t{found[0]}" if found else migration.name)
    return "\n".join(lines) + "\n"
