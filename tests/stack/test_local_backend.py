"""A tenant uses a backend with `run: true`: a real llama.cpp behind nginx, on both routes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import anthropic
import openai
import pytest

from tests.contract.provider.events import check_order
from tests.support.stack import Stack

MODEL = "local-model"
STEADY = {"temperature": 0}  # the model's weights are random
HELLO: Any = [{"role": "user", "content": "hello"}]
RAW_EVENTS = {
    *("message_start", "content_block_start", "content_block_delta", "content_block_stop"),
    *("message_delta", "message_stop"),
}


@pytest.fixture
def claude(stack: Stack) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=stack.url, auth_token=stack.key("hardware"), max_retries=0) as client:
        yield client


@pytest.fixture
def gpt(stack: Stack) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{stack.url}/v1", api_key=stack.key("hardware"), max_retries=0) as client:
        yield client


def test_chat_through_every_replica(gpt: openai.OpenAI) -> None:
    for _ in range(6):
        answer = gpt.chat.completions.create(model=MODEL, max_tokens=64, temperature=0, messages=HELLO)
        assert answer.usage is not None
        assert answer.usage.completion_tokens > 0


def test_streaming(gpt: openai.OpenAI) -> None:
    chunks = list(gpt.chat.completions.create(model=MODEL, max_tokens=64, temperature=0, messages=HELLO, stream=True))
    assert len(chunks) > 2
    assert chunks[-1].choices == [] or chunks[-1].choices[0].finish_reason


def test_the_anthropic_route(claude: anthropic.Anthropic) -> None:
    answer = claude.messages.create(model=MODEL, max_tokens=64, extra_body=STEADY, messages=HELLO)
    assert answer.usage.output_tokens > 0
    with claude.messages.stream(model=MODEL, max_tokens=64, extra_body=STEADY, messages=HELLO) as events:
        check_order([event.to_dict() for event in events if event.type in RAW_EVENTS])


def test_a_tool_is_called(claude: anthropic.Anthropic) -> None:
    schema = {"type": "object", "properties": {"path": {"enum": ["docs"]}}, "required": ["path"]}
    tool: Any = {"name": "read", "description": "Read a file", "input_schema": schema}
    answer = claude.messages.create(
        model=MODEL, max_tokens=150, extra_body=STEADY, messages=HELLO, tools=[tool], tool_choice={"type": "any"}
    )
    assert [block.input for block in answer.content if block.type == "tool_use"][:1] == [{"path": "docs"}]


def test_twin_a_tenant_without_the_model_is_refused(stack: Stack) -> None:
    """`example` may use only the test model."""
    with (
        anthropic.Anthropic(base_url=stack.url, auth_token=stack.key("example"), max_retries=0) as client,
        pytest.raises(anthropic.PermissionDeniedError),
    ):
        client.messages.create(model=MODEL, max_tokens=8, messages=HELLO)


def test_only_gateway_processes_and_replicas_reach_the_backend(stack: Stack) -> None:
    code = "import urllib.request as r; print(r.urlopen('http://backend-tiny:8080/health', timeout=10).status)"
    for client in ("litellm-1", "gateway-1"):
        assert stack.python(client, code).strip() == "200"
    with pytest.raises(AssertionError, match=r"Name or service not known|name resolution|No address"):
        stack.python("provider", code)
