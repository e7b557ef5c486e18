"""images/versions.env as typed values: what a registry would serve, and the pins of the local builds."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tollgate.errors import InputError, Problem
from tollgate.stack import known_bad

NAME = re.compile(r"[A-Z][A-Z0-9_]*\Z")
REFERENCE = re.compile(r"(?P<registry>[a-z0-9.-]+\.[a-z]+)/(?P<repository>[a-z0-9._/-]+):(?P<tag>[A-Za-z0-9_.-]+)\Z")
DIGEST = re.compile(r"sha256:[0-9a-f]{64}\Z")
MOVING = {"latest", "main", "stable", "lts", "edge", "nightly", "dev"}


@dataclass(frozen=True)
class RegistryImage:
    """One pinned image: `registry/repository:tag`, with `@sha256:...` once its digest is known."""

    registry: str
    repository: str
    tag: str
    digest: str = ""

    @property
    def reference(self) -> str:
        return f"{self.registry}/{self.repository}:{self.tag}" + (f"@{self.digest}" if self.digest else "")

    @property
    def listed_as(self) -> str:
        """How `docker image ls` writes it: Docker Hub's host and `library/` left out; by digest where pinned."""
        name = f"{self.registry}/{self.repository}".removeprefix("docker.io/").removeprefix("library/")
        return f"{name}@{self.digest}" if self.digest else f"{name}:{self.tag}"


@dataclass(frozen=True)
class Versions:
    """`registry` maps a variable (POSTGRES_IMAGE) to its image; `pins` are all other names and values."""

    registry: Mapping[str, RegistryImage]
    pins: Mapping[str, str]


def load(file: Path) -> Versions:
    """Read and check versions.env. InputError with every problem: syntax, a name twice, a moving tag, a bad digest."""
    problems: list[Problem] = []
    values: dict[str, tuple[int, str]] = {}
    for number, raw in enumerate(file.read_text(encoding="utf-8").splitlines(), start=1):
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        name, equals, value = line.partition("=")
        if not equals or not NAME.match(name):
            problems.append(Problem(file, number, "", f"expected NAME=value, found {line!r}"))
        elif name in values:
            problems.append(Problem(file, number, name, f"set before, on line {values[name][0]}"))
        else:
            values[name] = (number, value)
    images: dict[str, RegistryImage] = {}
    for name, (number, value) in values.items():
        if name.endswith("_IMAGE"):
            digest = values.get(name.removesuffix("_IMAGE") + "_DIGEST", (number, ""))
            images[name] = _image(file, name, (number, value), digest, problems)
    for name, (number, _) in values.items():
        if name.endswith("_DIGEST") and name.removesuffix("_DIGEST") + "_IMAGE" not in values:
            problems.append(Problem(file, number, name, "is the digest of no image in this file"))
    for name in ("LITELLM_IMAGE", "LITELLM_VERSION"):
        number, text = values.get(name, (0, ""))
        version = text.rpartition(":")[2]
        if reason := known_bad.why_not(version):
            problems.append(Problem(file, number, name, f"{version}: {reason}", known_bad.HINT))
    if problems:
        raise InputError(problems)
    pins = {n: v for n, (_, v) in values.items() if not n.endswith(("_IMAGE", "_DIGEST"))}
    return Versions(images, pins)


def _image(
    file: Path, name: str, value: tuple[int, str], digest: tuple[int, str], problems: list[Problem]
) -> RegistryImage:
    number, text = value
    match = REFERENCE.match(text)
    if match is None:
        hint = "name the registry too, such as docker.io/library/redis:8.10.2"
        problems.append(Problem(file, number, name, f"expected registry/repository:tag, found {text!r}", hint))
        return RegistryImage("", "", "")
    if match["tag"] in MOVING:
        problems.append(Problem(file, number, name, f"{match['tag']!r} moves; pin a version", "see the release page"))
    if digest[1] and not DIGEST.match(digest[1]):
        problems.append(Problem(file, digest[0], name, f"expected sha256:<64 hex>, found {digest[1]!r}"))
    return RegistryImage(match["registry"], match["repository"], match["tag"], digest[1])
