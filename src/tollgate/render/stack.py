"""The Compose side of a deployment: compose.env, the replicas file, and the code mounted into the replicas."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath

from tollgate.render.gateway import gateway_names
from tollgate.render.output import Rendered, fill
from tollgate.render.times import Times
from tollgate.render.users import passwd

# The environment of a replica, without its secrets. docs/facts.md 5 gives the reasons.
REPLICA_ENVIRONMENT = {
    "PYTHONPATH": "/opt/tollgate",
    "PYTHONUNBUFFERED": "1",
    "PYTHONDONTWRITEBYTECODE": "1",
    "HOME": "/tmp",  # noqa: S108  the only writable directory of a read-only container
    "CONFIG_FILE_PATH": "/etc/litellm/config.yaml",
    "POSTGRES_HOST": "postgres",
    "POSTGRES_PORT": "5432",
    "POSTGRES_USER": "litellm",
    "POSTGRES_DB": "litellm",
    # Our own limits (services/hooks) read this. LiteLLM's configuration has the address of Redis itself.
    "TOLLGATE_REDIS": "redis:6379",
    # The migrate job owns the schema; replicas that migrate race each other.
    "DISABLE_SCHEMA_UPDATE": "true",
    # Without it every start asks for a price map on the internet, which takes seconds or fails.
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "LITELLM_LOCAL_ANTHROPIC_BETA_HEADERS": "True",
    "LITELLM_MODE": "PRODUCTION",
    "LITELLM_LOG": "INFO",
    "JSON_LOGS": "true",
    # uvicorn's default of 5 s is shorter than nginx keeps idle connections, and then a few requests are lost.
    "KEEPALIVE_TIMEOUT": "90",
    # Seconds until a replica tries Redis again after a failure. Spend and shared limits wait for that. The default is a
    # minute.
    "REDIS_CIRCUIT_BREAKER_RECOVERY_TIMEOUT": "15",
    # Seconds that booking one request may take. After that LiteLLM drops it, and its line in the ledger is lost. With
    # the default, a replica or database that stands still for 20 s loses the requests that were being booked.
    "LOGGING_WORKER_MAX_TIME_PER_COROUTINE": "600",
    "NO_DOCS": "True",
    "NO_REDOC": "True",
    "NO_OPENAPI": "True",
    "DISABLE_ADMIN_UI": "True",
}


# Names that a replica reaches without the proxy.
INSIDE = ("localhost", "127.0.0.1", "postgres", "redis", "provider", "host.docker.internal")

# The programs under services/ that run inside a replica. A change in one of them recreates every replica.
REPLICA_CODE = ("choice", "hooks", "limits", "refusals", "replica", "requests")


USERS_FILE = "users/passwd"
# Directory below var/rendered, and its source in the checkout.
MOUNTED = {"redis": "config/redis", "initdb": "config/postgres/initdb.d", "dashboards": "grafana/dashboards"}


def replica_names(count: int) -> list[str]:
    return [f"litellm-{number}" for number in range(1, count + 1)]


def render_replicas(
    root: Path,
    count: int,
    pool: int,
    *,
    times: Times | None = None,
    proxy: str | None = None,
    authorities: bool = False,
) -> Rendered:
    """compose/replicas.yaml: one service for each replica, with `pool` database connections.

    `proxy` is the proxy to providers. `authorities` is true if litellm/ca.crt is rendered.
    """
    environment = {**REPLICA_ENVIRONMENT, "POSTGRES_POOL": str(pool)}
    if proxy:
        # Only HTTPS: plain HTTP goes to the embedded provider and local backends, inside, without a proxy.
        environment |= {"HTTPS_PROXY": proxy, "NO_PROXY": ",".join(INSIDE)}
    if authorities:
        environment["TOLLGATE_AUTHORITIES"] = "/etc/litellm/ca.crt"
    del environment["POSTGRES_USER"]  # the template sets it, because a rotation uses another login
    text = fill(
        root / "compose" / "replicas.yaml.j2",
        replicas=replica_names(count),
        environment=sorted(environment.items()),
        grace=(times or Times()).replica_grace,
    )
    return Rendered(PurePosixPath("compose/replicas.yaml"), text)


def render_order(root: Path, replicas: int, gateways: int = 0, *, backup: bool) -> Rendered:
    """compose/order.yaml: which service needs which, for commands that stop or start containers."""
    text = fill(
        root / "compose" / "order.yaml.j2",
        replicas=replica_names(replicas),
        gateways=gateway_names(gateways),
        backup=backup,
    )
    return Rendered(PurePosixPath("compose/order.yaml"), text)


def render_release(release: str) -> Rendered:
    """LiteLLM's release, for the page /console. It is not among the files that start a gateway process again."""
    return Rendered(PurePosixPath("litellm/release"), f"{release}\n")


def render_authorities(text: str) -> list[Rendered]:
    """CA_BUNDLE for the replicas, whose entrypoint adds it to the authorities of their image."""
    return [Rendered(PurePosixPath("litellm/ca.crt"), text)] if text else []


def render_code(root: Path) -> list[Rendered]:
    """Our code that runs inside the replicas, copied so that a `git pull` alone changes no running process."""
    package = root / "src" / "tollgate"
    sources = [package / "__init__.py", package / "services" / "__init__.py"]
    for program in REPLICA_CODE:
        sources += sorted((package / "services" / program).rglob("*.py"))
    return [
        Rendered(PurePosixPath("code/tollgate") / path.relative_to(package).as_posix(), path.read_text())
        for path in sources
    ]


def render_mounted(root: Path) -> list[Rendered]:
    """Copies of checkout files for containers. They are copied because their modes follow the user's umask."""
    return [
        Rendered(PurePosixPath(USERS_FILE), passwd()),
        *_copied(root),
    ]


def _copied(root: Path) -> list[Rendered]:
    return [
        Rendered(PurePosixPath(name) / path.relative_to(root / source).as_posix(), path.read_text(), _mode(path))
        for name, source in MOUNTED.items()
        for path in sorted((root / source).rglob("*"))
        if path.is_file()
    ]


def _mode(path: Path) -> int:
    return 0o755 if path.stat().st_mode & 0o100 else 0o644


def render_compose_env(values: Mapping[str, str], images: Mapping[str, str], hashes: Mapping[str, str]) -> Rendered:
    """compose.env: every variable of the Compose files, without secrets."""
    lines = ["# rendered by tollgate, do not edit: settings are in .env"]
    for group in (values, images, hashes):
        lines += [f"{name}='{value}'" for name, value in sorted(group.items())]
    return Rendered(PurePosixPath("compose.env"), "\n".join(lines) + "\n")


def below(files: Iterable[Rendered], *places: str) -> list[Rendered]:
    """The files at or under any of the named places of var/rendered."""
    return [file for file in files if any(file.path.is_relative_to(place) for place in places)]
