"""How long a running request is waited for, in seconds. All of it follows from `edge.read_timeout_s`.

nginx ends a request that gets no data for so long. Each of the others waits a little longer than what it waits for:

    streams        a rollout, for the requests of a replica that it takes out of rotation
    replica_grace  Docker, for a replica that it stops (stop_grace_period)
    nginx_workers  nginx, for its old workers after a reload (worker_shutdown_timeout)
    nginx_grace    Docker, for nginx (stop_grace_period)
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

# A stream lasts longer than the time without data that nginx allows, so a short read timeout shortens nothing here.
SHORTEST_S = 600.0
STREAMS, NGINX_GRACE = "STREAMS_MAY_TAKE_S", "NGINX_STOP_GRACE"
"""The variables of compose.env."""


@dataclass(frozen=True)
class Times:
    """The times of one deployment."""

    streams: float = SHORTEST_S

    @classmethod
    def of(cls, read_timeout_s: float) -> Times:
        return cls(max(SHORTEST_S, read_timeout_s))

    @classmethod
    def deployed(cls, environment: Mapping[str, str]) -> Times:
        """Those of the last deploy, by its compose.env; an older kit wrote none there."""
        return cls(float(environment.get(STREAMS) or SHORTEST_S))

    @property
    def replica_grace(self) -> int:
        return math.ceil(self.streams + 60)

    @property
    def nginx_workers(self) -> float:
        return self.streams + 60

    @property
    def nginx_grace(self) -> int:
        return math.ceil(self.nginx_workers + 10)

    @property
    def variables(self) -> dict[str, str]:
        return {STREAMS: f"{self.streams:g}", NGINX_GRACE: f"{self.nginx_grace}s"}
