"""What has to hold before anything is changed: room, free ports, and that nobody else's deployment is in the way."""

from __future__ import annotations

import errno
import shutil
import socket
from dataclasses import dataclass
from pathlib import Path

from tollgate.config.env import Settings
from tollgate.errors import TollgateError
from tollgate.site import Site
from tollgate.stack.commands import ask
from tollgate.stack.compose import Compose

DISK_GIB = 6.0  # the local images and their build cache take about 4
DISK_FLOOR_GIB = 1.0  # less, and Postgres stops
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
        *([] if settings.tls == "off" else [Port("TLS_PORT", settings.tls_bind, settings.tls_port)]),
        *([Port("TLS_HTTP_PORT", settings.tls_bind, settings.tls_http_port)] if settings.tls == "acme" else []),
        Port("ADMIN_PORT", "127.0.0.1", settings.admin_port),
        Port("PROMETHEUS_PORT", "127.0.0.1", settings.prometheus_port),
        Port("GRAFANA_PORT", "127.0.0.1", settings.grafana_port),
    ]


def check_host(compose: Compose, settings: Settings) -> list[str]:
    """Warnings; TollgateError with everything at once that a deploy cannot get past.

    Ports that this deployment's own containers hold are fine, so with any of them running none is looked at.
    """
    warnings, short = [], []
    free, memory = disk_free_gib(), memory_gib()
    if free < DISK_FLOOR_GIB:
        short.append(f"expected {DISK_FLOOR_GIB:.0f} GiB of free disk, found {free:.1f}")
    elif free < DISK_GIB:
        warnings.append(f"little room: {free:.1f} GiB of free disk; building every image takes about {DISK_GIB:.0f}")
    if memory < MEMORY_GIB:
        warnings.append(f"little memory: {memory:.1f} GiB; the whole stack wants {MEMORY_GIB:.0f}, or fewer REPLICAS")
    if not compose.any_running():
        # Grafana's is not among them: whether it starts is not known yet, and Docker names the port if it is taken.
        short += [problem for port in ports(settings)[:-1] if (problem := why_not_free(port))]
    if short:
        raise TollgateError("; ".join(short), "mend this, then run `make deploy` again")
    return warnings


def check_owner(compose: Compose) -> None:
    """TollgateError when the project's containers belong to another checkout: they would be taken over."""
    owner = compose.owner()
    ours = {str(file) for file in compose.files}
    if owner and not ours & {file for file in owner.split(",") if file.startswith(str(compose.env_file.parent))}:
        raise TollgateError(
            f"project {compose.project} runs from other files: {owner.split(',')[-1]}",
            "set COMPOSE_PROJECT_NAME in .env to another name (and other ports); after moving a checkout, "
            f"run `docker compose -p {compose.project} down` first, which keeps the data",
        )


def check_secrets(site: Site, project: str) -> None:
    """TollgateError when a database exists whose password or salt is gone: new ones would lock everyone out of it."""
    missing = [name for name in ("postgres_password", "litellm_salt_key") if not (site.secrets_dir / name).exists()]
    if missing and ask("docker", "volume", "inspect", f"{project}_postgres-data") is not None:
        raise TollgateError(
            f"{site.secrets_dir} lacks {' and '.join(missing)}, and the database {project}_postgres-data needs it",
            f"restore {site.secrets_dir} from your backup; without one, "
            f"`docker volume rm {project}_postgres-data` starts anew and loses every team, key and spend",
        )


def why_not_free(port: Port) -> str:
    """Why a server could not listen there, in a person's words; empty where it could. Port 0 always can."""
    with socket.socket() as attempt:
        # As servers do: a connection that is still closing does not hold a port.
        attempt.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            attempt.bind((port.host, port.number))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return f"port {port.number} on {port.host} is in use; set {port.setting} in .env to a free one"
            if error.errno == errno.EACCES:
                return ""  # below 1024 and not root: Docker's daemon is
            return f"{port.host} is no address of this machine ({error.strerror}); see GATEWAY_BIND in .env"
    return ""


def is_free(port: Port) -> bool:
    return not why_not_free(port)


def disk_free_gib(docker: Path = Path("/var/lib/docker")) -> float:
    return shutil.disk_usage(docker if docker.exists() else "/").free / GIB


def memory_gib(source: Path = Path("/proc/meminfo")) -> float:
    """Total memory of the host in GiB."""
    for line in source.read_text().splitlines():
        if line.startswith("MemTotal:"):
            return int(line.split()[1]) / 1024**2
    return 0.0
