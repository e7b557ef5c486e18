"""The rules that every container of every Compose file keeps: confined, checked, published only where people use it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tollgate.config.env import settings as env
from tollgate.config.gateway import load as gateway
from tollgate.render.backup import render_schedule
from tollgate.render.gateway import render_gateways
from tollgate.render.stack import render_order, render_replicas
from tollgate.site import Site

ROOT = Site.here().root


def compose_files() -> dict[str, str]:
    files = {
        name: (ROOT / "compose" / name).read_text() for name in ("compose.yaml", "observability.yaml", "basic.yaml")
    }
    chosen = env.parse("BACKUP_SCHEDULE=17 2 * * *\n", Path(".env"))
    schedule = render_schedule(ROOT, Path("/home"), chosen, "1000:1000", "salt", "1.108.10")[0].text
    gateways = render_gateways(ROOT, gateway.load(ROOT / "config" / "gateway.yaml"), chosen)[-1].text
    replicas = render_replicas(ROOT, 3, 10).text
    return files | {"replicas.yaml": replicas, "gateways.yaml": gateways, "backup.yaml": schedule}


FILES = compose_files()
SERVICES: dict[tuple[str, str], Any] = {
    (file, name): service
    for file, text in FILES.items()
    for name, service in YAML(typ="safe").load(text)["services"].items()
}
each_service = pytest.mark.parametrize("file, name", sorted(SERVICES))
# Why there is no health check.
UNCHECKED = {
    ("compose.yaml", "migrate"): "ends by itself; the deploy waits for its exit status",
    ("observability.yaml", "nginx-exporter"): "its image has nothing to check with; Prometheus watches it",
}
PUBLISHED = {
    ("compose.yaml", "nginx"): ["${GATEWAY_BIND}:${GATEWAY_PORT}:4000", "127.0.0.1:${ADMIN_PORT}:4001"],
    ("observability.yaml", "prometheus"): ["127.0.0.1:${PROMETHEUS_PORT}:9090"],
    ("observability.yaml", "grafana"): ["127.0.0.1:${GRAFANA_PORT}:3000"],
    ("basic.yaml", "litellm"): ["127.0.0.1:${GATEWAY_PORT}:4000"],
}


def lapses(service: Any) -> set[str]:
    options = service.get("logging", {}).get("options", {})
    rules = {
        "read_only": service.get("read_only") is True,
        "cap_drop": service.get("cap_drop") == ["ALL"] and "cap_add" not in service,
        "security_opt": service.get("security_opt") == ["no-new-privileges:true"],
        "mem_limit": "mem_limit" in service,
        "pids_limit": "pids_limit" in service,
        "logging": {"max-size", "max-file"} <= options.keys(),
        "user": re.fullmatch(r"\d+:\d+", str(service.get("user", ""))) is not None,
        "image": re.fullmatch(r"\$\{\w+_IMAGE:\?.+\}", service.get("image", "")) is not None,
        "not privileged": not service.get("privileged") and not {"pid", "network_mode", "ipc"} & service.keys(),
    }
    return {name for name, kept in rules.items() if not kept}


@each_service
def test_every_container_is_confined(file: str, name: str) -> None:
    assert lapses(SERVICES[file, name]) == set()


@pytest.mark.parametrize("key", ["read_only", "cap_drop", "security_opt", "mem_limit", "pids_limit", "logging", "user"])
def test_twin_a_container_without_it_would_be_seen(key: str) -> None:
    service = {name: value for name, value in SERVICES["compose.yaml", "nginx"].items() if name != key}
    assert lapses(service) == {key}


def test_every_container_that_stays_is_checked() -> None:
    assert {place for place, service in SERVICES.items() if "healthcheck" not in service} == UNCHECKED.keys()


def test_nothing_is_published_but_what_people_use() -> None:
    assert {place: service["ports"] for place, service in SERVICES.items() if "ports" in service} == PUBLISHED


def test_only_the_gateway_itself_may_be_published_beyond_this_machine() -> None:
    ports = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert [port for port in ports if not port.startswith("127.0.0.1:")] == ["${GATEWAY_BIND}:${GATEWAY_PORT}:4000"]


def comment_above(text: str, service: str) -> str:
    lines = text.splitlines()
    return lines[lines.index(f"  {service}:") - 1].strip()


@each_service
def test_a_sentence_above_each_container_says_what_it_is_for(file: str, name: str) -> None:
    comment = comment_above(FILES[file], name)
    assert comment.startswith("# ")
    assert comment.endswith(".")


@each_service
def test_no_secret_is_a_variable_of_a_container(file: str, name: str) -> None:
    variables = SERVICES[file, name].get("environment", {})
    assert [v for v in variables if re.search("PASS|SECRET|TOKEN|_KEY", v) and not v.endswith("_FILE")] == []


def test_no_description_names_what_the_service_needs() -> None:
    """Compose would hash it differently with what else an `up` names; compose/order.yaml holds it instead.

    basic.yaml is left out: each `up` of it names all of its services.
    """
    needy = {place for place, service in SERVICES.items() if "depends_on" in service}
    assert needy == {("basic.yaml", "litellm")}
    assert set(YAML(typ="safe").load(render_order(ROOT, 3, backup=True).text)["services"]) >= {"litellm-3", "backup"}


def test_every_clock_is_utc() -> None:
    stack = {place: s for place, s in SERVICES.items() if place[0] != "basic.yaml"}
    assert {place for place, service in stack.items() if service.get("environment", {}).get("TZ") != "UTC"} == set()
