"""A real llama.cpp with a real GGUF file, started by `tollgate serve-local` and asked through its gateway.

The model's weights are random, so what it says is nonsense, if the same each time at temperature 0. How it is said,
counted, streamed and held to a tool's schema is llama.cpp's own doing. Where a tool is offered it calls it again and
again until its tokens end, and half of a call's arguments is an error to LiteLLM: an early difference in rounding moves
the place of the cut. So answers of hundreds of tokens are asked for with a tool that takes none, whose half is mended.
"""

from __future__ import annotations

import json
from typing import Any

import anthropic
import openai
import pytest

from tests.contract.backends import cases
from tests.contract.backends.conftest import Served
from tests.contract.provider.events import check_order
from tests.support import plain
from tests.support.eventually import eventually

MODEL = "local-model"
PATHS: dict[str, Any] = {
    "type": "object",
    "properties": {"path": {"enum": ["docs", "README.md"]}},
    "required": ["path"],
}
CLAUDE_READ: dict[str, Any] = {"name": "read", "description": "Read a file", "input_schema": PATHS}
CLAUDE_LIST: dict[str, Any] = {
    "name": "ls",
    "description": "List the files",
    "input_schema": {"type": "object", "properties": {}, "additionalProperties": False},
}
GPT_READ: Any = {"type": "function", "function": {"name": "read", "description": "Read a file", "parameters": PATHS}}


def gpt(**more: Any) -> dict[str, Any]:
    return cases.gpt(MODEL, temperature=0, **more)


def claude(**more: Any) -> dict[str, Any]:
    return cases.claude(MODEL, extra_body={"temperature": 0}, **more)  # the SDK has no name for it any more


def test_chat_on_the_openai_route(served: Served) -> None:
    answer = served.gateway.gpt.chat.completions.create(**gpt())
    assert answer.model == MODEL, "the name that was asked for, not the engine's"
    assert answer.choices[0].message.role == "assistant"
    assert answer.choices[0].message.content
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage is not None
    assert answer.usage.prompt_tokens > 10
    assert 0 < answer.usage.completion_tokens <= 64


def test_chat_on_the_anthropic_route(served: Served) -> None:
    answer = served.gateway.claude.messages.create(**claude())
    assert answer.type == "message"
    assert answer.model == MODEL
    assert [block.type for block in answer.content] == ["text"]
    assert answer.stop_reason == "end_turn"
    assert answer.usage.input_tokens + (answer.usage.cache_read_input_tokens or 0) > 10
    assert 0 < answer.usage.output_tokens <= 64


def test_streaming_on_the_openai_route(served: Served) -> None:
    chunks = list(
        served.gateway.gpt.chat.completions.create(**gpt(), stream=True, stream_options={"include_usage": True})
    )
    assert len(chunks) > 3, "it came in pieces"
    assert chunks[-1].usage is not None
    assert [c.choices[0].finish_reason for c in chunks if c.choices and c.choices[0].finish_reason] != []


def test_streaming_on_the_anthropic_route(served: Served) -> None:
    with served.gateway.claude.messages.stream(**claude()) as events:
        seen = [event.to_dict() for event in events if event.type in RAW_EVENTS]
        answer = events.get_final_message()
    check_order(seen)
    assert len([event for event in seen if event["type"] == "content_block_delta"]) > 1
    assert answer.usage.output_tokens > 0


RAW_EVENTS = {
    *("message_start", "content_block_start", "content_block_delta", "content_block_stop"),
    *("message_delta", "message_stop"),
}


def test_a_system_prompt_is_read(served: Served) -> None:
    """It makes the prompt longer by what it says, on either route."""
    messages_api = served.gateway.claude.messages
    plain = messages_api.create(**claude())
    asked = messages_api.create(**claude(system="Answer in one word. " * 20))

    def read(message: anthropic.types.Message) -> int:
        return message.usage.input_tokens + (message.usage.cache_read_input_tokens or 0)

    assert read(asked) > read(plain) + 100
    chat_api = served.gateway.gpt.chat.completions
    messages: Any = [{"role": "system", "content": "Answer in one word. " * 20}, *gpt()["messages"]]
    long = chat_api.create(model=MODEL, max_tokens=8, messages=messages).usage
    short = chat_api.create(**gpt()).usage
    assert long is not None
    assert short is not None
    assert long.prompt_tokens > short.prompt_tokens + 100


