"""What a render produces, and the one place that writes it.

A `Rendered` is a value: a path below var/rendered, its text and its mode. Modules beside this one make them from
configuration; nothing here or there reads the environment, so the same configuration gives the same bytes.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import jinja2


@dataclass(frozen=True)
class Rendered:
    """One generated file. `text` is kept out of the repr because it can hold a secret (mode 0600 then)."""

    path: PurePosixPath
    text: str = field(repr=False)
    mode: int = 0o644


def fill(template: Path, **values: Any) -> str:
    """Render one Jinja template; a name the template uses and `values` lacks is an error, never an empty string."""
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
    """12 hex digits that change when any of the files does; Compose labels carry it, so that a change recreates."""
    sha = hashlib.sha256()
    for file in sorted(files, key=lambda file: file.path):
        sha.update(f"{file.path}\0{file.mode:o}\0{file.text}\0".encode())
    return sha.hexdigest()[:12]


def write(directory: Path, files: Iterable[Rendered]) -> list[PurePosixPath]:
    """Write what differs, each file at once (temporary name, then rename); return the paths that changed."""
    changed = []
    for file in files:
        target = directory / file.path
        if target.is_file() and target.read_text() == file.text and target.stat().st_mode & 0o777 == file.mode:
            continue
        _make_readable(directory, target.parent)
        temporary = target.with_name(f".{target.name}.new")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, file.mode)
        with os.fdopen(descriptor, "w") as stream:
            os.fchmod(stream.fileno(), file.mode)  # the umask may have taken bits away
            stream.write(file.text)
        temporary.replace(target)
        changed.append(file.path)
    return changed


def prune(directory: Path, files: Iterable[Rendered]) -> list[PurePosixPath]:
    """Remove what an earlier render put into the same top directories and this one did not; return the paths.

    A rule or a module that was dropped would otherwise go on being read: programs take all of their directory.
    """
    wanted = {directory / file.path for file in files}
    tops = {path.relative_to(directory).parts[0] for path in wanted if path.parent != directory}
    stale = [path for top in sorted(tops) for path in sorted((directory / top).rglob("*")) if path.is_file()]
    stale = [path for path in stale if path not in wanted]
    for path in stale:
        path.unlink()
    return [PurePosixPath(path.relative_to(directory)) for path in stale]


def _make_readable(top: Path, directory: Path) -> None:
    """Create it, open below `top`: what is mounted is read by container users the host does not know."""
    directory.mkdir(parents=True, exist_ok=True)
    while directory != top and directory != directory.parent:
        directory.chmod(0o755)
        directory = directory.parent
