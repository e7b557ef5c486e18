"""nginx with gateway processes before the replicas: who gets a request, and who gets it if no process accepts one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.contract.nginx.conftest import StartEdge
from tests.contract.nginx.edge import Edge
from tests.support import plain
from tests.support.eventually import eventually
from tollgate.services.gateway.console.lists import parsed

pytestmark = pytest.mark.docker


@pytest.fixture
def edge(start_edge: StartEdge) -> Iterator[Edge]:
    with start_edge(replicas=1, gateways=2) as edge:
        yield edge


def ask(edge: Edge, times: int = 1) -> list[int]:
    with edge.client() as client:
        return [client.post("/v1/messages", json={"model": "m"}).status_code for _ in range(times)]


def served(edge: Edge) -> dict[str, int]:
    return {name: len(edge.posts(name)) for name in edge.replicas}


def test_processes_serve_first_then_replicas_and_drained_ones_nothing(edge: Edge) -> None:
    assert ask(edge, 8) == [200] * 8
    # Two workers choose by connections, and one that ends just now still counts: the halves need not be equal.
    first = served(edge)
    assert first["litellm-1"] == 0
    assert first["gateway-1"] > 0
    assert first["gateway-2"] > 0
    assert sum(first.values()) == 8

    edge.drain("gateway-2")
    edge.wait_for_rotation("litellm-1", "gateway-1")
    assert ask(edge, 4) == [200] * 4
    assert served(edge) == {**first, "gateway-1": first["gateway-1"] + 4}

    # The process dies: until nginx's list follows, each request finds a closed port and goes to the replica.
    edge.kill_replica("gateway-1")
    assert ask(edge, 6) == [200] * 6
    assert len(edge.posts("litellm-1")) == 6

    edge.put_back("gateway-2")
    eventually(lambda: edge.ip("gateway-2") + ":4100" in edge.in_rotation(), within=30)
    before = len(edge.posts("gateway-2"))
    assert ask(edge, 3) == [200] * 3
    assert len(edge.posts("gateway-2")) == before + 3


@pytest.mark.parametrize("path", ["/console", "/console/page.js", "/console/state", "/console/panels"])
def test_the_console_is_reached_through_the_admin_listener_only(edge: Edge, path: str) -> None:
    with edge.client() as client:
        assert client.get(path).status_code == 404
    headers = {"x-api-key": "sk-master"}
    answer = plain.get(f"{edge.admin_url}{path}?x=1", headers=headers).raise_for_status().json()
    assert (answer["replica"][:8], answer["path"], answer["query"]) == ("gateway-", path, "")
    assert dict(answer["headers"])["x-api-key"] == "sk-master"
    assert plain.post(f"{edge.admin_url}{path}", headers=headers).status_code == 405


def test_gateway_processes_read_the_list_that_nginx_uses(edge: Edge) -> None:
    """8081 is published nowhere; only the internal networks reach it."""
    read = "import urllib.request as r; print(r.urlopen('http://nginx:8081/in-use').read().decode())"
    status, output = edge.replicas["gateway-1"].get_wrapped_container().exec_run(["python3", "-c", read])
    assert status == 0, output
    servers = parsed(output.decode())
    assert servers == [{"name": name, "takes": True} for name in ("gateway-1", "gateway-2", "litellm-1")]
