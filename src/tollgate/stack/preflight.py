"""What has to hold before anything is changed: room on the disk, memory, and free ports. `expected X, found Y`."""

from __future__ import annotations

import shutil
import socket
from dataclasses import dataclass
from pathlib import Path

from tollgate.config.env import Settings
from tollgate.errors import TollgateError
from tollgate.stack.compose import Compose

DISK_GIB = 6.0  # the local images and their build cache take about 4
MEMORY_GIB = 4.0  # the stack at rest; docs/performance.md has the measured figure

GIB = 1024**3


@dataclass(frozen=True)
class Port:
    """One address this deployment publishes; `setting` is the line in .env that moves it."""

    setting: str
    host: str
    number: int


def ports(settings: Settings) -> list[Port]:
    return [
        Port("GATEWAY_PORT", settings.gateway_bind, settings.gateway_port),
        Port("ADMIN_PORT", "127.0.0.1", settings.admin_port),
        Port("PROMETHEUS_PORT", "127.0.0.1", settings.prometheus_port),
        Port("GRAFANA_PORT", "127.0.0.1", settings.grafana_port),
    ]


def check_host(compose: Compose, settings: Settings) -> None:
    """TollgateError with every shortage at once; ports already held by this deployment's own containers are fine."""
    short = []
    if (free := disk_free_gib()) < DISK_GIB:
        short.append(f"expected {DISK_GIB:.0f} GiB of free disk for images and data, found {free:.1f}")
    if (memory := memory_gib()) < MEMORY_GIB:
        short.append(f"expected {MEMORY_GIB:.0f} GiB of memory, found {memory:.1f}")
    if not compose.any_running():
        short += [
            f"port {port.number} on {port.host} is in use; set {port.setting} in .env to a free one"
            for port in ports(settings)
            if not is_free(port)
        ]
    if short:
        raise TollgateError("; ".join(short), "mend these, then run `make deploy` again")


def is_free(port: Port) -> bool:
    """Whether a server could listen there; port 0 always can."""
    with socket.socket() as attempt:
        # As servers do: a connection that is still closing does not hold a port.
        attempt.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            attempt.bind((port.host, port.number))
        except OSError:
            return False
    return True


def disk_free_gib(docker: Path = Path("/var/lib/docker")) -> float:
    return shutil.disk_usage(docker if docker.exists() else "/").free / GIB


def memory_gib(source: Path = Path("/proc/meminfo")) -> float:
    """Total memory of the host in GiB."""
    for line in source.read_text().splitlines():
        if line.startswith("MemTotal:"):
            return int(line.split()[1]) / 1024**2
    return 0.0
