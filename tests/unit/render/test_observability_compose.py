"""compose/observability.yaml keeps the rules that every container of the stack keeps."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tollgate.render.watchers import WATCHERS

ROOT = Path(__file__).resolve().parents[3]
MODEL: Any = YAML(typ="safe").load((ROOT / "compose" / "observability.yaml").read_text())
SERVICES: dict[str, Any] = MODEL["services"]
each_service = pytest.mark.parametrize("name", sorted(SERVICES))


def lapses(service: Any) -> list[str]:
    """The container rules that a service breaks."""
    rules = {
        "read-only root": service.get("read_only") is True,
        "no capabilities": service.get("cap_drop") == ["ALL"] and not service.get("cap_add"),
        "no new privileges": service.get("security_opt") == ["no-new-privileges:true"],
        "not privileged": not service.get("privileged") and service.get("pid") != "host",
        "memory limit": "mem_limit" in service,
        "process limit": "pids_limit" in service,
        "log rotation": service.get("logging", {}).get("options") == {"max-size": "10m", "max-file": "3"},
        "restarts": service.get("restart") == "unless-stopped",
        "a user of its own": re.fullmatch(r"\d+:\d+", service.get("user", "")) is not None,
        "image by variable": re.fullmatch(r"\$\{[A-Z_]+_IMAGE:\?run make deploy\}", service.get("image", ""))
        is not None,
    }
    return [rule for rule, kept in rules.items() if not kept]


@each_service
def test_every_container_is_confined(name: str) -> None:
    assert lapses(SERVICES[name]) == []


def test_a_lapse_is_seen() -> None:
    service = SERVICES["prometheus"]
    assert lapses(service | {"read_only": False}) == ["read-only root"]
    assert lapses(service | {"cap_add": ["NET_RAW"]}) == ["no capabilities"]
    assert lapses({key: value for key, value in service.items() if key != "mem_limit"}) == ["memory limit"]


def test_every_container_whose_image_can_be_checked_has_a_health_check() -> None:
    assert {name for name, service in SERVICES.items() if "healthcheck" not in service} == {"nginx-exporter"}


def test_only_the_socket_proxy_holds_the_socket_and_is_root() -> None:
    holders = {name for name, s in SERVICES.items() if any("docker.sock" in volume for volume in s.get("volumes", []))}
    assert holders == {"docker-socket-proxy"}
    assert {name for name, s in SERVICES.items() if s["user"].startswith("0:")} == {"docker-socket-proxy"}
    assert SERVICES["docker-socket-proxy"]["networks"] == ["docker-api"]
    assert MODEL["networks"]["docker-api"] == {"internal": True}


def allowed(method: str, path: str) -> bool:
    """Whether the socket proxy lets a request through. It anchors each expression at both ends."""
    flags = [flag for flag in SERVICES["docker-socket-proxy"]["command"] if flag.startswith(f"-allow{method}=")]
    return any(re.fullmatch(flag.split("=", 1)[1], path) for flag in flags)


CONTAINER = "4f66ad9a0b2e" * 5 + "4f66"


@pytest.mark.parametrize(
    "path",
    ["/_ping", "/v1.41/containers/json", "/v1.54/networks", f"/v1.41/containers/{CONTAINER}/logs", "/version"],
)
def test_alloy_may_read_what_it_needs(path: str) -> None:
    assert allowed("GET", path)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1.41/containers/create"),
        ("POST", f"/v1.41/containers/{CONTAINER}/exec"),
        ("DELETE", f"/v1.41/containers/{CONTAINER}"),
        ("GET", f"/v1.41/containers/{CONTAINER}/archive"),
        ("GET", f"/v1.41/containers/{CONTAINER}/export"),
        ("GET", "/v1.41/secrets"),
        ("GET", "/v1.41/images/json"),
        ("GET", "/v1.41/containers/json/../../secrets"),
    ],
)
def test_nothing_else_gets_through(method: str, path: str) -> None:
    assert not allowed(method, path)


def test_what_is_published_is_published_on_loopback() -> None:
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert published == {
        "prometheus": ["127.0.0.1:${PROMETHEUS_PORT}:9090"],
        "grafana": ["127.0.0.1:${GRAFANA_PORT}:3000"],
    }


def test_each_service_has_its_own_profile_and_the_image_of_watchers() -> None:
    """So that each can be left out alone."""
    assert {name: service["profiles"] for name, service in SERVICES.items()} == {name: [name] for name in WATCHERS}
    images = {name: re.match(r"\$\{([A-Z_]+)", service["image"]) for name, service in SERVICES.items()}
    assert {name: found and found[1] for name, found in images.items()} == WATCHERS


def test_no_secret_is_in_the_environment() -> None:
    """Only names of files: `docker inspect` shows the environment to every user of Docker."""
    for name, service in SERVICES.items():
        for variable in service.get("environment", {}):
            if re.search(r"PASS|SECRET|KEY|TOKEN", variable):
                assert variable.endswith("_FILE"), f"{name}: {variable}"


def test_every_secret_declared_is_used_and_every_secret_used_is_declared() -> None:
    sources = {secret["source"] for service in SERVICES.values() for secret in service.get("secrets", [])}
    assert sources == MODEL["secrets"].keys()


def test_prometheus_cannot_be_stopped_over_its_port() -> None:
    assert not any(
        "enable-lifecycle" in flag or "enable-admin-api" in flag for flag in SERVICES["prometheus"]["command"]
    )


def breaks_the_pipe(command: str) -> bool:
    """`grep -q` ends at its first match, and the program before it writes into nothing."""
    return re.search(r"wget\b.*\|\s*grep\s+-\w*q", command) is not None


def test_no_health_check_makes_an_exporter_log_an_error() -> None:
    """A quarter of all stored lines were such errors."""
    commands = [" ".join(service["healthcheck"]["test"]) for service in SERVICES.values() if "healthcheck" in service]
    assert [command for command in commands if breaks_the_pipe(command)] == []
    assert breaks_the_pipe("wget -q -O - http://127.0.0.1:9187/metrics | grep -q '^pg_up 1'")


def test_links_in_notifications_lead_to_the_operators_own_ports() -> None:
    assert "--web.external-url=http://localhost:${PROMETHEUS_PORT}/" in SERVICES["prometheus"]["command"]