def test_a_tool_is_called_on_the_openai_route(served: Served) -> None:
    answer = served.gateway.gpt.chat.completions.create(**gpt(max_tokens=150), tools=[GPT_READ], tool_choice="required")
    calls = answer.choices[0].message.tool_calls
    assert calls
    assert calls[0].type == "function"
    assert calls[0].function.name == "read"
    assert json.loads(calls[0].function.arguments)["path"] in ("docs", "README.md"), "held to the schema"


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_a_tool_is_called_on_the_anthropic_route(served: Served, stream: bool) -> None:
    request = claude(max_tokens=150, tools=[CLAUDE_READ], tool_choice={"type": "any"})
    if stream:
        with served.gateway.claude.messages.stream(**request) as events:
            answer = events.get_final_message()
    else:
        answer = served.gateway.claude.messages.create(**request)
    calls = [block for block in answer.content if block.type == "tool_use"]
    assert calls
    assert calls[0].name == "read"
    assert calls[0].input["path"] in ("docs", "README.md")


def test_twin_without_a_tool_nothing_is_called(served: Served) -> None:
    """The model writes the mark of a call now and then; it is one only where a tool was offered."""
    answer = served.gateway.claude.messages.create(**claude(max_tokens=400))
    assert {block.type for block in answer.content} <= {"text"}


def test_the_turn_after_a_tool_call_is_understood(served: Served) -> None:
    turns: Any = [
        {"role": "user", "content": "Read the docs."},
        {
            "role": "assistant",
            "content": [{"type": "tool_use", "id": "toolu_1", "name": "read", "input": {"path": "docs"}}],
        },
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": "It is all there."}]},
    ]
    answer = served.gateway.claude.messages.create(**claude(max_tokens=400, messages=turns, tools=[CLAUDE_LIST]))
    assert answer.usage.output_tokens > 0


def test_tokens_are_counted(served: Served) -> None:
    counter = served.gateway.claude.messages
    short = counter.count_tokens(model=MODEL, messages=[{"role": "user", "content": "hello"}])
    long = counter.count_tokens(model=MODEL, messages=[{"role": "user", "content": "hello " * 200}])
    assert 0 < short.input_tokens < long.input_tokens


def test_an_image_is_refused_where_there_is_no_projector(served: Served) -> None:
    """Vision takes a model that sees; that this one does not must not be answered around. llama.cpp calls it an error
    of its own, so a client reads no more than that the provider failed; the reason stands in the engine's log."""
    with pytest.raises(openai.APIStatusError):
        served.gateway.gpt.chat.completions.create(
            model=MODEL,
            max_tokens=8,
            messages=cases.gpt_picture(cases.DATA_URL),  # type: ignore[arg-type]
        )

    def logged() -> bool:
        """The engine's log says why; it is written by a thread of its own"""
        return any("image input is not supported" in line for line in served.compose.tail("backend-local", 200))

    eventually(logged, within=20)


def test_a_prompt_beyond_the_context_is_refused_in_the_engines_words(served: Served) -> None:
    words = "word " * 20_000
    with pytest.raises(anthropic.APIStatusError) as refused:
        served.gateway.claude.messages.create(**claude(messages=[{"role": "user", "content": words}]))
    assert refused.value.status_code == 400
    assert "exceed" in str(refused.value)


def test_what_claude_code_sends_is_taken(served: Served) -> None:
    """Fields that only Anthropic has are left out on the way; llama.cpp would refuse the one or the other."""
    body = cases.claude(
        MODEL,
        max_tokens=400,
        temperature=0,
        system=[{"type": "text", "text": "You are a coding agent.", "cache_control": {"type": "ephemeral"}}],
        thinking={"type": "adaptive"},
        output_config={"effort": "high"},
        context_management={"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
        metadata={"user_id": "user_1"},
        tools=[CLAUDE_LIST | {"cache_control": {"type": "ephemeral"}}],
    )
    answer = served.gateway.post("/v1/messages?beta=true", body)
    assert answer.status_code == 200, answer.text
    assert answer.json()["type"] == "message"


@pytest.mark.parametrize("key", ["", "sk-dummy"])
def test_without_its_key_it_refuses(served: Served, key: str) -> None:
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    url = f"{served.gateway.url}/v1/messages"
    answer = plain.post(url, json=cases.claude(MODEL), headers=headers, timeout=60, trust_env=False)
    assert answer.status_code in (400, 401), "without a database LiteLLM calls an unknown key a bad request"


def test_the_engine_is_not_reachable_from_outside(served: Served) -> None:
    rows = {row.service: row.id for row in served.compose.containers()}
    assert rows.keys() == {"litellm", "provider", "backend-local"}
    assert served.compose.ask("ps", "backend-local", "--format", "{{.Ports}}").strip() in ("", "8080/tcp")
    assert not served.compose.ask("ps", "backend-local", "--format", "{{.Publishers}}").count("127.0.0.1")
