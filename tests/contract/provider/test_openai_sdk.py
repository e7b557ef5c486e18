"""Chat completions, embeddings and models through the official `openai` SDK."""

from __future__ import annotations

import base64
import json
import math
import struct
from dataclasses import dataclass, field
from typing import Any

import openai
import pytest

from tests.contract.provider.cases import PNG, both_ways
from tests.contract.provider.target import Target

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather in a city",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "days": {"type": "integer", "minimum": 3}},
            "required": ["city", "days"],
        },
    },
}


@dataclass
class Reply:
    """A completion however it came; `calls` are (id, name, arguments)."""

    text: str = ""
    finish: str | None = None
    calls: list[tuple[str, str, str]] = field(default_factory=list)
    usage: Any = None
    pieces: int = 0


def ask(gpt: openai.OpenAI, target: Target, stream: bool, content: Any, **options: Any) -> Reply:
    request = {"model": target.model, "messages": [{"role": "user", "content": content}], **options}
    return streamed(gpt, request) if stream else whole(gpt, request)


def whole(gpt: openai.OpenAI, request: dict[str, Any]) -> Reply:
    completion = gpt.chat.completions.create(**request)
    choice = completion.choices[0]
    calls = [(call.id, call.function.name, call.function.arguments) for call in choice.message.tool_calls or []]
    return Reply(choice.message.content or "", choice.finish_reason, calls, completion.usage)


def streamed(gpt: openai.OpenAI, request: dict[str, Any]) -> Reply:
    reply = Reply()
    with gpt.chat.completions.create(stream=True, stream_options={"include_usage": True}, **request) as chunks:
        for chunk in chunks:
            reply.usage = chunk.usage or reply.usage
            for choice in chunk.choices:
                reply.finish = choice.finish_reason or reply.finish
                reply.text += choice.delta.content or ""
                reply.pieces += bool(choice.delta.content)
                for call in choice.delta.tool_calls or []:
                    if call.index == len(reply.calls):
                        reply.calls.append((call.id or "", call.function.name or "", ""))
                    known = reply.calls[call.index]
                    reply.calls[call.index] = (known[0], known[1], known[2] + (call.function.arguments or ""))
    return reply


@both_ways
def test_chat_mentions_what_was_asked(gpt: openai.OpenAI, target: Target, stream: bool) -> None:
    reply = ask(gpt, target, stream, "Which colour is the sky? Repeat the word sky.")
    assert "sky" in reply.text
    assert reply.finish == "stop"
    assert reply.usage.prompt_tokens > 0
    assert reply.usage.total_tokens == reply.usage.prompt_tokens + reply.usage.completion_tokens


def test_whole_and_streamed_say_and_count_the_same(gpt: openai.OpenAI, dialled: Target) -> None:
    whole = ask(gpt, dialled, False, "Same — either way? [[tokens=90]]")
    two = ask(gpt, dialled, True, "Same — either way? [[tokens=90]]")
    assert whole.text == two.text
    assert whole.usage.prompt_tokens == two.usage.prompt_tokens
    assert whole.usage.completion_tokens == two.usage.completion_tokens == 90
    assert two.pieces > 10


def test_a_stream_comes_in_pieces_before_its_end(gpt: openai.OpenAI, dialled: Target) -> None:
    """The stream never ends, so the five pieces can only have come before the end."""
    messages = [{"role": "user", "content": "[[hang=after:5]]"}]
    pieces = 0
    with gpt.chat.completions.create(model=dialled.model, messages=messages, stream=True) as chunks:
        for chunk in chunks:
            pieces += bool(chunk.choices and chunk.choices[0].delta.content)
            if pieces == 5:
                break
    assert pieces == 5


def test_usage_comes_in_a_stream_only_when_asked_for(gpt: openai.OpenAI, direct: Target) -> None:
    messages = [{"role": "user", "content": "hello"}]
    with gpt.chat.completions.create(model=direct.model, messages=messages, stream=True) as chunks:
        assert [chunk.usage for chunk in chunks if chunk.usage] == []


def test_a_system_prompt_counts(gpt: openai.OpenAI, target: Target) -> None:
    user = {"role": "user", "content": "hello"}
    bare = ask(gpt, target, False, None, messages=[user]).usage.prompt_tokens
    system = {"role": "system", "content": "You are terse and polite."}
    assert ask(gpt, target, False, None, messages=[system, user]).usage.prompt_tokens > bare


@both_ways
def test_a_tool_round_trip(gpt: openai.OpenAI, target: Target, stream: bool) -> None:
    question = {"role": "user", "content": "Please use get_weather for Oslo."}
    choice = {"type": "function", "function": {"name": "get_weather"}}
    called = ask(gpt, target, stream, None, messages=[question], tools=[WEATHER], tool_choice=choice)
    ((call_id, name, arguments),) = called.calls
    assert name == "get_weather"
    assert json.loads(arguments)["days"] >= 3
    call = {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}
    history = [
        question,
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": call_id, "content": "4 degrees and drizzle"},
    ]
    answered = ask(gpt, target, stream, None, messages=history, tools=[WEATHER])
    assert answered.finish == "stop"
    assert "drizzle" in answered.text


