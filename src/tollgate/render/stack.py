"""The Compose side of a deployment: compose.env, the replicas file, and the code mounted into the replicas."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath

from tollgate.render.output import Rendered, fill

# What a replica finds in its environment beside its secrets. Sources: litellm.md section 3 and litellm-108.md.
REPLICA_ENVIRONMENT = {
    "PYTHONPATH": "/opt/tollgate",
    "PYTHONUNBUFFERED": "1",
    "PYTHONDONTWRITEBYTECODE": "1",
    "HOME": "/tmp",  # noqa: S108  the only place a read-only container may write
    "POSTGRES_HOST": "postgres",
    "POSTGRES_PORT": "5432",
    "POSTGRES_USER": "litellm",
    "POSTGRES_DB": "litellm",
    # The migrate job owns the schema; replicas that migrate race each other.
    "DISABLE_SCHEMA_UPDATE": "true",
    # Without it every start spends seconds asking a price map that may be out of reach.
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "LITELLM_LOCAL_ANTHROPIC_BETA_HEADERS": "True",
    "LITELLM_MODE": "PRODUCTION",
    "LITELLM_LOG": "INFO",
    "JSON_LOGS": "true",
    # uvicorn's default of 5 s is shorter than nginx keeps its idle connections, which loses the odd request.
    "KEEPALIVE_TIMEOUT": "90",
    "NO_DOCS": "True",
    "NO_REDOC": "True",
    "NO_OPENAPI": "True",
    "DISABLE_ADMIN_UI": "True",
    # One process a replica: a second worker costs 430 MB and hides behind the same health check.
    "NUM_WORKERS": "1",
}


# The programs under services/ that run inside a replica; a change in any of them recreates every replica.
REPLICA_CODE = ("replica",)


def replica_names(count: int) -> list[str]:
    return [f"litellm-{number}" for number in range(1, count + 1)]


def render_replicas(root: Path, count: int) -> Rendered:
    """compose/replicas.yaml: one service a replica."""
    text = fill(
        root / "compose" / "replicas.yaml.j2",
        replicas=replica_names(count),
        environment=sorted(REPLICA_ENVIRONMENT.items()),
    )
    return Rendered(PurePosixPath("compose/replicas.yaml"), text)


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


def render_compose_env(values: Mapping[str, str], images: Mapping[str, str], hashes: Mapping[str, str]) -> Rendered:
    """compose.env: every variable the Compose files use; no secret among them."""
    lines = ["# rendered by tollgate, do not edit: settings are in .env"]
    for group in (values, images, hashes):
        lines += [f"{name}='{value}'" for name, value in sorted(group.items())]
    return Rendered(PurePosixPath("compose.env"), "\n".join(lines) + "\n")


def below(files: Iterable[Rendered], *directories: str) -> list[Rendered]:
    """The files under any of the named top directories of var/rendered."""
    return [file for file in files if file.path.parts[0] in directories]
