"""`addresses` lists the published services that run, and no others."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.site import new_home
from tollgate.cli.addresses import addresses
from tollgate.stack.containers.compose import Compose
from tollgate.stack.deployment import Deployment


@pytest.mark.parametrize("grafana", [False, True], ids=["without grafana", "with grafana"])
def test_only_running_services_have_an_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, grafana: bool) -> None:
    live = ["nginx", "prometheus", "redis", *(["grafana"] if grafana else [])]
    monkeypatch.setattr(Compose, "running", lambda _: dict.fromkeys(live, ("id", "then")))
    monkeypatch.setattr(Compose, "address", lambda _, service, port: (f"{service}.example", port))
    assert addresses(Deployment.of(new_home(tmp_path / "home"))) == {
        "gateway": "http://nginx.example:4000",
        "admin": "http://nginx.example:4001",
        "prometheus": "http://prometheus.example:9090",
        **({"grafana": "http://grafana.example:3000"} if grafana else {}),
    }


@pytest.mark.parametrize("services", [["nginx", "gateway-1"], ["nginx"], ["gateway-1"]])
def test_the_console_has_one_while_nginx_and_a_gateway_process_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, services: list[str]
) -> None:
    monkeypatch.setattr(Compose, "running", lambda _: dict.fromkeys(services, ("id", "then")))
    monkeypatch.setattr(Compose, "address", lambda _, service, port: (f"{service}.example", port))
    found = addresses(Deployment.of(new_home(tmp_path / "home"))).get("console")
    assert found == ("http://nginx.example:4001/console" if len(services) == 2 else None)


def test_twin_without_containers_docker_is_not_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Compose, "running", lambda _: {})
    monkeypatch.setattr(Compose, "address", lambda *_: pytest.fail("asked"))
    assert addresses(Deployment.of(new_home(tmp_path / "home"))) == {}
