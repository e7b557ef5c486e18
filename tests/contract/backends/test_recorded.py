"""LiteLLM's requests to vLLM, SGLang, TensorRT-LLM and Ollama, and how it reads the answers that they document.

No such engine ran: recorded.py says where its answers come from.
"""

from __future__ import annotations

import json
from typing import Any

import anthropic
import openai
import pytest

from tests.contract.backends import cases
from tests.contract.backends.conftest import ENGINES, Recorded
from tests.contract.backends.recorded import KNOWN_TO_TRTLLM
from tests.contract.provider.events import check_order

every_engine = pytest.mark.parametrize("engine", sorted(ENGINES))
both_ways = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
NAMES = {"vllm": "/models/GLM-FP8", "sglang": "qwen3", "trtllm": "/models/Qwen3-8B", "ollama": "qwen3:8b"}
CHAT = {"ollama": "/api/chat"}
RAW_EVENTS = {
    *("message_start", "content_block_start", "content_block_delta", "content_block_stop"),
    *("message_delta", "message_stop"),
}


def ask_claude(recorded: Recorded, engine: str, stream: bool, **more: Any) -> anthropic.types.Message:
    request = cases.claude(f"on-{engine}", **more)
    if not stream:
        return recorded.gateway.claude.messages.create(**request)
    with recorded.gateway.claude.messages.stream(**request) as events:
        check_order([event.to_dict() for event in events if event.type in RAW_EVENTS])
        return events.get_final_message()


def ask_gpt(recorded: Recorded, engine: str, stream: bool, **more: Any) -> dict[str, Any]:
    """text, calls, reason and usage, whole or put together from chunks."""
    request = cases.gpt(f"on-{engine}", **more)
    found: dict[str, Any] = {"text": "", "names": [], "arguments": "", "reason": None, "usage": None}
    if not stream:
        answer = recorded.gateway.gpt.chat.completions.create(**request)
        [choice], usage = answer.choices, answer.usage
        calls = choice.message.tool_calls or []
        found |= {"text": choice.message.content or "", "reason": choice.finish_reason, "usage": usage}
        return found | {
            "names": [c.function.name for c in calls],
            "arguments": "".join(c.function.arguments for c in calls),
        }
    options = {"include_usage": True}
    for chunk in recorded.gateway.gpt.chat.completions.create(**request, stream=True, stream_options=options):
        found["usage"] = chunk.usage or found["usage"]
        for choice in chunk.choices:
            found["text"] += choice.delta.content or ""
            found["reason"] = choice.finish_reason or found["reason"]
            for call in choice.delta.tool_calls or []:
                found["names"] += [call.function.name] if call.function.name else []
                found["arguments"] += call.function.arguments or ""
    return found


def sent(recorded: Recorded, engine: str) -> dict[str, Any]:
    """The one chat request that reached the engine."""
    [body] = recorded.asked(engine, CHAT.get(engine, "/v1/chat/completions"))
    return body


@every_engine
@both_ways
def test_a_message_reaches_it_and_its_answer_comes_back(recorded: Recorded, engine: str, stream: bool) -> None:
    answer = ask_claude(recorded, engine, stream, system=cases.SYSTEM)
    assert "".join(block.text for block in answer.content if block.type == "text") == cases.TEXT
    assert answer.stop_reason == "end_turn"
    assert (answer.usage.input_tokens, answer.usage.output_tokens) == (21, 7)
    body = sent(recorded, engine)
    assert body["model"] == NAMES[engine]
    system, question = body["messages"]
    assert (system["role"], text_of(system)) == ("system", cases.SYSTEM)
    assert (question["role"], text_of(question)) == ("user", "Which colour is the sky?")
    assert bool(body.get("stream")) is stream


@every_engine
@both_ways
def test_a_chat_completion_reaches_it_and_its_answer_comes_back(recorded: Recorded, engine: str, stream: bool) -> None:
    messages = [{"role": "system", "content": cases.SYSTEM}, *cases.gpt("")["messages"]]
    answer = ask_gpt(recorded, engine, stream, messages=messages)
    assert (answer["text"], answer["reason"]) == (cases.TEXT, "stop")
    assert (answer["usage"].prompt_tokens, answer["usage"].completion_tokens) == (21, 7)
    assert text_of(sent(recorded, engine)["messages"][0]) == cases.SYSTEM


@every_engine
@both_ways
def test_a_tool_is_offered_and_called_on_the_anthropic_route(recorded: Recorded, engine: str, stream: bool) -> None:
    answer = ask_claude(recorded, engine, stream, tools=[cases.CLAUDE_TOOL])
    [call] = [block for block in answer.content if block.type == "tool_use"]
    assert (call.name, call.input, answer.stop_reason) == ("get_weather", {"city": "Oslo"}, "tool_use")
    [tool] = sent(recorded, engine)["tools"]
    assert tool["type"] == "function"
    assert tool["function"]["name"] == "get_weather"
    assert tool["function"]["parameters"]["properties"] == {"city": {"type": "string"}}


@every_engine
@both_ways
def test_a_tool_is_offered_and_called_on_the_openai_route(recorded: Recorded, engine: str, stream: bool) -> None:
    answer = ask_gpt(recorded, engine, stream, tools=[cases.GPT_TOOL])
    assert (answer["names"], json.loads(answer["arguments"])) == (["get_weather"], {"city": "Oslo"})
    assert answer["reason"] == "tool_calls"
    assert sent(recorded, engine)["tools"][0]["function"]["parameters"]["required"] == ["city"]


