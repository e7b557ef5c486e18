"""How each image is built locally, and the name that its inputs give it.

A local image is `tollgate/<name>:<version>-<12 hex>`, the hex being over everything that goes into it: the files sent
to the builder, the version pins it uses, its target and its base. Same inputs, same name: an image that is there need
not be built, and a changed input never meets an old image.
"""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

LEFT_OUT = {"__pycache__", ".mypy_cache", ".ruff_cache", ".pytest_cache", "node_modules", ".venv"}
LEFT_OUT |= {"README.md", "lock.sh", "requirements.in", "overrides.txt", "versions.env"}
"""What is beside an image's files and not in it: caches, and what only people or `make lock` read."""
BASE = "base"


@dataclass(frozen=True)
class Recipe:
    """One local build. `files` are (path under the checkout, path in the build context) pairs, a {PIN} filled."""

    name: str
    version: str
    """The pin shown in the tag."""
    files: tuple[tuple[str, str], ...]
    pins: tuple[str, ...] = ()
    """Names from versions.env, given as build arguments."""
    target: str = ""
    without: tuple[str, ...] = ()
    """Directories (by their path in the context) that stay out."""


def _monitoring(name: str, pin: str) -> Recipe:
    return Recipe(
        name=name,
        version=pin,
        files=(("images/monitoring", "."),),
        # all of them for each: they share one package stage, and are built as one
        pins=(
            "PROMETHEUS_LOCAL",
            "ALERTMANAGER_LOCAL",
            "POSTGRES_EXPORTER_LOCAL",
            "REDIS_EXPORTER_LOCAL",
            "NGINX_EXPORTER_LOCAL",
            "NODE_EXPORTER_LOCAL",
        ),
        target=name,
    )


_POSTGRES = (("images/postgres", "."),)

RECIPES: Mapping[str, Recipe] = {
    "POSTGRES_IMAGE": Recipe("postgres", "POSTGRES_LOCAL", _POSTGRES, ("POSTGRES_LOCAL",), target="local"),
    "REDIS_IMAGE": Recipe("redis", "REDIS_LOCAL", (("images/redis", "."),), ("REDIS_LOCAL",)),
    "NGINX_IMAGE": Recipe("nginx", "NGINX_LOCAL", (("images/nginx", "."),), ("NGINX_LOCAL",)),
    "PROMETHEUS_IMAGE": _monitoring("prometheus", "PROMETHEUS_LOCAL"),
    "ALERTMANAGER_IMAGE": _monitoring("alertmanager", "ALERTMANAGER_LOCAL"),
    "POSTGRES_EXPORTER_IMAGE": _monitoring("postgres-exporter", "POSTGRES_EXPORTER_LOCAL"),
    "REDIS_EXPORTER_IMAGE": _monitoring("redis-exporter", "REDIS_EXPORTER_LOCAL"),
    "NGINX_EXPORTER_IMAGE": _monitoring("nginx-exporter", "NGINX_EXPORTER_LOCAL"),
    "NODE_EXPORTER_IMAGE": _monitoring("node-exporter", "NODE_EXPORTER_LOCAL"),
    "LITELLM_IMAGE": Recipe(
        "litellm",
        "LITELLM_VERSION",
        (("images/litellm", "."), ("images/litellm/versions/{LITELLM_VERSION}", ".")),
        ("LITELLM_VERSION",),
        without=("versions",),
    ),
    "LLAMA_CPP_IMAGE": Recipe("llama-cpp", "LLAMA_CPP_LOCAL", (("images/llama-cpp", "."),), ("LLAMA_CPP_LOCAL",)),
}
"""Variables with a local build. Those in versions.env without one exist in registries only."""

ON_OFFICIAL: Mapping[str, Recipe] = {
    "POSTGRES_IMAGE": Recipe("postgres", "POSTGRES_LOCAL", _POSTGRES, target="official"),
}
"""Built on what a registry serves, where one does: the official image lacks something."""

ENGINES = frozenset(
    {"VLLM_IMAGE", "LLAMA_CPP_IMAGE", "LLAMA_CPP_CUDA_IMAGE", "TRTLLM_IMAGE", "SGLANG_IMAGE", "OLLAMA_IMAGE"}
)
"""Engines of local backends, gigabytes each."""
ACME, BACKUP = "ACME_IMAGE", "BACKUP_IMAGE"
ON_DEMAND = ENGINES | {ACME, BACKUP}
"""Made available only where the configuration wants one, by name."""

TOLLGATE = "TOLLGATE_IMAGE"
TOLLGATE_RECIPE = Recipe(
    name="tollgate",
    version="DEBIAN_SUITE",
    files=(("images/tollgate", "."), ("src/tollgate", "src/tollgate")),
    pins=("DEBIAN_SUITE",),
    target="services",
    # only the host runs these, and they change often
    without=("src/tollgate/cli", "src/tollgate/stack"),
)
OURS: Mapping[str, Recipe] = {
    TOLLGATE: TOLLGATE_RECIPE,
    ACME: Recipe("acme", "LEGO_LOCAL", (("images/acme", "."),), ("LEGO_LOCAL",)),
    BACKUP: Recipe(
        name="backup",
        version="DEBIAN_SUITE",
        files=TOLLGATE_RECIPE.files,
        pins=("POSTGRES_LOCAL",),
        target="backup",
        without=("src/tollgate/cli",),
    ),
}
"""What is always built, on Debian's own image where a registry has it: there is no official image of ours."""
BASE_RECIPE = Recipe(BASE, "DEBIAN_SUITE", (("images/base", "."),), ("DEBIAN_SUITE",))
REGISTRY_BASE = "DEBIAN_IMAGE"
"""What OURS stand on where a registry serves it; not a service of its own."""


@dataclass(frozen=True)
class Build:
    """A recipe with its inputs read: the context to send, the build arguments and the name they amount to."""

    recipe: Recipe
    context: bytes
    arguments: Mapping[str, str]
    tag: str


def prepare(recipe: Recipe, root: Path, pins: Mapping[str, str], base: str, extra: Mapping[str, str]) -> Build:
    """Read the inputs of `recipe` under `root`. `base` is its base image's reference ('' for the base itself).

    `extra` are build arguments that say where things come from (a mirror) and so are no part of the name.
    """
    context = pack(recipe, root, pins)
    arguments = {name: pins[name] for name in recipe.pins}
    if base:
        arguments["BASE_IMAGE"] = base
    digest = hashlib.sha256(context)
    for part in (recipe.name, recipe.target, *(f"{name}={value}" for name, value in sorted(arguments.items()))):
        digest.update(b"\0" + part.encode())
    tag = f"tollgate/{recipe.name}:{pins[recipe.version]}-{digest.hexdigest()[:12]}"
    return Build(recipe, context, {**arguments, **extra}, tag)


def pack(recipe: Recipe, root: Path, pins: Mapping[str, str]) -> bytes:
    """The build context as a tar that depends on names, contents and executable bits alone."""
    members: dict[str, Path] = {}
    for source, place in recipe.files:
        top = root / source.format_map(pins)
        for path in top.rglob("*"):
            inside = Path(place) / path.relative_to(top)
            unwanted = LEFT_OUT.intersection(inside.parts) or any(inside.is_relative_to(w) for w in recipe.without)
            if path.is_file() and not unwanted:
                members[inside.as_posix()] = path
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name in sorted(members):
            content = members[name].read_bytes()
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            entry.mode = 0o755 if members[name].stat().st_mode & 0o100 else 0o644
            tar.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()
