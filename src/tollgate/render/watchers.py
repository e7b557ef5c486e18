"""The watchers: services that observe the gateway. No request needs one, so each can be left out alone."""

from __future__ import annotations

from collections.abc import Mapping

from tollgate.config.gateway import engines

# Each service of compose/observability.yaml with the variable of its image. Its Compose profile has the service's name.
WATCHERS: Mapping[str, str] = {
    "prometheus": "PROMETHEUS_IMAGE",
    "alertmanager": "ALERTMANAGER_IMAGE",
    "postgres-exporter": "POSTGRES_EXPORTER_IMAGE",
    "redis-exporter": "REDIS_EXPORTER_IMAGE",
    "nginx-exporter": "NGINX_EXPORTER_IMAGE",
    "node-exporter": "NODE_EXPORTER_IMAGE",
    "grafana": "GRAFANA_IMAGE",
    "loki": "LOKI_IMAGE",
    "alloy": "ALLOY_IMAGE",
    "docker-socket-proxy": "SOCKET_PROXY_IMAGE",
}
IMAGES = frozenset(WATCHERS.values())
# Services that only a setting adds, and that no request needs either. Each has a profile of its name too.
ON_REQUEST: Mapping[str, str] = {"acme": "ACME_IMAGE", "backup": "BACKUP_IMAGE"}
# Images that a deploy gets after the gateway works. Without one of them, only its service is left out.
LATE = IMAGES | frozenset(ON_REQUEST.values()) | engines.IMAGES
# An image variable holds this while its image is missing.
NO_IMAGE = "unavailable"
# GRAFANA=off leaves these out.
GRAFANA_SET = ("grafana", "loki", "alloy", "docker-socket-proxy")
GRAFANA_IMAGES = frozenset(WATCHERS[name] for name in GRAFANA_SET)
OFF = "GRAFANA=off in .env"
# A service needs these others. The proxy has the engine's socket, so it runs only for Alloy.
NEEDS = {"alloy": ("loki", "docker-socket-proxy"), "docker-socket-proxy": ("alloy",)}


def left_out(unavailable: Mapping[str, str], *, grafana: bool) -> dict[str, str]:
    """The reason for each service that is left out, by service.

    `unavailable` maps the variables of missing images to the reasons.
    """
    reasons = {} if grafana else dict.fromkeys(GRAFANA_SET, OFF)
    for service, image in {**WATCHERS, **ON_REQUEST}.items():
        if image in unavailable:
            reasons.setdefault(service, unavailable[image])
    for service, needed in NEEDS.items():
        if missing := [name for name in needed if name in reasons]:
            reasons.setdefault(service, f"it needs {' and '.join(missing)}")
    return reasons


def running(unavailable: Mapping[str, str], *, grafana: bool) -> list[str]:
    """The watchers that run, in the order of WATCHERS."""
    reasons = left_out(unavailable, grafana=grafana)
    return [service for service in WATCHERS if service not in reasons]
