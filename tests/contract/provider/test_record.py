"""The provider beyond the SDKs: its record, its raw answers, its behaviour under load."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import json
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.contract.provider.target import Target, embedded, unclean
from tests.support import plain
from tests.support.eventually import eventually


def chat(target: Target, words: str, **options: Any) -> dict[str, Any]:
    return {"model": target.model, "max_tokens": 900, "messages": [{"role": "user", "content": words}], **options}


def test_a_request_is_recorded_without_its_key(direct: Target) -> None:
    body = chat(direct, "remember me [[tokens=9]]")
    headers = {"x-api-key": "sk-second", "x-team": "blue"}
    answer = direct.post("/v1/messages?beta=true&api_key=sk-third", body, **headers)
    entry = direct.recorded(answer.headers["request-id"])
    assert entry is not None
    assert (entry["method"], entry["path"], entry["status"]) == ("POST", "/v1/messages", 200)
    assert entry["body"] == body
    assert entry["dials"] == {"tokens": 9}
    assert (entry["tokens_sent"], entry["ended"], entry["client_gone_at"]) == (9, "complete", None)
    seen = dict(map(tuple, entry["headers"]))
    assert seen["x-team"] == "blue"
    assert seen["authorization"] == "masked:" + hashlib.sha256(direct.key.encode()).hexdigest()[:12]
    assert dict(map(tuple, entry["query"]))["beta"] == "true"
    everything = json.dumps(entry)
    assert not any(secret in everything for secret in (direct.key, "sk-second", "sk-third"))


def test_a_disconnect_of_the_client_is_recorded(direct: Target) -> None:
    body = chat(direct, "going [[hang=after:6]]", stream=True)
    headers = {"x-api-key": direct.key}
    with plain.stream("POST", f"{direct.url}/v1/messages", json=body, headers=headers, timeout=30) as answer:
        pieces = (line for line in answer.iter_lines() if "text_delta" in line)
        assert len(list(itertools.islice(pieces, 6))) == 6
        request_id = answer.headers["request-id"]
        running = direct.recorded(request_id)
        assert running is not None
        assert running["ended"] is None

    def gone() -> dict[str, Any] | None:
        """The provider recorded the disconnect"""
        entry = direct.recorded(request_id)
        return entry if entry and entry["client_gone_at"] else None

    entry = eventually(gone, within=30)
    assert (entry["ended"], entry["tokens_sent"]) == ("client gone", 6)


def test_a_disconnect_during_latency_is_recorded(direct: Target) -> None:
    with pytest.raises(httpx.ReadTimeout):
        plain.post(
            f"{direct.url}/v1/chat/completions",
            json=chat(direct, "leaving-early [[latency=600]]"),
            headers={"x-api-key": direct.key},
            timeout=3,
        )

    def gone() -> bool:
        """The provider recorded the disconnect"""
        entries = plain.get(f"{direct.url}/_recorded").json()["requests"]
        mine = [entry for entry in entries if "leaving-early" in json.dumps(entry["body"])]
        return [(entry["ended"], entry["tokens_sent"]) for entry in mine] == [("client gone", 0)]

    eventually(gone, within=30)


def test_a_drop_is_recorded_as_the_providers(direct: Target) -> None:
    headers = {"x-api-key": direct.key}
    body = chat(direct, "[[drop=after:4]]", stream=True)
    with (
        pytest.raises(httpx.TransportError),
        plain.stream("POST", f"{direct.url}/v1/messages", json=body, headers=headers, timeout=30) as answer,
    ):
        answer.read()
    entry = direct.recorded(answer.headers["request-id"])
    assert entry is not None
    assert (entry["ended"], entry["tokens_sent"], entry["client_gone_at"]) == ("dropped", 4, None)


def test_the_record_is_limited_filtered_and_cleared(direct: Target) -> None:
    def recorded(**params: str) -> list[dict[str, Any]]:
        return plain.get(f"{direct.url}/_recorded", params=params).raise_for_status().json()["requests"]

    for words in ("one", "two", "three"):
        direct.post("/v1/messages", chat(direct, words))
    direct.post("/v1/messages/count_tokens", chat(direct, "count"))
    assert len(recorded(limit="2")) == 2
    latest = recorded(limit="2", path="/v1/messages")
    assert [entry["body"]["messages"][0]["content"] for entry in latest] == ["two", "three"]
    assert plain.get(f"{direct.url}/_recorded", params={"limit": "many"}).status_code == 400
    assert plain.delete(f"{direct.url}/_recorded").json()["deleted"] >= 4
    assert recorded() == []


@pytest.mark.parametrize("path", ["/v1/messages", "/v1/chat/completions"])
@pytest.mark.parametrize("stream", [False, True])
def test_the_same_request_gets_the_same_bytes_except_its_id(direct: Target, path: str, stream: bool) -> None:
    def answer() -> str:
        response = direct.post(path, chat(direct, "again", stream=stream))
        name = "request-id" if "request-id" in response.headers else "x-request-id"
        return response.text.replace(response.headers[name].removeprefix("req_"), "ID")

    assert answer() == answer()


def test_wrong_paths_and_methods_are_refused_and_recorded(direct: Target) -> None:
    lost = direct.post("/v1/v1/messages", {}, **{"anthropic-version": "2023-06-01"})
    assert lost.json()["error"] == {"type": "not_found_error", "message": "Invalid URL (POST /v1/v1/messages)"}
    assert direct.recorded(lost.headers["request-id"]) is not None
    wrong = plain.get(f"{direct.url}/v1/messages")
    assert (wrong.status_code, wrong.headers["allow"]) == (405, "POST")
    assert plain.head(f"{direct.url}/api/hello").status_code == 404


def test_health_and_its_check(direct: Target) -> None:
    assert plain.get(f"{direct.url}/_health").json()["status"] == "ok"
    command = [sys.executable, "-m", "tollgate.services.provider", "--check", "--port"]
    assert subprocess.run([*command, direct.url.rpartition(":")[2]], check=False).returncode == 0
    dead = subprocess.run([*command, "1"], check=False, capture_output=True, text=True)
    assert dead.returncode == 1
    assert dead.stderr.startswith("error: the provider on port 1")


def test_many_streams_at_once_all_end_well(direct: Target) -> None:
    """200 streams all wait in the middle. With threads or a blocked loop they could not all finish."""

    async def stream(client: httpx.AsyncClient, number: int) -> int:
        body = chat(direct, f"stream {number} [[tokens=20 gap=after:5:2]]", stream=True)
        answer = await client.post("/v1/messages", json=body, headers={"x-api-key": direct.key})
        return answer.text.count("text_delta")

    async def all_of_them() -> list[int]:
        limits = httpx.Limits(max_connections=200)
        async with plain.AsyncClient(base_url=direct.url, limits=limits, timeout=120) as client:
            return await asyncio.gather(*(stream(client, number) for number in range(200)))

    assert asyncio.run(all_of_them()) == [20] * 200


def test_a_stop_ends_hanging_requests_without_a_traceback(tmp_path: Path) -> None:
    log = tmp_path / "provider.log"
    with ExitStack() as client:
        with embedded(log) as running:
            headers = {"x-api-key": running.key}
            body = chat(running, "[[hang=after:2]]", stream=True)
            request = plain.stream("POST", f"{running.url}/v1/messages", json=body, headers=headers, timeout=30)
            pieces = (line for line in client.enter_context(request).iter_lines() if "text_delta" in line)
            next(pieces)
        with pytest.raises(httpx.TransportError):
            list(pieces)
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert [line["ended"] for line in lines if line["event"] == "request"] == ["stopped"]
    assert not any("error" in line for line in lines)


def test_twin_the_log_check_finds_forbidden_lines() -> None:
    good = '{"level": "info", "event": "request", "path": "/v1/messages"}'
    bad = [
        "Traceback (most recent call last):",
        '{"level": "error", "event": "Exception in ASGI application"}',
        '{"level": "info", "event": "request", "path": "/v1/messages?key=x"}',
        '{"level": "info", "event": "sk-me"}',
    ]
    assert unclean("\n".join([good, *bad]), "sk-me") == bad
