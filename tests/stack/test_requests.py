"""A tenant gets answers on both routes and from every replica, and streams arrive as they are made."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator

import anthropic
import httpx
import openai
import pytest

from tests.stack.replicas import REPLICAS
from tests.stack.requests import MODEL, WEATHER, chat, message
from tests.support import plain
from tests.support.eventually import eventually
from tests.support.stack import Stack


@pytest.mark.parametrize("replica", REPLICAS)
def test_each_replica_answers_a_tenant(stack: Stack, replica: str) -> None:
    """Past nginx, from inside the network: one replica that fails must not hide behind two that work."""
    body = json.dumps(message())
    code = f"""
import json, urllib.request as r
request = r.Request("http://{replica}:4000/v1/messages", {body!r}.encode(),
    {{"x-api-key": "{stack.key("example")}", "content-type": "application/json"}})
print(r.urlopen(request, timeout=60).read().decode())
"""
    answer = json.loads(stack.python("provider", code))
    assert answer["type"] == "message"
    assert answer["content"][0]["text"]
    assert answer["usage"]["output_tokens"] > 0


def test_requests_spread_over_what_serves_them(stack: Stack, gateway: httpx.Client) -> None:
    """Over the gateway processes; without any, over the replicas."""
    for _ in range(12):
        assert gateway.post("/v1/messages", json=message()).status_code == 200
    access = [json.loads(line) for line in stack.compose.tail("nginx", 60) if line.startswith("{")]
    used = {row["upstream_addr"] for row in access if row["uri"] == "/v1/messages" and row["status"] == "200"}
    serving = [name for name in stack.compose.running() if name.startswith("gateway-")] or REPLICAS
    assert len(used) == len(serving), f"expected {serving} in nginx's log, found {used}"


def test_what_is_handed_over_spreads_over_the_replicas(stack: Stack) -> None:
    before = {replica: answered(stack, replica) for replica in REPLICAS}
    headers = {"Authorization": f"Bearer {stack.key('contractor')}"}
    with plain.Client(base_url=stack.url, headers=headers, timeout=60, trust_env=False) as client:
        for _ in range(12):
            assert client.post("/v1/messages", json=message() | {"model": "by-litellm"}).status_code == 200
    for replica in REPLICAS:
        eventually(lambda replica=replica: answered(stack, replica) > before[replica], within=20)  # type: ignore[misc]


def answered(stack: Stack, replica: str) -> float:
    """The requests that a replica says it has served."""
    code = """
import pathlib, urllib.request as r
key = pathlib.Path("/run/secrets/metrics_key").read_text().strip()
asked = r.Request("http://127.0.0.1:4000/metrics/", headers={"Authorization": "Bearer " + key})
print(r.urlopen(asked).read().decode())
"""
    lines = stack.python(replica, code).splitlines()
    name = "litellm_proxy_total_requests_metric_total{"
    return sum(
        float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(name) and 'model="by-litellm"' in line
    )


def pieces(client: httpx.Client, path: str, body: dict[str, object]) -> Iterator[str]:
    with client.stream("POST", path, json=body) as answer:
        assert answer.status_code == 200, answer.read()
        assert answer.headers["content-type"].startswith("text/event-stream")
        yield from (piece for piece in answer.iter_text() if piece.strip())


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/messages", message("[[tokens=40 tps=8]] Count.", stream=True)),
        ("/v1/messages/stream", message("[[tokens=40 tps=8]] Count.", stream=True)),
        ("/v1/chat/completions", chat("[[tokens=40 tps=8]] Count.", stream=True)),
    ],
)
def test_a_stream_arrives_while_it_is_made(
    stack: Stack, gateway: httpx.Client, path: str, body: dict[str, object]
) -> None:
    """The first piece is read while the provider still writes: the provider itself says that it has not ended."""
    stream = pieces(gateway, path, body)
    first = next(stream)
    assert first
    unfinished = [row for row in stack.provider_requests() if row["ended"] is None]
    assert unfinished, "the first piece came only after the provider had finished: something buffers"
    rest = list(stream)
    assert len(rest) >= 5, f"expected many pieces, found {len(rest) + 1}"


def test_the_anthropic_sdk_talks_streams_and_calls_a_tool(stack: Stack) -> None:
    with anthropic.Anthropic(base_url=stack.url, auth_token=stack.key("example"), max_retries=0) as client:
        answer = client.messages.create(
            model=MODEL, max_tokens=64, messages=[{"role": "user", "content": "Say hello."}]
        )
        assert answer.content[0].type == "text"
        with client.messages.stream(
            model=MODEL, max_tokens=64, messages=[{"role": "user", "content": "Go."}]
        ) as stream:
            text = "".join(stream.text_stream)
            assert text
            assert stream.get_final_message().usage.output_tokens > 0
        tool = {"name": "get_weather", "description": "Weather of a city", "input_schema": WEATHER}
        called = client.messages.create(
            model=MODEL,
            max_tokens=64,
            messages=[{"role": "user", "content": "Weather in Paris?"}],
            tools=[tool],
            tool_choice={"type": "tool", "name": "get_weather"},
        )
        assert called.stop_reason == "tool_use"
        use = next(block for block in called.content if block.type == "tool_use")
        assert isinstance(use.input["city"], str)


def test_the_openai_sdk_talks_streams_and_calls_a_tool(stack: Stack) -> None:
    with openai.OpenAI(base_url=f"{stack.url}/v1", api_key=stack.key("example"), max_retries=0) as client:
        answer = client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": "Say hello."}])
        assert answer.choices[0].message.content
        chunks = list(
            client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": "Go."}], stream=True)
        )
        assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
        tool = {"type": "function", "function": {"name": "get_weather", "parameters": WEATHER}}
        called = client.chat.completions.create(
            model=MODEL,
            messages=[{"role": "user", "content": "Weather in Paris?"}],
            tools=[tool],
            tool_choice={"type": "function", "function": {"name": "get_weather"}},
        )
        call = called.choices[0].message.tool_calls[0]
        assert isinstance(json.loads(call.function.arguments)["city"], str)


def test_a_tenant_sees_its_own_models_only(gateway: httpx.Client) -> None:
    assert [row["id"] for row in gateway.get("/v1/models").json()["data"]] == [MODEL]


def test_tokens_are_counted_without_a_model_call(stack: Stack, gateway: httpx.Client) -> None:
    once = f"one two three {uuid.uuid4()}"

    def seen() -> list[object]:
        """The provider's requests that contain these words. Health checks and other tests' requests do not."""
        completions = ("/v1/messages", "/v1/chat/completions")
        return [row for row in stack.provider_requests() if row["path"] in completions and once in json.dumps(row)]

    answer = gateway.post("/v1/messages/count_tokens", json=message(once))
    assert answer.status_code == 200
    assert answer.json()["input_tokens"] > 0
    assert not seen()
    assert gateway.post("/v1/messages", json=message(once)).status_code == 200
    assert seen(), "twin: a call of the model is seen"


def test_a_request_is_billed_to_its_team(stack: Stack, gateway: httpx.Client, admin: httpx.Client) -> None:
    def spend() -> float:
        return float(admin.get("/team/info", params={"team_id": "example"}).json()["team_info"]["spend"])

    before = spend()
    assert gateway.post("/v1/messages", json=message("[[tokens=200]] Spend.", max_tokens=300)).status_code == 200
    eventually(lambda: spend() > before, within=60)
