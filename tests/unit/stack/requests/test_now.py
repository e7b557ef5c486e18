"""One look: who is listed, in which order, and what happens when a part does not answer."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.scripted_prometheus import Series, scripted_prometheus
from tollgate.config.env.settings import parse
from tollgate.errors import TollgateError
from tollgate.site import Site
from tollgate.stack.containers import readiness
from tollgate.stack.containers.compose import Compose
from tollgate.stack.containers.container import Container
from tollgate.stack.deployment import Deployment, Port
from tollgate.stack.requests.live import Ended, Minute, Row
from tollgate.stack.requests.now import Looker

ONE = Ended(1000.0, "gateway-1", "acme", "fast", False, 60, 1.0, 100)
LEDGER = {"waiting": 0, "lag_s": 0.0, "failing": "", "unwritten": 0, "set_aside": 0}
HEALTH = {"status": "ok", "route": "direct", "running": 2, "listening": True, "redis": True, "ledger": LEDGER}
STUB_STATUS = "Active connections: 42 \nserver accepts handled requests\n 9 9 9 \n"


class Stack(Compose):
    """Two gateway processes, of which the second is not ready, and nginx, which answers `nginx`."""

    nginx: str | None

    def containers(self) -> list[Container]:
        states = {"gateway-1": "healthy", "gateway-2": "unhealthy", "nginx": "healthy"}
        return [Container(name, name, "a", "running", state, 0, "") for name, state in states.items()]

    def ask(self, *arguments: str, timeout: float = 60, given: str = "") -> str:
        if self.nginx is None:
            raise TollgateError("it is not running", "run `make start`")
        return self.nginx


@pytest.fixture(autouse=True)
def _processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readiness, "docker", lambda *_, **__: json.dumps(HEALTH))


class Here(Deployment):
    """Its Prometheus is at `prometheus`."""

    prometheus: str

    def url(self, port: Port, scheme: str = "http") -> str:
        return self.prometheus


def looker(
    minute: Minute, prometheus: str = "http://127.0.0.1:9", *, nginx: str | None = STUB_STATUS, gateways: bool = True
) -> Looker:
    compose = Stack("test", (), Path("/none"))
    object.__setattr__(compose, "nginx", nginx)
    deployment = Here(Site.here(), parse("", Path(".env")), compose)
    object.__setattr__(deployment, "prometheus", prometheus)
    services = ["nginx", *(["gateway-1", "gateway-2"] if gateways else [])]
    return Looker(deployment, minute, services, clock=lambda: 1010.0)


def minute(*requests: Ended) -> Minute:
    made = Minute()
    for request in requests:
        made.add(request)
    return made


def series(query: str) -> Series:
    """LiteLLM served `beta`: 9 requests, 5 tokens, and 2 USD an hour. Nobody asked `idle` or a replica anything."""
    if query.startswith("up{"):
        return [({"replica": f"litellm-{number}"}, "1") for number in (10, 2, 1)]
    values = {"total_requests": "9", "total_tokens": "5", "spend": "2"}
    value = next((value for name, value in values.items() if name in query and "status_code" not in query), None)
    if "(team)" not in query or value is None:
        return []
    return [({"team": "beta"}, value), ({"team": "idle"}, "0")]


BETA = Row("beta", requests_s=9, tokens_s=5, usd_h=2)


def test_the_busiest_tenant_is_first_and_litellms_money_is_added() -> None:
    requests = [ONE, ONE, replace(ONE, tenant="beta", tokens=0, usd=0.0)]
    with scripted_prometheus(series) as prometheus:
        look = looker(minute(*requests), prometheus).look()
    assert [row.name for row in look.tenants] == ["acme", "beta"]
    # A gateway process has logged the request that LiteLLM counts too.
    assert look.tenants[1] == Row("beta", 1 / 60, 0, 5, 2, 100)
    assert look.problems == []


def test_without_gateway_processes_litellm_counts_everything() -> None:
    with scripted_prometheus(series) as prometheus:
        look = looker(minute(), prometheus, gateways=False).look()
    assert list(look.tenants) == [BETA]
    assert look.gateways == []
    assert [row.name for row in look.replicas] == ["litellm-1", "litellm-2", "litellm-10"]


def test_each_process_is_listed_with_what_it_works_on_if_it_is_ready() -> None:
    look = looker(minute(ONE)).look()
    assert [(row.name, row.running) for row in look.gateways] == [("gateway-1", 2), ("gateway-2", None)]
    assert look.connections == 42


def test_parts_that_do_not_answer_are_named_and_the_rest_is_shown() -> None:
    look = looker(minute(ONE), nginx=None).look()
    assert [row.name for row in look.tenants] == ["acme"]
    assert look.connections is None
    assert [problem.partition(":")[0] for problem in look.problems] == [
        "no figures of LiteLLM",
        "nginx does not answer",
    ]