@every_engine
def test_a_tools_result_reaches_it(recorded: Recorded, engine: str) -> None:
    call = {"type": "tool_use", "id": "toolu_1", "name": "get_weather", "input": {"city": "Oslo"}}
    result = {"type": "tool_result", "tool_use_id": "toolu_1", "content": "12 degrees"}
    turns = [
        *cases.claude("")["messages"],
        {"role": "assistant", "content": [call]},
        {"role": "user", "content": [result]},
    ]
    answer = ask_claude(recorded, engine, False, messages=turns, tools=[cases.CLAUDE_TOOL])
    assert answer.stop_reason == "end_turn"
    _, called, told = sent(recorded, engine)["messages"]
    arguments = called["tool_calls"][0]["function"]["arguments"]
    assert (arguments if engine == "ollama" else json.loads(arguments)) == {"city": "Oslo"}
    assert (told["role"], text_of(told), told["tool_call_id"]) == ("tool", "12 degrees", "toolu_1")


@every_engine
@pytest.mark.parametrize("route", ["anthropic", "openai"])
def test_an_image_reaches_it(recorded: Recorded, engine: str, route: str) -> None:
    if route == "anthropic":
        source = {"type": "base64", "media_type": "image/png", "data": cases.PNG}
        ask_claude(recorded, engine, False, messages=cases.claude_picture(source))
    else:
        ask_gpt(recorded, engine, False, messages=cases.gpt_picture(cases.DATA_URL))
    [message] = sent(recorded, engine)["messages"]
    assert text_of(message) == "What is this?"
    assert pictures(message) == ([cases.PNG] if engine == "ollama" else [cases.DATA_URL])


@pytest.mark.parametrize("engine", sorted(ENGINES.keys() - {"ollama"}))
@pytest.mark.parametrize("route", ["anthropic", "openai"])
def test_an_images_address_reaches_it(recorded: Recorded, engine: str, route: str) -> None:
    """The engine must fetch it; an engine that we run has no internet access (docs/limits/promises.md)."""
    if route == "anthropic":
        source = {"type": "url", "url": cases.PICTURE_URL}
        ask_claude(recorded, engine, False, messages=cases.claude_picture(source))
    else:
        ask_gpt(recorded, engine, False, messages=cases.gpt_picture(cases.PICTURE_URL))
    [message] = sent(recorded, engine)["messages"]
    assert pictures(message) == [cases.PICTURE_URL]


@pytest.mark.parametrize("engine", sorted(ENGINES.keys() - {"ollama"}))
def test_a_streams_usage_is_asked_for(recorded: Recorded, engine: str) -> None:
    """Without it these engines count nothing in a stream, and LiteLLM would guess what it cost."""
    ask_claude(recorded, engine, True)
    assert sent(recorded, engine)["stream_options"] == {"include_usage": True}


@every_engine
def test_what_only_anthropic_takes_does_not_reach_it(recorded: Recorded, engine: str) -> None:
    body = cases.claude(
        f"on-{engine}",
        system=[{"type": "text", "text": cases.SYSTEM, "cache_control": {"type": "ephemeral"}}],
        thinking={"type": "adaptive"},
        output_config={"effort": "high"},
        context_management={"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
        metadata={"user_id": "user_1"},
        tools=[cases.CLAUDE_TOOL | {"cache_control": {"type": "ephemeral"}}],
    )
    answer = recorded.gateway.post("/v1/messages?beta=true", body)
    assert answer.status_code == 200, answer.text
    text = json.dumps(sent(recorded, engine))
    assert [word for word in ("cache_control", "output_config", "context_management", "adaptive") if word in text] == []


def test_twin_tensorrt_llm_refuses_a_field_it_does_not_know(recorded: Recorded) -> None:
    """So every test above that passed with it sent it nothing else."""
    assert "top_k" not in KNOWN_TO_TRTLLM
    answer = recorded.gateway.post("/v1/chat/completions", cases.gpt("on-trtllm") | {"extra_body": {"mystery": 1}})
    assert answer.status_code == 400, answer.text
    assert "mystery" in answer.text


@every_engine
@pytest.mark.parametrize("path", ["/v1/messages", "/v1/chat/completions"])
def test_its_refusal_keeps_its_words(recorded: Recorded, engine: str, path: str) -> None:
    body = cases.gpt(f"on-{engine}", messages=[{"role": "user", "content": "this is too long"}])
    answer = recorded.gateway.post(path, body)
    assert answer.status_code == 400, answer.text
    assert "too long" in answer.text or "maximum context length is 4096 tokens" in answer.text


@every_engine
def test_tokens_are_counted_without_it(recorded: Recorded, engine: str) -> None:
    body = {"model": f"on-{engine}", "messages": [{"role": "user", "content": "hello"}]}
    answer = recorded.gateway.post("/v1/messages/count_tokens", body)
    assert answer.status_code == 200, answer.text
    assert answer.json()["input_tokens"] > 0


def text_of(message: dict[str, Any]) -> str:
    content = message.get("content")
    return content if isinstance(content, str) else "".join(part.get("text", "") for part in content or [])


def pictures(message: dict[str, Any]) -> list[str]:
    if "images" in message:
        return list(message["images"])
    return [part["image_url"]["url"] for part in message["content"] if part["type"] == "image_url"]


def test_an_unknown_alias_is_refused(recorded: Recorded) -> None:
    with pytest.raises(openai.APIStatusError):
        recorded.gateway.gpt.chat.completions.create(**cases.gpt("on-nothing"))
