"""The recipes of the local images. The inputs of an image decide its name.

A local image is called `tollgate/<name>:<version>-<12 hex>`. The hex digits are a hash over all its inputs: the files
for the builder, the version pins, its target and its base. The same inputs give the same name. So an image that exists
is not built again, and a changed input never uses an old image.
"""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

LEFT_OUT = {"__pycache__", ".mypy_cache", ".ruff_cache", ".pytest_cache", "node_modules", ".venv"}
LEFT_OUT |= {"README.md", "lock.sh", "requirements.in", "overrides.txt", "versions.env"}
"""Files beside an image's files that are not part of it: caches, and files for people or `make lock`."""
BASE = "base"


@dataclass(frozen=True)
class Recipe:
    """One local build. `files` are pairs: path in the checkout (with {PIN} filled in), path in the build context."""

    name: str
    version: str
    """The name of the pin in the tag."""
    files: tuple[tuple[str, str], ...]
    pins: tuple[str, ...] = ()
    """Names from versions.env that become build arguments."""
    target: str = ""
    without: tuple[str, ...] = ()
    """Directories (paths in the context) that are left out."""


def _monitoring(name: str, pin: str) -> Recipe:
    return Recipe(
        name=name,
        version=pin,
        files=(("images/monitoring", "."),),
        # Each image has all pins, because they share one package stage.
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
        without=("versions", "official"),
    ),
    "LLAMA_CPP_IMAGE": Recipe("llama-cpp", "LLAMA_CPP_LOCAL", (("images/llama-cpp", "."),), ("LLAMA_CPP_LOCAL",)),
}
"""Variables with a local build. The others in versions.env exist only in registries."""

ON_OFFICIAL: Mapping[str, Recipe] = {
    "POSTGRES_IMAGE": Recipe("postgres-official", "POSTGRES_LOCAL", _POSTGRES, target="official"),
    "LITELLM_IMAGE": Recipe("litellm-official", "LITELLM_VERSION", (("images/litellm/official", "."),)),
}
"""Images on top of an official image that lacks something."""

ENGINES = frozenset(
    {"VLLM_IMAGE", "LLAMA_CPP_IMAGE", "LLAMA_CPP_CUDA_IMAGE", "TRTLLM_IMAGE", "SGLANG_IMAGE", "OLLAMA_IMAGE"}
)
"""Engines of local backends. Each has several gigabytes."""
ACME, BACKUP = "ACME_IMAGE", "BACKUP_IMAGE"
ON_DEMAND = ENGINES | {ACME, BACKUP}
"""Provided only if the configuration uses them."""

TOLLGATE = "TOLLGATE_IMAGE"
TOLLGATE_RECIPE = Recipe(
    name="tollgate",
    version="DEBIAN_SUITE",
    files=(("images/tollgate", "."), ("src/tollgate", "src/tollgate")),
    pins=("DEBIAN_SUITE",),
    target="services",
    # Only the host runs these, and they change often.
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
"""Our own images. They are always built, because no registry has them; with IMAGE_SOURCE=registry on Debian's image."""
BASE_RECIPE = Recipe(BASE, "DEBIAN_SUITE", (("images/base", "."),), ("DEBIAN_SUITE",))
REGISTRY_BASE = "DEBIAN_IMAGE"
"""The base of OURS with IMAGE_SOURCE=registry. It is not a service."""


@dataclass(frozen=True)
class Build:
    """A recipe with its inputs: the context for the builder, the build arguments, and the name they result in."""

    recipe: Recipe
    context: bytes
    arguments: Mapping[str, str]
    tag: str


def prepare(recipe: Recipe, root: Path, pins: Mapping[str, str], base: str, extra: Mapping[str, str]) -> Build:
    """Read the inputs of `recipe` under `root`. `base` is its base image's reference ('' for the base itself).

    `extra` are build arguments that say where packages come from (a mirror). They do not change the name.
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
    """The build context as a tar. Its bytes depend only on names, contents and executable bits."""
    members: dict[str, Path] = {}
    for source, place in recipe.files:
        top = root / source.format_map(pins)
        members |= {(Path(place) / path.relative_to(top)).as_posix(): path for path in _files(top, place, recipe)}
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name in sorted(members):
            content = members[name].read_bytes()
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            entry.mode = 0o755 if members[name].stat().st_mode & 0o100 else 0o644
            tar.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def _files(top: Path, place: str, recipe: Recipe) -> Iterator[Path]:
    """The files below `top` that belong to the recipe. It does not enter a folder that is left out."""
    for name, folders, files in os.walk(top):
        inside = Path(place) / Path(name).relative_to(top)
        folders[:] = [folder for folder in folders if _belongs(inside, folder, recipe)]
        yield from (Path(name, file) for file in files if _belongs(inside, file, recipe))


def _belongs(inside: Path, name: str, recipe: Recipe) -> bool:
    return name not in LEFT_OUT and (inside / name).as_posix() not in recipe.without
