"""The management client: its requests, its retries and its errors."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tollgate.config.secret import Secret
from tollgate.errors import TollgateError
from tollgate.litellm import client as client_module
from tollgate.litellm.client import ATTEMPTS, Client
from tollgate.reconcile.desired import key_hash

MASTER = Secret("sk-master-0123456789abcdef0123456789")
TENANT = Secret("sk-tenant-0123456789abcdef0123456789")
Handler = Callable[[httpx.Request], httpx.Response]


@pytest.fixture(autouse=True)
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    taken: list[float] = []
    monkeypatch.setattr(client_module.time, "sleep", taken.append)
    return taken


def client(handler: Handler) -> Client:
    return Client("http://127.0.0.1:4001", MASTER, httpx.MockTransport(handler))


def test_the_master_key_is_in_the_header_and_no_key_is_in_a_url() -> None:
    seen: list[httpx.Request] = []

    def handler(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, json={"info": {}})

    litellm = client(handler)
    litellm.create_key(TENANT, {})
    litellm.find_key(key_hash(TENANT))

    assert [request.headers["authorization"] for request in seen] == [f"Bearer {MASTER.reveal()}"] * 2
    assert all("sk-" not in str(request.url) for request in seen)
    assert json.loads(seen[0].content)["key"] == TENANT.reveal()


def test_a_missing_object_returns_no_object() -> None:
    litellm = client(lambda request: httpx.Response(404, json={"error": {"message": "Team not found"}}))

    assert litellm.find_team("acme") is None
    assert litellm.find_key("0" * 64) is None


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"error": {"message": "Key with alias 'x' exists", "code": "400"}}, "Key with alias 'x' exists"),
        ({"detail": {"error": "no"}}, "no"),
        ({"detail": "plain"}, "plain"),
        ({"error": {"message": f"Received {TENANT.reveal()}"}}, "Received sk-***"),
    ],
)
def test_a_refusal_has_the_call_the_status_and_litellms_message(body: Any, words: str) -> None:
    litellm = client(lambda request: httpx.Response(400, json=body))

    with pytest.raises(TollgateError) as refused:
        litellm.update_team("acme", {"rpm_limit": 1})

    assert refused.value.message == f"LiteLLM: POST /team/update: 400: {words}"
    assert refused.value.hint


def test_an_answer_that_is_not_json_is_shown_as_it_is() -> None:
    litellm = client(lambda request: httpx.Response(500, text="<html>oops</html>"))

    with pytest.raises(TollgateError, match="500: <html>oops</html>"):
        litellm.update_team("acme", {})


def test_calls_to_a_busy_gateway_have_a_limited_number_of_retries(pauses: list[float]) -> None:
    calls: list[str] = []

    def handler(request: httpx.Request) -> httpx.Response:
        calls.append(request.url.path)
        return httpx.Response(503, json={"error": {"message": "no_db_connection"}})

    with pytest.raises(TollgateError, match="503"):
        client(handler).update_team("acme", {})

    assert len(calls) == ATTEMPTS
    assert pauses == sorted(pauses) and len(pauses) == ATTEMPTS - 1


def test_creating_a_team_is_retried_only_if_it_cannot_have_arrived() -> None:
    answers: list[Any] = [httpx.ConnectError("refused"), httpx.Response(503, json={})]
    with pytest.raises(TollgateError, match="/team/new: 503"):
        client(replay(answers)).create_team({"team_id": "acme"})
    assert answers == []

    answers = [httpx.ReadError("reset"), httpx.Response(200, json={})]
    with pytest.raises(TollgateError, match="/team/new: no answer: reset"):
        client(replay(answers)).create_team({"team_id": "acme"})
    assert len(answers) == 1


def test_a_repeatable_call_is_retried_after_a_lost_connection() -> None:
    answers: list[Any] = [httpx.ReadError("reset"), httpx.Response(502, text=""), httpx.Response(200, json={})]

    client(replay(answers)).update_team("acme", {})

    assert answers == []


def replay(answers: list[Any]) -> Handler:
    def handler(request: httpx.Request) -> httpx.Response:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        assert isinstance(answer, httpx.Response)
        return answer

    return handler


def test_lists_are_read_to_the_last_page() -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        page = int(request.url.params["page"])
        return httpx.Response(200, json={"teams": [{"team_id": f"t{page}"}], "total_pages": 3})

    assert [row["team_id"] for row in client(handler).list_teams()] == ["t1", "t2", "t3"]


def test_an_empty_list_is_one_call() -> None:
    litellm = client(replay([httpx.Response(200, json={"keys": [], "total_pages": 0})]))

    assert list(litellm.list_keys()) == []


@pytest.mark.parametrize(("status", "answers"), [(200, True), (503, False)])
def test_health(status: int, answers: bool) -> None:
    litellm = client(lambda request: httpx.Response(status, json={}))

    assert (litellm.alive(), litellm.ready()) == (answers, answers)
