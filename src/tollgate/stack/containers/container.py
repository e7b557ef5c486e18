"""One container of a project, as the engine lists it."""

from __future__ import annotations

import re
from dataclasses import dataclass

LISTED = "\t".join(
    ('{{.Label "com.docker.compose.service"}}', "{{.Names}}", "{{.ID}}", "{{.State}}", "{{.RunningFor}}", "{{.Status}}")
)
EXITED = re.compile(r"(?:Exited|Restarting) \((\d+)\)")
HEALTH = re.compile(r"\((?:health: )?(starting|healthy|unhealthy)\)")
# A service that crashes on start is "running" again and again. Without a health check only its age shows the crash.
JUST_STARTED = re.compile(r"Up (?:Less than a second|1 second|[12] seconds)\Z")
# The engine writes neighbouring ports as one range: "127.0.0.1:4000-4001->4000-4001/tcp".
PUBLISHED = re.compile(r"(?P<host>\S*):(?P<outside>\d+)(?:-\d+)?->(?P<first>\d+)(?:-(?P<last>\d+))?/tcp")


@dataclass(frozen=True)
class Container:
    """One container as Compose sees it. `health` is healthy, unhealthy or starting.

    Healthy is one whose check passed when Docker ran it last, or passes now. Without a health check it is starting for
    the first three seconds, then empty.
    """

    service: str
    name: str
    id: str
    state: str
    health: str
    exit_code: int
    running_for: str

    @property
    def ready(self) -> bool:
        return self.state == "running" and self.health in ("healthy", "")

    @property
    def unproven(self) -> bool:
        """Docker's last check did not pass, or there was none yet."""
        return self.health in ("starting", "unhealthy")

    @property
    def failed(self) -> bool:
        return self.state in ("exited", "dead", "restarting") or self.health == "unhealthy"


def published(ports: str, port: int) -> tuple[str, int] | None:
    """Where `port` is on the host, from the engine's list of a container's ports; None if it is not published."""
    for found in PUBLISHED.finditer(ports):
        first = int(found["first"])
        if first <= port <= int(found["last"] or first):
            return found["host"], int(found["outside"]) + port - first
    return None


def read(line: str) -> Container:
    """Parse a line of LISTED. A status is like "Up 2 minutes (health: starting)" or "Exited (137) 3 seconds ago"."""
    service, name, container, state, age, status = line.split("\t")
    exited, checked = EXITED.match(status), HEALTH.search(status)
    health = checked[1] if checked else "starting" if JUST_STARTED.match(status) else ""
    return Container(service, name, container, state, health, int(exited[1]) if exited else 0, age)
