"""Rendered files, and the only code that writes them.

A `Rendered` is a value: a path below var/rendered, its text and its mode. Modules beside this one make them from
configuration; nothing here or there reads the environment, so the same configuration gives the same bytes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import jinja2

from tollgate import disk


@dataclass(frozen=True)
class Rendered:
    """One generated file. The repr leaves `text` out, because it can contain a secret (then the mode is 0600)."""

    path: PurePosixPath
    text: str = field(repr=False)
    mode: int = 0o644


def fill(template: Path, **values: Any) -> str:
    """Render one Jinja template. A name that is missing in `values` is an error, never an empty string."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(template.parent),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701  these are configuration files, not HTML
    )
    return environment.get_template(template.name).render(**values)


def digest(files: Iterable[Rendered]) -> str:
    """12 hex digits over all files. Compose labels contain them, so that a change recreates the container."""
    sha = hashlib.sha256()
    for file in sorted(files, key=lambda file: file.path):
        sha.update(f"{file.path}\0{file.mode:o}\0{file.text}\0".encode())
    return sha.hexdigest()[:12]


def write(directory: Path, files: Iterable[Rendered]) -> list[PurePosixPath]:
    """Write changed files, each atomically (temporary name, then rename). Return the paths that changed."""
    changed = []
    for file in files:
        target = directory / file.path
        if target.is_file() and target.read_text() == file.text and target.stat().st_mode & 0o777 == file.mode:
            continue
        _make_readable(directory, target.parent)
        disk.replace(target, file.text, file.mode)
        changed.append(file.path)
    return changed


def prune(directory: Path, files: Iterable[Rendered]) -> list[PurePosixPath]:
    """Remove files of an earlier render in the same top directories. Return the paths.

    Programs read all files of their directory, so a rule or a module that was dropped would still be used.
    """
    wanted = {directory / file.path for file in files}
    tops = {path.relative_to(directory).parts[0] for path in wanted if path.parent != directory}
    stale = [path for top in sorted(tops) for path in sorted((directory / top).rglob("*")) if path.is_file()]
    stale = [path for path in stale if path not in wanted]
    for path in stale:
        path.unlink()
    return [PurePosixPath(path.relative_to(directory)) for path in stale]


def _make_readable(top: Path, directory: Path) -> None:
    """Create it, readable below `top`, because container users that the host does not know read the mounted files."""
    directory.mkdir(parents=True, exist_ok=True)
    while directory != top and directory != directory.parent:
        directory.chmod(0o755)
        directory = directory.parent
