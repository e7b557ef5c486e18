"""images/versions.env as typed values: the images in registries, and the pins of the local builds."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tollgate.errors import InputError, Problem
from tollgate.stack.images import known_bad

NAME = re.compile(r"[A-Z][A-Z0-9_]*\Z")
_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_WORD = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
REFERENCE = re.compile(
    rf"(?P<registry>(?P<host>{_LABEL}(?:\.{_LABEL})*)(?::(?P<port>[1-9][0-9]{{0,4}}))?)"
    rf"/(?P<repository>{_WORD}(?:/{_WORD})*):(?P<tag>[A-Za-z0-9_][A-Za-z0-9_.-]{{0,127}})\Z"
)
HIGHEST_PORT = 65535
NAME_LENGTH = 255
"""The engine's limit for registry and repository together."""
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
        """The name in `docker image ls`: without Docker Hub's host and `library/`, with the digest if it is pinned."""
        name = f"{self.registry}/{self.repository}".removeprefix("docker.io/").removeprefix("library/")
        return f"{name}@{self.digest}" if self.digest else f"{name}:{self.tag}"


@dataclass(frozen=True)
class Versions:
    """`registry` maps a variable (POSTGRES_IMAGE) to its image; `pins` are all other names and values."""

    registry: Mapping[str, RegistryImage]
    pins: Mapping[str, str]


def load(file: Path, litellm: str = "") -> Versions:
    """Read and check versions.env. Raises InputError with every problem: syntax, duplicates, moving tags, bad digests.

    `litellm` is a LiteLLM to use instead of the pinned one. Its own directory contains the differences.
    """
    problems: list[Problem] = []
    values = _read(file, problems)
    pinned = values.get("LITELLM_VERSION", (0, "", file))[1]
    if litellm and litellm != pinned:
        values |= _read(_overlay(file, litellm), problems)
    images: dict[str, RegistryImage] = {}
    for name, (number, value, where) in values.items():
        if name.endswith("_IMAGE"):
            digest = values.get(name.removesuffix("_IMAGE") + "_DIGEST", (number, "", where))
            images[name] = _image(where, name, (number, value), digest[:2], problems)
    for name, (number, _, where) in values.items():
        if name.endswith("_DIGEST") and name.removesuffix("_DIGEST") + "_IMAGE" not in values:
            problems.append(Problem(where, number, name, "no image in this file belongs to this digest"))
    for name in ("LITELLM_IMAGE", "LITELLM_VERSION"):
        number, text, where = values.get(name, (0, "", file))
        version = text.rpartition(":")[2]
        if reason := known_bad.why_not(version):
            problems.append(Problem(where, number, name, f"{version}: {reason}", known_bad.HINT))
    if problems:
        raise InputError(problems)
    pins = {n: v for n, (_, v, _) in values.items() if not n.endswith(("_IMAGE", "_DIGEST"))}
    return Versions(images, pins)


def directory(file: Path) -> Path:
    """The directory with one directory for each LiteLLM that the kit knows."""
    return file.parent / "litellm" / "versions"


def _overlay(file: Path, litellm: str) -> Path:
    """The file with the differences for `litellm`. Raises InputError if it must not run or if the kit lacks it."""
    overlay = directory(file) / litellm / "versions.env"
    message, hint = known_bad.why_not(litellm), known_bad.HINT
    if not message and not (re.fullmatch(r"[0-9.]+", litellm) and overlay.is_file()):
        known = {
            load(file).pins["LITELLM_VERSION"],
            *(path.parent.name for path in directory(file).glob("*/versions.env")),
        }
        message = "this kit does not know it"
        hint = f"set LITELLM_VERSION in .env to one that it knows: {', '.join(sorted(known))}"
    if message:
        raise InputError([Problem(file, 0, "LITELLM_VERSION", f"{litellm}: {message}", hint)])
    return overlay


def _read(file: Path, problems: list[Problem]) -> dict[str, tuple[int, str, Path]]:
    """Each name with its line, its value and its file."""
    values: dict[str, tuple[int, str, Path]] = {}
    for number, raw in enumerate(file.read_text(encoding="utf-8").splitlines(), start=1):
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        name, equals, value = line.partition("=")
        if not equals or not NAME.match(name):
            problems.append(Problem(file, number, "", f"expected NAME=value, found {line!r}"))
        elif name in values:
            problems.append(Problem(file, number, name, f"already set on line {values[name][0]}"))
        else:
            values[name] = (number, value, file)
    return values


def _image(
    file: Path, name: str, value: tuple[int, str], digest: tuple[int, str], problems: list[Problem]
) -> RegistryImage:
    number, text = value
    match = REFERENCE.match(text)
    if match is None:
        hint = "include the registry: docker.io/library/redis:8.10.2, mirror.example:5000/redis:8.10.2"
        problems.append(Problem(file, number, name, f"expected registry/repository:tag, found {text[:200]!r}", hint))
        return RegistryImage("", "", "")
    if wrong := _wrong_registry(match):
        problems.append(Problem(file, number, name, *wrong))
    if match["tag"] in MOVING:
        problems.append(Problem(file, number, name, f"{match['tag']!r} moves; pin a version", "see the release page"))
    if digest[1] and not DIGEST.match(digest[1]):
        problems.append(Problem(file, digest[0], name, f"expected sha256:<64 hex>, found {digest[1]!r}"))
    return RegistryImage(match["registry"], match["repository"], match["tag"], digest[1])


def _wrong_registry(match: re.Match[str]) -> tuple[str, str] | None:
    """The problem of the registry in a well-formed reference, with a hint. Without a dot or a port, Docker reads the
    first word as part of a name on Docker Hub."""
    host, port = match["host"], match["port"]
    if port and int(port) > HIGHEST_PORT:
        return f"expected a port from 1 to {HIGHEST_PORT}, found {port}", "registry:port/repository:tag"
    if not (port or "." in host or host == "localhost"):
        hint = f"docker.io/{host}/... is Docker Hub; a registry has a dot or a port in its name, or is localhost"
        return f"expected a registry, found {host!r}", hint
    if re.fullmatch(r"[0-9.]+", host) and not _is_address(host):
        return f"expected an IPv4 address, found {host!r}", "four numbers from 0 to 255, or a name"
    if len(f"{match['registry']}/{match['repository']}") > NAME_LENGTH:
        return f"expected at most {NAME_LENGTH} characters before the tag", "shorten the path in the registry"
    return None


def _is_address(host: str) -> bool:
    try:
        ipaddress.IPv4Address(host)
    except ValueError:
        return False
    return True
