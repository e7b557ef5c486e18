"""Checks before a deploy changes anything: disk space, memory, free ports, other deployments, lost secrets."""

from __future__ import annotations

import errno
import shutil
import socket
from dataclasses import dataclass
from pathlib import Path

from tollgate.config.env.settings import Settings
from tollgate.errors import TollgateError
from tollgate.stack.containers.compose import Compose
from tollgate.stack.deployment import Deployment
from tollgate.stack.host.commands import ask

DISK_GIB = 6.0  # the local images and their build cache take about 4
DISK_FLOOR_GIB = 1.0  # with less, Postgres stops
MEMORY_GIB = 4.0  # the stack at rest; docs/performance.md has the measured figure

GIB = 1024**3


@dataclass(frozen=True)
class Port:
    """One address that this deployment publishes. `setting` is the name in .env that changes it.

    An `optional` port belongs to a service that no request needs: the gateway starts without it.
    """

    setting: str
    host: str
    number: int
    optional: bool = False


def ports(settings: Settings) -> list[Port]:
    return [
        Port("GATEWAY_PORT", settings.gateway_bind, settings.gateway_port),
        *([] if settings.tls == "off" else [Port("TLS_PORT", settings.tls_bind, settings.tls_port)]),
        *([Port("TLS_HTTP_PORT", settings.tls_bind, settings.tls_http_port)] if settings.tls == "acme" else []),
        Port("ADMIN_PORT", "127.0.0.1", settings.admin_port),
        Port("PROMETHEUS_PORT", "127.0.0.1", settings.prometheus_port, optional=True),
        *([] if settings.grafana == "off" else [Port("GRAFANA_PORT", "127.0.0.1", settings.grafana_port, True)]),
    ]


def check_host(deployment: Deployment) -> list[str]:
    """Return warnings. Raise TollgateError with every problem that stops a deploy.

    If a container of this deployment runs, the ports are not checked: its own containers may use them.
    """
    warnings, short = [], []
    free, memory = disk_free_gib(), memory_gib()
    if free < DISK_FLOOR_GIB:
        short.append(f"expected {DISK_FLOOR_GIB:.0f} GiB of free disk, found {free:.1f}")
    elif free < DISK_GIB:
        warnings.append(f"low disk space: {free:.1f} GiB free; building every image takes about {DISK_GIB:.0f}")
    if memory < MEMORY_GIB:
        warnings.append(f"low memory: {memory:.1f} GiB; the whole stack needs {MEMORY_GIB:.0f}, or fewer REPLICAS")
    if not deployment.compose.any_running():
        # The last step of a deploy warns about an optional port that is in use, and continues.
        needed = [port for port in ports(deployment.settings) if not port.optional]
        short += [problem for port in needed if (problem := why_not_free(port))]
    if short:
        raise TollgateError("; ".join(short), "correct this, then run `make deploy` again")
    return warnings


def check_owner(compose: Compose) -> None:
    """Raise TollgateError if the project's containers belong to another checkout: the deploy would replace them."""
    owner = compose.owner()
    ours = {str(file) for file in compose.files}
    if owner and not ours & {file for file in owner.split(",") if file.startswith(str(compose.env_file.parent))}:
        raise TollgateError(
            f"project {compose.project} runs from other files: {owner.split(',')[-1]}",
            "set COMPOSE_PROJECT_NAME in .env to another name (and other ports); after moving a checkout, "
            f"run `docker compose -p {compose.project} down` first, which keeps the data",
        )


def check_secrets(deployment: Deployment) -> None:
    """Raise TollgateError if the database exists, but its password or salt is lost: new ones could not open it."""
    site, volume = deployment.site, f"{deployment.compose.project}_postgres-data"
    missing = [name for name in ("postgres_password", "litellm_salt_key") if not site.secret(name).exists()]
    if missing and ask("docker", "volume", "inspect", volume) is not None:
        raise TollgateError(
            f"{site.secrets_dir} lacks {' and '.join(missing)}, and the database {volume} needs it",
            f"restore {site.secrets_dir} from your backup; without one, "
            f"`docker volume rm {volume}` starts again from nothing and loses every team, key and spend",
        )


def why_not_free(port: Port) -> str:
    """Why a server cannot listen on `port`; empty if it can. Port 0 is always free."""
    with socket.socket() as attempt:
        # Servers set this too: then a connection that is still closing does not block the port.
        attempt.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            attempt.bind((port.host, port.number))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return f"port {port.number} on {port.host} is in use; set {port.setting} in .env to a free one"
            if error.errno == errno.EACCES:
                return ""  # below 1024, and we are not root, but Docker's daemon is
            return f"{port.host} is not an address of this machine ({error.strerror}); see GATEWAY_BIND in .env"
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
