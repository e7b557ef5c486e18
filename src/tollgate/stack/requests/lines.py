"""The log lines of one request: nginx's and those of the gateway processes, each a JSON object.

A line has names, figures and ids, never a key or a body (services/gateway/record.py, nginx/snippets/log.conf).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from tollgate.stack.containers import gateways
from tollgate.stack.containers.compose import Compose

NGINX = "nginx"
# nginx's listeners for clients. The others are the operator's.
PUBLIC = frozenset({"4000", "4443"})
# A gateway process writes this when a request has ended.
CALL = "call"
# Some releases of Compose add the number of the container to the service's name: gateway-2-1.
_SERVICE = re.compile(r"(nginx|gateway-\d+)(?:-\d+)?", re.ASCII)


@dataclass(frozen=True)
class Lines:
    """`gateways` are pairs of a process and its line; both in the order in which they were written."""

    nginx: tuple[Mapping[str, Any], ...] = ()
    gateways: tuple[tuple[str, Mapping[str, Any]], ...] = ()


def read(compose: Compose, ids: Iterable[str]) -> Lines:
    """Reads all that Docker keeps of these services, up to 30 MB each. TollgateError if Docker does not answer."""
    services = [name for name in compose.services() if name == NGINX]
    services += gateways.names(compose.services())
    return parse(compose.lines("logs", "--no-color", *services), frozenset(ids))


def parse(lines: Iterable[str], ids: frozenset[str]) -> Lines:
    """`lines` as `docker compose logs` prints them, with the container's name in front."""
    nginx: list[Mapping[str, Any]] = []
    calls: list[tuple[str, Mapping[str, Any]]] = []
    for service, line in _objects(lines, ids):
        if service == NGINX and line.get("request_id") in ids and line.get("port") in PUBLIC:
            nginx.append(line)
        elif line.get("message") == CALL and not ids.isdisjoint((line.get("request_id"), line.get("call_id"))):
            calls.append((service, line))
    return Lines(tuple(nginx), tuple(calls))


def written(line: Mapping[str, Any]) -> datetime:
    """When a gateway process wrote its line, in UTC, such as 2026-11-29 15:00:00,123. ValueError if it does not say."""
    return datetime.strptime(str(line.get("timestamp")), "%Y-%m-%d %H:%M:%S,%f").replace(tzinfo=UTC)


def service_of(container: str) -> str:
    """The service of a container's name as Compose prints it. Empty for every other service."""
    service = _SERVICE.fullmatch(container.strip())
    return "" if service is None else service[1]


def _objects(lines: Iterable[str], ids: frozenset[str]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for line in lines:
        if not any(identity in line for identity in ids):
            continue
        container, _, text = line.partition("|")
        service = service_of(container)
        if not service:
            continue
        try:
            parsed = json.loads(text)
        except ValueError:
            continue
        if isinstance(parsed, dict):
            yield service, parsed
