"""Removes what a killed test run left behind: `python -m tests.support.sweep`.

Only what this checkout's tests started: containers with the session labels they wrote down, and the Compose projects
whose name is derived from this checkout. Says what it removed; nothing to remove is the ordinary case.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys

from tests.support.stack import ROOT, project_name

# Testcontainers gives each Python process an id and labels every container with it.
SESSIONS = ROOT / "var" / "test-sessions"
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def remember(session: str) -> None:
    """Called when a test session starts."""
    SESSIONS.parent.mkdir(exist_ok=True)
    with SESSIONS.open("a") as stream:
        stream.write(session + "\n")


def docker(*arguments: str) -> list[str]:
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True, timeout=120, check=True)
    return done.stdout.split()


def networks_of(containers: list[str]) -> set[str]:
    """Testcontainers names its networks by UUID and gives them no label: they are known by who is on them."""
    if not containers:
        return set()
    found = json.loads(" ".join(docker("inspect", *containers)))
    names = {name for one in found for name in one["NetworkSettings"]["Networks"]}
    return {name for name in names if UUID.fullmatch(name)}


def main() -> int:
    sessions = SESSIONS.read_text().split() if SESSIONS.exists() else []
    containers = {
        found
        for session in sessions
        for found in docker("ps", "--all", "--quiet", "--filter", f"label=org.testcontainers.session-id={session}")
    }
    networks, volumes = networks_of(sorted(containers)), set[str]()
    for project in docker("ps", "--all", "--format", '{{.Label "com.docker.compose.project"}}'):
        if project.startswith(project_name()):
            own = f"label=com.docker.compose.project={project}"
            containers |= set(docker("ps", "--all", "--quiet", "--filter", own))
            networks |= set(docker("network", "ls", "--quiet", "--filter", own))
            volumes |= set(docker("volume", "ls", "--quiet", "--filter", own))
    if containers:
        docker("rm", "--force", "--volumes", *sorted(containers))
    for network in sorted(networks):
        docker("network", "rm", network)
    if volumes:
        docker("volume", "rm", *sorted(volumes))
    SESSIONS.unlink(missing_ok=True)
    if containers or networks or volumes:
        found = f"{len(containers)} containers, {len(networks)} networks, {len(volumes)} volumes"
        sys.stdout.write(f"removed what tests had left: {found}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