@both_ways
def test_words_call_tools(gpt: openai.OpenAI, dialled: Target, stream: bool) -> None:
    words = 'use get_weather {"city": "Rome", "days": 5}, then call get_weather'
    called = ask(gpt, dialled, stream, words, tools=[WEATHER])
    assert called.finish == "tool_calls"
    assert [json.loads(arguments)["days"] for _, _, arguments in called.calls] == [5, 3]
    assert len(ask(gpt, dialled, stream, words, tools=[WEATHER], parallel_tool_calls=False).calls) == 1
    assert ask(gpt, dialled, stream, words, tools=[WEATHER], tool_choice="none").calls == []
    assert len(ask(gpt, dialled, stream, "hello", tools=[WEATHER], tool_choice="required").calls) == 1


@both_ways
@pytest.mark.parametrize("url", [f"data:image/png;base64,{PNG}", "https://images.example.test/never-fetched.png"])
def test_images_are_seen(gpt: openai.OpenAI, dialled: Target, stream: bool, url: str) -> None:
    content = [{"type": "text", "text": "What is in it?"}, {"type": "image_url", "image_url": {"url": url}}]
    reply = ask(gpt, dialled, stream, content)
    assert "1 image" in reply.text
    assert reply.usage.prompt_tokens >= 1000


@both_ways
def test_max_tokens_cuts(gpt: openai.OpenAI, target: Target, stream: bool) -> None:
    reply = ask(gpt, target, stream, "Count from one to a thousand in words.", max_tokens=7)
    assert reply.finish == "length"
    assert reply.usage.completion_tokens <= 7


@both_ways
def test_a_stop_sequence_stops(gpt: openai.OpenAI, dialled: Target, stream: bool) -> None:
    reply = ask(gpt, dialled, stream, "alpha HALT omega", stop=["HALT"])
    assert "alpha" in reply.text
    assert "omega" not in reply.text


@both_ways
def test_a_json_answer_satisfies_its_schema(gpt: openai.OpenAI, dialled: Target, stream: bool) -> None:
    schema = {
        "type": "object",
        "properties": {"title": {"type": "string", "maxLength": 20}, "score": {"type": "number", "minimum": 2}},
        "required": ["title", "score"],
    }
    wanted = {"type": "json_schema", "json_schema": {"name": "verdict", "schema": schema}}
    value = json.loads(ask(gpt, dialled, stream, "Judge this long sentence, please.", response_format=wanted).text)
    assert len(value["title"]) <= 20
    assert value["score"] >= 2
    assert isinstance(json.loads(ask(gpt, dialled, stream, "{", response_format={"type": "json_object"}).text), dict)


def test_embeddings_are_unit_vectors_that_say_the_same_in_both_encodings(gpt: openai.OpenAI, target: Target) -> None:
    if not target.embedding_model:
        pytest.skip("no embedding model")
    ask_for = {"model": target.embedding_model, "input": ["one text", "another", "one text"]}
    floats = gpt.embeddings.create(encoding_format="float", **ask_for)
    packed = gpt.embeddings.create(encoding_format="base64", **ask_for)
    assert [entry.index for entry in floats.data] == [0, 1, 2]
    assert floats.usage.prompt_tokens == packed.usage.prompt_tokens > 0
    first, other, again = [entry.embedding for entry in floats.data]
    raw = base64.b64decode(packed.data[0].embedding)  # type: ignore[arg-type]  # asked for as text
    assert first == list(struct.unpack(f"<{len(first)}f", raw))
    assert math.isclose(math.hypot(*first), 1, abs_tol=1e-5)
    assert first == again != other
    assert gpt.embeddings.create(**ask_for).data[0].embedding == pytest.approx(first)


def test_embeddings_have_the_size_asked_for(gpt: openai.OpenAI, direct: Target) -> None:
    answer = gpt.embeddings.create(model=direct.embedding_model, input=[[1, 2, 3]], dimensions=33)
    assert len(answer.data[0].embedding) == 33
    assert answer.usage.prompt_tokens == 3
    with pytest.raises(openai.BadRequestError, match="dimensions"):
        gpt.embeddings.create(model=direct.embedding_model, input="x", dimensions=0)


def test_the_models_are_listed(gpt: openai.OpenAI, target: Target) -> None:
    assert target.model in [model.id for model in gpt.models.list()]


def test_one_model_is_described(gpt: openai.OpenAI, direct: Target) -> None:
    assert gpt.models.retrieve(direct.model).id == direct.model
    with pytest.raises(openai.NotFoundError, match="no-such-model"):
        gpt.models.retrieve("no-such-model")
