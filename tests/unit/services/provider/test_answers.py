"""Whole and streamed answers are equal for any prompt; phrases that call tools; limits of an answer."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tollgate.services.provider import tokens
from tollgate.services.provider.answers import Answer, Text, Thinking, ToolCall, answer
from tollgate.services.provider.anthropic import reply as anthropic_reply
from tollgate.services.provider.anthropic.safeguards import Safeguards
from tollgate.services.provider.dials import Dials
from tollgate.services.provider.openai import reply as openai_reply
from tollgate.services.provider.prompt import InputUsage, Prompt, Tool, ToolChoice, ToolResult
from tollgate.services.provider.sse import Frame

HELLO = Prompt("test-model", "hello", InputUsage(2))
TOOLS = (
    Tool("Bash", {"type": "object", "properties": {"command": {"type": "string"}}, "required": ["command"]}),
    Tool("mcp__files__read", {"type": "object"}),
)

words = st.text(alphabet='ab é😀[]{}"\n.', max_size=40) | st.just("use Bash") | st.just('call Bash {"command": "l s"}')
prompts = st.builds(
    Prompt,
    model=st.just("test-model"),
    user_text=words,
    usage=st.builds(
        InputUsage, st.integers(10, 99), st.integers(0, 5), st.integers(0, 5), st.sampled_from(["5m", "1h"])
    ),
    images=st.integers(0, 2),
    tools=st.sampled_from([(), TOOLS]),
    choice=st.builds(ToolChoice, st.sampled_from(["auto", "any", "none"]), parallel=st.booleans()),
    tool_results=st.sampled_from([(), (ToolResult("Bash", "a “result” of 😀"),)]),
    max_tokens=st.none() | st.integers(1, 90),
    stop=st.sampled_from([(), ("answer",), ("zzz", "e")]),
    json_schema=st.sampled_from([None, {}, {"type": "object", "required": ["title"]}]),
    thinking=st.sampled_from(["off", "shown", "hidden"]),
    safeguards=st.sampled_from([(), ("dangerous_tool_use", "of_next_year")]),
)
dialled = st.builds(Dials, tokens=st.none() | st.integers(1, 200))


def data_of(frames: list[Frame]) -> list[dict[str, Any]]:
    lines = b"".join(frame.data for frame in frames).decode().split("\n")
    payloads = [line.removeprefix("data: ") for line in lines if line.startswith("data: ")]
    return [json.loads(line) for line in payloads if line != "[DONE]"]


def anthropic_message(frames: list[Frame]) -> dict[str, Any]:
    """The message that a client builds from a stream."""
    message: dict[str, Any] = {}
    for event in data_of(frames):
        match event["type"]:
            case "message_start":
                message = event["message"]
            case "content_block_start":
                message["content"].append({**event["content_block"], "json": ""})
            case "content_block_delta":
                block, delta = message["content"][event["index"]], event["delta"]
                for kind, text in delta.items():
                    if kind != "type":
                        name = {"partial_json": "json"}.get(kind, kind)
                        block[name] = block[name] + text
            case "message_delta":
                message |= event["delta"]
                message["usage"] = event["usage"]
    for block in message["content"]:
        text = block.pop("json")
        if block["type"] == "tool_use":
            block["input"] = json.loads(text)
    return message


def openai_completion(frames: list[Frame]) -> tuple[str, list[tuple[str, str, str]], str, Any]:
    """Text, calls, finish reason and usage."""
    text, finish, usage = "", "", None
    calls: list[tuple[str, str, str]] = []
    for chunk in data_of(frames):
        usage = chunk["usage"] or usage
        for choice in chunk["choices"]:
            finish = choice["finish_reason"] or finish
            text += choice["delta"].get("content") or ""
            for call in choice["delta"].get("tool_calls", []):
                if "id" in call:
                    calls.append((call["id"], call["function"]["name"], ""))
                name = calls[call["index"]]
                calls[call["index"]] = (*name[:2], name[2] + call["function"]["arguments"])
    return text, calls, finish, usage


def anthropic_both(prompt: Prompt, reply: Answer) -> tuple[dict[str, Any], list[Frame]]:
    names: dict[str, Any] = {"reply_id": "x", "model": "test-model", "safeguards": Safeguards(prompt.safeguards)}
    whole = anthropic_reply.message(reply, prompt.usage, **names)
    return whole, list(anthropic_reply.events(reply, prompt.usage, **names))


@settings(deadline=None)
@given(prompts, dialled)
def test_anthropic_whole_and_streamed_are_the_same_message(prompt: Prompt, dials: Dials) -> None:
    reply = answer(prompt, dials)
    whole, frames = anthropic_both(prompt, reply)
    assert anthropic_message(frames) == whole
    assert sum(frame.tokens for frame in frames) == reply.tokens == whole["usage"]["output_tokens"]


@settings(deadline=None)
@given(prompts.map(lambda prompt: replace(prompt, thinking="off")), dialled)
def test_openai_whole_and_streamed_are_the_same_completion(prompt: Prompt, dials: Dials) -> None:
    reply = answer(prompt, dials)
    names = {"reply_id": "x", "model": "test-model"}
    whole = openai_reply.completion(reply, prompt.usage, **names)
    frames = list(openai_reply.chunks(reply, prompt.usage, with_usage=True, **names))
    message = whole["choices"][0]["message"]
    calls = [(c["id"], c["function"]["name"], c["function"]["arguments"]) for c in message.get("tool_calls", [])]
    expected = (message["content"] or "", calls, whole["choices"][0]["finish_reason"], whole["usage"])
    assert openai_completion(frames) == expected
    assert sum(frame.tokens for frame in frames) == reply.tokens == whole["usage"]["completion_tokens"]


@pytest.mark.parametrize("lost", ["a piece", "a piece twice", "a token"])
def test_twin_a_stream_that_loses_something_is_another_message(lost: str) -> None:
    reply = answer(HELLO, Dials(tokens=9))
    whole, frames = anthropic_both(HELLO, reply)
    place = next(place for place, frame in enumerate(frames) if b"text_delta" in frame.data)
    if lost == "a piece":
        del frames[place]
    elif lost == "a piece twice":
        frames.insert(place, frames[place])
    else:
        frames[place] = Frame(frames[place].data, 0)
    same = anthropic_message(frames) == whole and sum(frame.tokens for frame in frames) == reply.tokens
    assert not same


@settings(deadline=None)
@given(prompts, dialled)
def test_an_answer_keeps_its_limits_and_is_the_same_again(prompt: Prompt, dials: Dials) -> None:
    reply = answer(prompt, dials)
    assert answer(prompt, dials) == reply
    if prompt.max_tokens is not None:
        assert reply.tokens <= prompt.max_tokens
    else:
        assert reply.stop != "length"
    for block in reply.blocks:
        if isinstance(block, Text):
            assert not any(stop in block.text for stop in prompt.stop)


@settings(deadline=None)
@given(words, st.integers(1, 3000))
def test_the_tokens_dial_is_exact(text: str, wanted: int) -> None:
    assert answer(replace(HELLO, user_text=text), Dials(tokens=wanted)).tokens == wanted


def called(text: str, **changes: Any) -> list[tuple[str, Any]]:
    reply = answer(replace(HELLO, **{"user_text": text, "tools": TOOLS, **changes}), Dials())
    return [(block.name, json.loads(block.arguments)) for block in reply.blocks if isinstance(block, ToolCall)]


GENERATED = ("Bash", {"command": "example"})


@pytest.mark.parametrize(
    ("text", "calls"),
    [
        ("use Bash", [GENERATED]),
        ("Please call the Bash tool.", [GENERATED]),
        ("Use the tool `Bash` now", [GENERATED]),
        (
            'use Bash {"command": "ls -l"} and call mcp__files__read.',
            [("Bash", {"command": "ls -l"}), (TOOLS[1].name, {})],
        ),
        ('use Bash {"command": ', [GENERATED]),
        ("use Bash [1]", [GENERATED]),
        ('use Bash {"command": NaN}', [GENERATED]),
        ("use bash", []),
        ("use Bashful", []),
        ("because Bash", []),
        ("I would use a shell", []),
        ("<system-reminder>use Bash</system-reminder> hello", []),
        ("<system-reminder>call Bash", []),
    ],
)
def test_only_these_phrases_call_a_tool(text: str, calls: list[tuple[str, Any]]) -> None:
    assert called(text) == calls


def test_tool_choice_forces_or_forbids_a_call() -> None:
    assert called("hello", choice=ToolChoice("any")) == [GENERATED]
    assert called("hello", choice=ToolChoice("one", "mcp__files__read")) == [("mcp__files__read", {})]
    assert called("use Bash", choice=ToolChoice("one", "mcp__files__read")) == [("mcp__files__read", {})]
    assert called("use Bash", choice=ToolChoice("none")) == []
    assert called("use Bash, use Bash", choice=ToolChoice(parallel=False)) == [GENERATED]
    assert called("use Bash", tools=()) == []


def test_after_a_tool_result_comes_text_unless_a_call_is_forced() -> None:
    results = (ToolResult("Bash", "total 0"),)
    reply = answer(replace(HELLO, user_text="use Bash", tools=TOOLS, tool_results=results), Dials())
    assert isinstance(reply.blocks[0], Text)
    assert "“total 0”" in reply.blocks[0].text
    assert called("use Bash", tool_results=results, choice=ToolChoice("any")) == [GENERATED]


def test_the_answer_quotes_only_the_beginning_of_the_users_text() -> None:
    long = "<system-reminder>secret rules</system-reminder>Why   is\nit so? " + "x" * 500
    (block,) = answer(replace(HELLO, user_text=long), Dials()).blocks
    assert isinstance(block, Text)
    assert "You asked: “Why is it so? xxx" in block.text
    assert "…”" in block.text
    assert "secret rules" not in block.text
    assert 30 < tokens.count(block.text) < 150


def test_thinking_is_cut_before_the_text() -> None:
    reply = answer(replace(HELLO, thinking="shown", max_tokens=3), Dials())
    assert reply.stop == "length"
    assert [type(block) for block in reply.blocks] == [Thinking]
    assert reply.tokens == 3


def test_a_call_that_does_not_fit_is_left_out() -> None:
    reply = answer(replace(HELLO, user_text="use Bash", tools=TOOLS, max_tokens=2), Dials())
    assert reply == Answer((), "length")
