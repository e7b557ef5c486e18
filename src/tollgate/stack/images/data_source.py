"""Records in `.env` which images wrote the data of Postgres and Redis. A deploy refuses images of the other source.

Local builds and official images are different releases, and an older server might not read a newer server's data.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from tollgate.config.yaml.text import read
from tollgate.errors import InputError, Problem
from tollgate.site import Site
from tollgate.stack.configuration import change_env
from tollgate.stack.containers.compose import DATABASES, PROJECT_LABEL, Compose
from tollgate.stack.deployment import Deployment
from tollgate.stack.host.commands import ask
from tollgate.stack.host.docker import docker
from tollgate.stack.images.sources import Source

_LOCAL, _ON_OFFICIAL = "tollgate/", "tollgate/postgres-official:"
_OFFICIAL_POSTGRES = "PG_MAJOR="
"""An environment variable of the official Postgres image. Our images on top of it once had a local name."""
_INSPECT = '{{index .Config.Labels "com.docker.compose.service"}}\t{{.Config.Image}}\t{{json .Config.Env}}'


def setting(service: str) -> str:
    """The service's setting in .env."""
    return f"{service.upper()}_SOURCE"


def check(deployment: Deployment) -> list[str]:
    """Record the source of each database's data in .env. Return the changed lines.

    Without data, the source is IMAGE_SOURCE. With data but no record, the container shows the source, otherwise the
    last deploy. Raises InputError, and writes nothing, if IMAGE_SOURCE or a record contradicts this.
    """
    site, compose, settings = deployment.site, deployment.compose, deployment.settings
    problems, wanted = list[Problem](), dict[str, Source]()
    seen = _seen(compose)
    others = dict[Source, list[str]]()
    for service in DATABASES:
        recorded: Source | None = getattr(settings, setting(service).lower()) or None
        source: Source = settings.image_source
        if _has_data(compose.project, service):
            evidence = seen.get(service)
            if evidence and recorded and evidence != recorded:
                problems.append(_wrong_record(site, service, evidence, recorded))
            source = evidence or recorded or source
        if source != settings.image_source:
            others.setdefault(source, []).append(service.capitalize())
        if source != recorded:
            wanted[setting(service)] = source
    problems += [_other_source(site, names, source, settings.image_source) for source, names in others.items()]
    if problems:
        raise InputError(problems)
    return [f"{name}={source}" for name, source in wanted.items() if change_env(site, name, source)]


def _has_data(project: str, service: str) -> bool:
    return ask("docker", "volume", "inspect", f"{project}_{service}-data") is not None


def _seen(compose: Compose) -> dict[str, Source]:
    """The source of each database, from its container (running or not), otherwise from the last deploy."""
    seen = dict(_of_last_deploy(compose))
    of_project = f"label={PROJECT_LABEL}={compose.project}"
    ids = docker(["docker", "ps", "--all", "--quiet", "--no-trunc", "--filter", of_project]).split()
    for line in docker(["docker", "inspect", "--format", _INSPECT, *ids]).splitlines() if ids else []:
        service, image, environment = line.split("\t")
        if service in DATABASES:
            seen[service] = _source(image, json.loads(environment) or [])
    return seen


def _of_last_deploy(compose: Compose) -> Iterator[tuple[str, Source]]:
    if not compose.env_file.is_file():
        return
    for service in DATABASES:
        if image := compose.environment.get(f"{service.upper()}_IMAGE", ""):
            environment = ask("docker", "image", "inspect", "--format", "{{json .Config.Env}}", image)
            yield service, _source(image, json.loads(environment or "null") or [])


def _source(image: str, environment: list[str]) -> Source:
    local = image.startswith(_LOCAL) and not image.startswith(_ON_OFFICIAL)
    return "local" if local and not any(name.startswith(_OFFICIAL_POSTGRES) for name in environment) else "registry"


def _wrong_record(site: Site, service: str, evidence: Source, recorded: str) -> Problem:
    name = setting(service)
    message = f"expected {evidence!r}, which wrote the data of {service.capitalize()}, found {recorded!r}"
    return Problem(
        site.env_file, _line(site, name), name, message, f"set {name}={evidence}; only a deploy changes this line"
    )


def _other_source(site: Site, names: list[str], source: Source, asked: str) -> Problem:
    who = f"{' and '.join(names)} hold{'' if names[1:] else 's'}"
    message = f"expected {source!r}, because {who} data of that source, found {asked!r}"
    hint = (
        f"set IMAGE_SOURCE={source}; to move: `make backup`, `make clean CONFIRM=yes`, `make deploy` with "
        f"IMAGE_SOURCE={asked}, `make restore FILE=...` (images/README.md)"
    )
    return Problem(site.env_file, _line(site, "IMAGE_SOURCE"), "IMAGE_SOURCE", message, hint)


def _line(site: Site, name: str) -> int:
    """The number of the line that sets `name`; 0 if no line sets it."""
    lines = read(site.env_file).splitlines()
    return next((n for n, line in enumerate(lines, start=1) if re.match(rf"\s*(export\s+)?{name}\s*=", line)), 0)
