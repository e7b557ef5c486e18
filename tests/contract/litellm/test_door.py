"""The guard with a real LiteLLM, against attacks that stopped replicas, avoided the ledger or left rows forever."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from tests.contract.litellm.catalogue import forget, recorded
from tests.contract.litellm.gateway import METRICS_KEY, Gateway
from tests.support import plain
from tests.support.eventually import eventually
from tollgate.config.secret import Secret

pytestmark = pytest.mark.docker

Handmade = Callable[..., Secret]
PATHS = ("/v1/messages", "/v1/chat/completions")


@pytest.fixture
def tenant(handmade: Handmade) -> Secret:
    return handmade()


@pytest.fixture(autouse=True)
def _nothing_recorded(running: Gateway) -> None:
    forget(running)


def send(gateway: Gateway, body: bytes, key: str, path: str = "/v1/chat/completions") -> httpx.Response:
    headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
    return plain.post(gateway.url + path, content=body, headers=headers, timeout=60, trust_env=False)


def rows(gateway: Gateway) -> list[int]:
    # LiteLLM writes refusals of known keys whenever it likes, also those of earlier tests; a stranger's has no team.
    tables = (
        '"LiteLLM_SpendLogs"',
        """"LiteLLM_DailyRequestErrors" WHERE team_id = ''""",
        '"LiteLLM_ErrorLogs"',
        '"LiteLLM_DailyTeamSpend"',
    )
    return [int(gateway.sql(f"SELECT count(*) FROM {table}")[0][0]) for table in tables]  # noqa: S608  our own names


def raw(gateway: Gateway, head: str, body: bytes) -> bytes:
    """The answer to a request that declares 30 MB but sends only `body`."""
    host, port = gateway.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        connection.sendall(f"{head}\r\nHost: x\r\nContent-Length: 30000000\r\n\r\n".encode() + body)
        answer = b""
        while not answer.rstrip().endswith(b"}"):
            piece = connection.recv(65536)
            assert piece, f"the connection ended after {answer!r}"
            answer += piece
        return answer


@pytest.mark.parametrize("path", [*PATHS, "/key/generate", "/v1/responses", "/nothing/here"])
def test_an_unknown_key_is_answered_before_the_body_arrives(running: Gateway, path: str) -> None:
    began = time.monotonic()
    answer = raw(running, f"POST {path} HTTP/1.1\r\nAuthorization: Bearer sk-invented-by-me", b"{" * 1000)
    assert answer.startswith((b"HTTP/1.1 401", b"HTTP/1.1 429"))
    assert time.monotonic() - began < 20, "it did not wait for 30 MB"


def test_invented_keys_leave_no_row_and_are_slowed_down(running: Gateway, tenant: Secret) -> None:
    assert running.ask(tenant).status_code == 200
    team = tenant.reveal().split("-")[1]
    query = """SELECT count(*) FROM "LiteLLM_SpendLogs" WHERE team_id = %s"""
    # LiteLLM books in the order of the requests, so all of earlier tests are booked with this one.
    eventually(lambda: running.sql(query, team)[0][0] == 1, within=60)
    booked = rows(running)

    def invent(number: int) -> int:
        return send(running, b'{"model": "test-model", "messages": []}', f"sk-invented-{number}").status_code

    with ThreadPoolExecutor(20) as pool:
        statuses = list(pool.map(invent, range(200)))
    assert set(statuses) == {401, 429}
    assert running.ask(tenant).status_code == 200, "the same address, with a key"
    eventually(lambda: rows(running)[0] > booked[0], within=60)
    # LiteLLM writes rows every two seconds: by now a row of a refusal would be there.
    assert rows(running)[1:3] == booked[1:3]
    assert rows(running)[0] == booked[0] + 1


@pytest.mark.parametrize("piece", ["{}", "[]", '{"role":"user","content":"x"}'])
def test_a_body_of_millions_of_values_is_refused_unparsed(running: Gateway, tenant: Secret, piece: str) -> None:
    count = 28_000_000 // (len(piece) + 1)
    body = b'{"model":"test-model","messages":[' + ",".join([piece] * count).encode() + b"]}"
    refused = send(running, body, tenant.reveal())
    assert refused.status_code == 400
    assert "values" in refused.json()["error"]["message"]
    assert running.ask(tenant).status_code == 200
    assert recorded(running) != []


def test_a_body_above_the_limit_is_a_413(running: Gateway, tenant: Secret) -> None:
    body = b'{"model":"test-model","messages":[],"x":"' + b"x" * (33 * 1024 * 1024) + b'"}'
    assert send(running, body, tenant.reveal()).status_code == 413


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "model",
    [
        ",".join(["test-model"] * 10),
        "test-model,another-name",
        "x" * 5_000_000,
        "test-model\x00",
        ["test-model"],
        None,
    ],
    ids=["ten", "two", "5 MB", "NUL", "list", "none"],
)
def test_a_model_that_is_not_one_name_reaches_no_provider(
    running: Gateway, tenant: Secret, path: str, model: Any
) -> None:
    answer = running.ask(tenant, path=path, model=model)
    assert answer.status_code == 400
    assert "model" in answer.text
    assert len(answer.text) < 1000
    assert recorded(running) == []


@pytest.mark.parametrize("model", ["nobody-serves-this", "test-model:of-nobody", "x" * 100])
def test_an_unknown_name_leaves_no_label_and_no_row(running: Gateway, tenant: Secret, model: str) -> None:
    answer = running.ask(tenant, model=model)
    assert answer.status_code == 403
    assert "has no model" in answer.text
    key = {"authorization": f"Bearer {METRICS_KEY}"}
    metrics = plain.get(f"{running.url}/metrics/", headers=key, timeout=30, trust_env=False)
    assert metrics.status_code == 200
    assert f'"{model}"' not in metrics.text


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("no-log", True),
        ("api_key", "sk-mine"),
        ("api_base", "http://127.0.0.1:1"),
        ("timeout", 0.001),
        ("disable_fallbacks", True),
        ("input_cost_per_token", 0),
        ("mock_response", "free"),
        ("litellm_metadata", {"tags": ["x"]}),
        ("extra_body", {"n": 10}),
        ("cache", {"no-cache": True}),
        ("user_config", {}),
        ("langfuse_host", "http://127.0.0.1"),
    ],
)
@pytest.mark.parametrize("path", PATHS)
def test_a_litellm_option_is_refused_by_name(
    running: Gateway, tenant: Secret, path: str, name: str, value: Any
) -> None:
    answer = running.ask(tenant, path=path, **{name: value})
    assert answer.status_code == 400
    assert name in answer.json()["error"]["message"]
    assert recorded(running) == []


def test_twin_an_unknown_field_reaches_a_native_upstream(running: Gateway, tenant: Secret) -> None:
    answer = running.ask(tenant, next_weeks_field={"a": [1]}, fallbacks=[{"model": "claude-opus-5-5"}])
    assert answer.status_code == 200
    (sent,) = recorded(running)
    assert sent["body"]["next_weeks_field"] == {"a": [1]}
    assert "fallbacks" not in sent["body"]


def together(gateway: Gateway, key: Secret, count: int, **fields: Any) -> list[int]:
    with ThreadPoolExecutor(count) as pool:
        asked = [
            pool.submit(gateway.ask, key, path="/v1/chat/completions", text="[[tokens=2000 latency=10]] go", **fields)
            for _ in range(count)
        ]
        return [answer.result().status_code for answer in asked]


def test_the_largest_of_two_fields_is_reserved(running: Gateway, handmade: Handmade) -> None:
    """2,000 tokens cost one cent, and the budget is one cent. All run at the same time, so only
    reservations can refuse them.

    When LiteLLM reserved the smaller field, all twenty passed.
    """
    key = handmade(key={"max_budget": 0.01, "budget_duration": "1d"})
    passed = together(running, key, 20, max_tokens=2000, max_completion_tokens=1)
    assert passed.count(200) <= 2
    assert set(passed) <= {200, 429}


@pytest.mark.parametrize("value", [-100_000, 0, 1.5, "2000", True])
@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens", "n"])
def test_a_number_below_one_is_refused(running: Gateway, tenant: Secret, name: str, value: Any) -> None:
    answer = running.ask(tenant, path="/v1/chat/completions", **{name: value})
    assert answer.status_code == 400
    assert name in answer.text
    assert recorded(running) == []


@pytest.mark.parametrize(
    "more",
    [
        {"metadata": {"session_id": "a\x00b"}},
        {"metadata": {"session_id": "x" * 5_000_000}},
        {"metadata": {"spend_logs_metadata": {"x": "y"}}},
        {"user": "a\x00b"},
        {"user": "x" * 5_000_000},
    ],
    ids=lambda more: json.dumps(more)[:40],
)
@pytest.mark.parametrize("path", PATHS)
def test_ids_must_be_short_and_without_nul(running: Gateway, tenant: Secret, path: str, more: dict[str, Any]) -> None:
    assert running.ask(tenant, path=path, **more).status_code == 400


def test_a_nul_in_a_conversation_is_answered_and_stops_no_writer(running: Gateway, tenant: Secret) -> None:
    """The NUL is in the error of an unreachable target, and in an answer that LiteLLM writes to the ledger."""
    began = refused_by_postgres(running)
    for path in PATHS:
        assert running.ask(tenant, path=path, text="one\x00two").status_code == 200
        assert running.ask(tenant, path=path, text="one\x00two", model="dead-model").status_code >= 400
    count = rows(running)[0]
    assert running.ask(tenant).status_code == 200
    eventually(lambda: rows(running)[0] > count, within=60)
    assert refused_by_postgres(running) == began


def refused_by_postgres(gateway: Gateway) -> int:
    """The number of statements that Postgres rolled back. LiteLLM retries a failed batch every few seconds."""
    return int(gateway.sql("SELECT xact_rollback FROM pg_stat_database WHERE datname = 'litellm'")[0][0])


@pytest.mark.parametrize("first", ["Bearer null", "Bearer sk-ant-oat01-of-somebody", "Basic eA=="])
def test_the_key_can_be_in_either_header(running: Gateway, tenant: Secret, first: str) -> None:
    body = {"model": "test-model", "max_tokens": 5, "messages": [{"role": "user", "content": "hi"}]}
    headers = {"authorization": first, "x-api-key": tenant.reveal()}
    answer = plain.post(f"{running.url}/v1/messages", json=body, headers=headers, timeout=60, trust_env=False)
    assert answer.status_code == 200


def test_a_blocked_key_is_answered_before_its_body(running: Gateway, handmade: Handmade) -> None:
    key = handmade(key={"blocked": True})
    answer = raw(running, f"POST /v1/messages HTTP/1.1\r\nX-Api-Key: {key.reveal()}", b"x" * 1000)
    assert answer.startswith(b"HTTP/1.1 401")
    assert b"was revoked" in answer


@pytest.fixture(scope="module", autouse=True)
def _alive(running: Gateway) -> Iterator[None]:
    """No attack stopped the replica: the first process still runs."""
    yield
    container = running.containers["litellm-1"].get_wrapped_container()
    container.reload()
    assert container.attrs["RestartCount"] == 0
    assert container.status == "running"
