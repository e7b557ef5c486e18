"""Replicas that stop, die, come back elsewhere or are drained: what clients notice, and that the watcher follows."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from tests.contract.nginx.conftest import StartEdge
from tests.contract.nginx.edge import Edge
from tests.support.eventually import eventually
from tests.support.ports import refuses

pytestmark = pytest.mark.docker

NO_WATCHER = {"entrypoint.sh": ('[ -n "$stopping" ] || refresh', ":")}


def answered_by(client: httpx.Client, requests: int = 6) -> set[str]:
    """The replicas that answered; any failed request is an error here."""
    answers = [client.post("/v1/messages", json={}) for _ in range(requests)]
    assert [answer.status_code for answer in answers] == [200] * requests
    return {answer.json()["replica"] for answer in answers}


def test_requests_are_spread_over_the_replicas(edge: Edge, client: httpx.Client) -> None:
    assert answered_by(client) == {"litellm-1", "litellm-2"}


def test_a_killed_replica_fails_no_request_and_comes_back(start_edge: StartEdge) -> None:
    with start_edge() as edge, edge.client() as client:
        edge.kill_replica("litellm-1")
        assert answered_by(client, 20) == {"litellm-2"}
        edge.remove_replica("litellm-1")
        edge.start_replica("litellm-1")
        edge.wait_for("litellm-1", "litellm-2")
        eventually(lambda: answered_by(client) == {"litellm-1", "litellm-2"}, within=30)


def kill_under_a_request(edge: Edge) -> list[httpx.Response]:
    """Two requests at once, one on each replica; litellm-1 holds its one and is killed over it. Both answers."""
    edge.tell("litellm-1", "hold")
    with edge.client(headers={"X-Test": "hold"}) as client, ThreadPoolExecutor(2) as pool:
        answers = [pool.submit(client.post, "/v1/messages", json={"n": number}) for number in range(2)]
        eventually(lambda: [len(edge.posts(name)) for name in edge.replicas] == [1, 1], within=30)
        edge.kill_replica("litellm-1")
        return [answer.result() for answer in answers]


def test_a_request_whose_replica_dies_reaches_no_other(start_edge: StartEdge) -> None:
    """It may be what killed the replica. The client is told to ask again, which is one try and not one a replica."""
    with start_edge() as edge:
        answers = kill_under_a_request(edge)
        assert sorted(answer.status_code for answer in answers) == [200, 529]
        [refused] = [answer for answer in answers if answer.status_code == 529]
        assert refused.headers["x-should-retry"] == "true"
        assert len(edge.posts("litellm-2")) == 1


def test_twin_with_stored_bodies_and_the_retry_it_reaches_the_next(start_edge: StartEdge) -> None:
    stored = (
        "proxy_request_buffering off;\n",
        "proxy_request_buffering on;\nproxy_next_upstream error timeout non_idempotent;\n",
    )
    once = ("proxy_next_upstream error timeout;\n", "")
    with start_edge(edits={"snippets/transport.conf": [stored, once]}) as edge:
        assert [answer.status_code for answer in kill_under_a_request(edge)] == [200, 200]
        assert len(edge.posts("litellm-2")) == 2


def test_a_stream_that_has_begun_is_not_begun_again(start_edge: StartEdge) -> None:
    with start_edge() as edge, edge.client(headers={"X-Test": "stream"}) as client:
        with client.stream("POST", "/v1/messages", json={}) as answer, pytest.raises(httpx.RemoteProtocolError):
            lines = answer.iter_lines()
            next(lines)
            [busy] = [name for name in edge.replicas if edge.posts(name)]
            edge.kill_replica(busy)
            list(lines)
        [other] = [name for name in edge.replicas if name != busy]
        assert edge.posts(other) == []


def test_with_no_replica_left_each_route_says_so_in_its_own_shape(start_edge: StartEdge) -> None:
    with start_edge() as edge, edge.client() as client:
        for name in tuple(edge.replicas):
            edge.kill_replica(name)
        anthropic = client.post("/v1/messages", json={})
        assert anthropic.status_code == 529
        assert anthropic.json()["type"] == "error"
        assert anthropic.json()["error"]["type"] == "overloaded_error"
        assert anthropic.json()["request_id"] == anthropic.headers["request-id"]
        assert anthropic.headers["x-should-retry"] == "true"
        openai = client.post("/v1/chat/completions", json={})
        assert openai.status_code == 503
        assert openai.json()["error"]["code"] == "gateway_unavailable"
        assert int(openai.headers["retry-after"]) >= 1
        health = client.get("/gateway/health")
        assert health.status_code == 503
        assert set(health.json()) == {"status", "proxy_backend", "version", "route"}
        assert health.json()["status"] == "unavailable"
        # Once the watcher believes it, nginx asks no dead address any more and starts again by itself later on.
        eventually(lambda: edge.in_rotation() == set(), within=60)
        assert client.post("/v1/messages", json={}).status_code == 529
        edge.remove_replica("litellm-2")
        edge.start_replica("litellm-2")
        edge.wait_for("litellm-2")
        assert answered_by(client) == {"litellm-2"}


def move(edge: Edge, name: str) -> None:
    """Recreate a replica at another address."""
    before = edge.ip(name)
    edge.remove_replica(name)
    edge.start_replica("litellm-9")  # takes the free address if Docker would hand it out again
    edge.start_replica(name)
    assert edge.ip(name) != before


def test_a_replica_recreated_at_another_address_is_found(start_edge: StartEdge) -> None:
    with start_edge(replicas=1) as edge, edge.client() as client:
        move(edge, "litellm-1")
        edge.wait_for("litellm-1")
        eventually(lambda: answered_by(client) == {"litellm-1"}, within=30)


def test_twin_without_the_watcher_it_is_not(start_edge: StartEdge) -> None:
    with start_edge(replicas=1, edits=NO_WATCHER) as edge:
        move(edge, "litellm-1")
        with pytest.raises(AssertionError):
            eventually(lambda: edge.in_rotation() == {f"{edge.ip('litellm-1')}:4000"}, within=6)


def test_nginx_starts_before_any_replica_and_finds_them_later(start_edge: StartEdge) -> None:
    with start_edge(replicas=1) as edge:
        edge.remove_replica("litellm-1")
        edge.nginx.get_wrapped_container().remove(force=True)
        edge.start_nginx()
        eventually(lambda: "replicas:" in edge.log(), within=30)
        with edge.client(transport=httpx.HTTPTransport(retries=5)) as client:
            assert client.post("/v1/messages", json={}).status_code == 529
            edge.start_replica("litellm-1")
            edge.wait_for("litellm-1")
            eventually(lambda: answered_by(client) == {"litellm-1"}, within=30)


# Between the list and the reload stands nginx's own check of the configuration, which takes long on a busy machine.
SLOW = 'mv "$upstreams.new" "$upstreams"; sleep 3'


def check_in_use_means_in_use(edge: Edge) -> None:
    with edge.client() as client:
        edge.drain("litellm-1")
        edge.wait_for("litellm-2")
        assert answered_by(client, 20) == {"litellm-2"}


def test_a_list_is_in_use_only_when_nginx_uses_it(start_edge: StartEdge) -> None:
    with start_edge(edits={"entrypoint.sh": ('mv "$upstreams.new" "$upstreams"', SLOW)}) as edge:
        check_in_use_means_in_use(edge)


def test_twin_a_list_said_to_be_in_use_when_it_is_written(start_edge: StartEdge) -> None:
    # So long that the wait and the requests are over before nginx loads the list, however slow they are.
    early = SLOW.replace("; sleep 3", '; cp "$upstreams" "$run/in-use.conf"; sleep 8')
    edits = {"entrypoint.sh": ('mv "$upstreams.new" "$upstreams"', early)}
    with start_edge(edits=edits) as edge, pytest.raises(AssertionError):
        check_in_use_means_in_use(edge)


@pytest.mark.parametrize("loss", ["gone", "empty"])
def test_a_missing_list_of_names_changes_nothing(start_edge: StartEdge, loss: str) -> None:
    with start_edge(replicas=1) as edge, edge.client() as client:
        lose_names(edge, loss)
        eventually(lambda: "cannot read /etc/nginx/tollgate/replicas" in edge.log(), within=30)
        # Rounds go by: the watcher still follows the names it knows.
        move(edge, "litellm-1")
        edge.wait_for("litellm-1")
        assert answered_by(client) == {"litellm-1"}
        assert edge.log().count("cannot read /etc/nginx/tollgate/replicas") == 1
        edge.start_replica("litellm-2")
        (edge.directory / "nginx" / "replicas").write_text("litellm-1\nlitellm-2\n")
        edge.wait_for("litellm-1", "litellm-2")


def test_twin_a_missing_list_of_names_would_end_the_container(start_edge: StartEdge) -> None:
    edit = ('if given=$(cat "$conf/replicas" 2>/dev/null) &&', 'given=$(cat "$conf/replicas"); if')
    with start_edge(replicas=1, edits={"entrypoint.sh": edit}) as edge:
        lose_names(edge, "gone")
        assert edge.nginx.get_wrapped_container().wait(timeout=60)["StatusCode"] != 0


def lose_names(edge: Edge, loss: str) -> None:
    file = edge.directory / "nginx" / "replicas"
    file.unlink()
    if loss == "empty":
        file.touch()


def test_a_drain_file_takes_a_replica_out_without_failing_a_request(start_edge: StartEdge) -> None:
    with start_edge() as edge, edge.client() as client:
        edge.drain("litellm-1")
        edge.wait_for("litellm-2")
        eventually(lambda: answered_by(client) == {"litellm-2"}, within=30)
        edge.put_back("litellm-1")
        edge.wait_for("litellm-1", "litellm-2")
        eventually(lambda: answered_by(client) == {"litellm-1", "litellm-2"}, within=30)


def test_a_stream_outlives_a_reload(start_edge: StartEdge) -> None:
    with (
        start_edge() as edge,
        edge.client(headers={"X-Test": "stream"}) as client,
        client.stream("POST", "/v1/messages", json={}) as answer,
    ):
        lines = answer.iter_lines()
        next(lines)
        [busy] = [name for name in edge.replicas if edge.posts(name)]
        reloads = edge.log().count("reloaded; replicas:")
        edge.drain(busy)
        eventually(lambda: edge.log().count("reloaded; replicas:") > reloads, within=30)
        edge.tell(busy, "release")
        assert "event: message_stop" in list(lines)


def test_a_graceful_stop_lets_a_stream_end(start_edge: StartEdge) -> None:
    with start_edge(replicas=1) as edge, edge.client(headers={"X-Test": "stream"}) as client:
        with client.stream("POST", "/v1/messages", json={}) as answer:
            lines = answer.iter_lines()
            next(lines)
            nginx = edge.nginx.get_wrapped_container()
            nginx.kill(signal="SIGQUIT")
            eventually(lambda: "finishing the running requests" in edge.log(), within=30)
            # It says so first and tells nginx then.
            eventually(lambda: refuses(f"{edge.url}/gateway/health"), within=30)
            edge.tell("litellm-1", "release")
            assert "event: message_stop" in list(lines)
        assert nginx.wait(timeout=60)["StatusCode"] == 0


def test_the_container_ends_when_nginx_does(start_edge: StartEdge) -> None:
    with start_edge(replicas=1) as edge:
        edge.run("sh", "-c", "kill -9 $(cat /run/nginx/nginx.pid)")
        assert edge.nginx.get_wrapped_container().wait(timeout=60)["StatusCode"] != 0
        eventually(lambda: "nginx ended by itself" in edge.log(), within=20)


def test_a_configuration_nginx_refuses_leaves_the_old_one_at_work(start_edge: StartEdge) -> None:
    with start_edge(replicas=1) as edge, edge.client() as client:
        file = edge.directory / "nginx" / "nginx.conf"
        file.write_text(file.read_text().replace("least_conn;", "least_cnn;"))
        edge.nginx.get_wrapped_container().kill(signal="SIGHUP")
        eventually(lambda: "kept the old configuration" in edge.log(), within=30)
        assert "least_cnn" in edge.log()
        assert answered_by(client) == {"litellm-1"}
