"""The Messages API through the official `anthropic` SDK."""

from __future__ import annotations

from typing import Any

import anthropic
import pytest
from anthropic.types import Message

from tests.contract.provider.cases import PNG, both_ways
from tests.contract.provider.events import check_order
from tests.contract.provider.target import Target

WEATHER = {
    "name": "get_weather",
    "description": "The weather in a city",
    "input_schema": {
        "type": "object",
        "properties": {"city": {"type": "string", "minLength": 2}, "unit": {"enum": ["celsius", "fahrenheit"]}},
        "required": ["city", "unit"],
        "additionalProperties": False,
    },
}


def ask(claude: anthropic.Anthropic, target: Target, stream: bool, content: Any, **options: Any) -> Message:
    """The final message, read whole or put together from a stream whose events must be in order."""
    request = {
        "model": target.model,
        "max_tokens": 1000,
        "messages": [{"role": "user", "content": content}],
        **options,
    }
    if not stream:
        return claude.messages.create(**request)
    with claude.messages.stream(**request) as events:
        check_order([event.to_dict() for event in events if event.type in RAW_EVENTS])
        return events.get_final_message()


RAW_EVENTS = {
    "message_start",
    "content_block_start",
    "content_block_delta",
    "content_block_stop",
    "message_delta",
    "message_stop",
}


def text_of(message: Message) -> str:
    return "".join(block.text for block in message.content if block.type == "text")


@both_ways
def test_chat_mentions_what_was_asked(claude: anthropic.Anthropic, target: Target, stream: bool) -> None:
    message = ask(claude, target, stream, "Which colour is the sky? Repeat the word sky.")
    assert "sky" in text_of(message)
    assert message.role == "assistant"
    assert message.stop_reason == "end_turn"
    assert message.usage.input_tokens > 0
    assert message.usage.output_tokens > 0


def test_whole_and_streamed_say_and_count_the_same(claude: anthropic.Anthropic, dialled: Target) -> None:
    whole = ask(claude, dialled, False, "Same — either way? [[tokens=90]]", system="Be brief.")
    streamed = ask(claude, dialled, True, "Same — either way? [[tokens=90]]", system="Be brief.")
    assert text_of(whole) == text_of(streamed)
    assert whole.usage.input_tokens == streamed.usage.input_tokens
    assert whole.usage.output_tokens == streamed.usage.output_tokens == 90
    assert whole.id != streamed.id


def test_a_stream_comes_in_pieces_before_its_end(claude: anthropic.Anthropic, dialled: Target) -> None:
    """The stream never ends, so the five pieces can only have come before the end."""
    request = {"model": dialled.model, "max_tokens": 900, "messages": [{"role": "user", "content": "[[hang=after:5]]"}]}
    pieces = 0
    with claude.messages.create(stream=True, **request) as events:
        for event in events:
            pieces += event.type == "content_block_delta"
            if pieces == 5:
                break
    assert pieces == 5


@both_ways
@pytest.mark.parametrize(
    "system", ["You are terse.", [{"type": "text", "text": "You are terse."}]], ids=["string", "blocks"]
)
def test_a_system_prompt_counts(claude: anthropic.Anthropic, target: Target, stream: bool, system: Any) -> None:
    bare = ask(claude, target, stream, "hello").usage.input_tokens
    assert ask(claude, target, stream, "hello", system=system).usage.input_tokens > bare


@both_ways
def test_a_tool_round_trip(claude: anthropic.Anthropic, target: Target, stream: bool) -> None:
    question = {"role": "user", "content": "Please use get_weather for Oslo."}
    choice = {"type": "tool", "name": "get_weather"}
    called = ask(claude, target, stream, question["content"], tools=[WEATHER], tool_choice=choice)
    assert called.stop_reason == "tool_use"
    call = next(block for block in called.content if block.type == "tool_use")
    assert call.name == "get_weather"
    assert len(call.input["city"]) >= 2
    assert call.input["unit"] in ("celsius", "fahrenheit")
    assert set(call.input) == {"city", "unit"}
    result = {"type": "tool_result", "tool_use_id": call.id, "content": "4 degrees and drizzle"}
    history = [
        question,
        {"role": "assistant", "content": [block.to_dict() for block in called.content]},
        {"role": "user", "content": [result]},
    ]
    answered = ask(claude, target, stream, None, tools=[WEATHER], messages=history)
    assert answered.stop_reason == "end_turn"
    assert "drizzle" in text_of(answered)


@both_ways
def test_words_call_a_tool_and_may_carry_its_input(claude: anthropic.Anthropic, dialled: Target, stream: bool) -> None:
    words = 'First use get_weather {"city": "Rome", "unit": "celsius"} and then call the get_weather tool again.'
    called = ask(claude, dialled, stream, words, tools=[WEATHER])
    calls = [block for block in called.content if block.type == "tool_use"]
    assert calls[0].input["city"] == "Rome"
    assert len({call.id for call in calls}) == 2
    one = {"type": "auto", "disable_parallel_tool_use": True}
    assert len(ask(claude, dialled, stream, words, tools=[WEATHER], tool_choice=one).content) == 1


def test_a_tool_that_nobody_asks_for_is_not_called(claude: anthropic.Anthropic, dialled: Target) -> None:
    message = ask(claude, dialled, False, "Is get_weather a good name?", tools=[WEATHER])
    assert message.stop_reason == "end_turn"


@both_ways
@pytest.mark.parametrize(
    "source",
    [
        {"type": "base64", "media_type": "image/png", "data": PNG},
        {"type": "url", "url": "https://images.example.test/never-fetched.png"},
    ],
    ids=["base64", "url"],
)
def test_images_are_seen(claude: anthropic.Anthropic, dialled: Target, stream: bool, source: dict[str, str]) -> None:
    content = [{"type": "image", "source": source}, {"type": "text", "text": "What is in it?"}]
    message = ask(claude, dialled, stream, content)
    assert "1 image" in text_of(message)
    assert message.usage.input_tokens >= 1000


@both_ways
def test_max_tokens_cuts(claude: anthropic.Anthropic, target: Target, stream: bool) -> None:
    message = ask(claude, target, stream, "Count from one to a thousand in words.", max_tokens=7)
    assert message.stop_reason == "max_tokens"
    assert message.usage.output_tokens <= 7


@both_ways
def test_a_stop_sequence_stops(claude: anthropic.Anthropic, dialled: Target, stream: bool) -> None:
    message = ask(claude, dialled, stream, "alpha HALT omega", stop_sequences=["HALT"])
    assert message.stop_reason == "stop_sequence"
    assert message.stop_sequence == "HALT"
    assert "alpha" in text_of(message)
    assert "omega" not in text_of(message)


@both_ways
def test_thinking_comes_first_and_is_signed(claude: anthropic.Anthropic, direct: Target, stream: bool) -> None:
    thinking = {"type": "enabled", "budget_tokens": 1024}
    message = ask(claude, direct, stream, "Think.", thinking=thinking, max_tokens=4000)
    assert [block.type for block in message.content] == ["thinking", "text"]
    assert message.content[0].thinking
    assert message.content[0].signature
    hidden = ask(claude, direct, stream, "Think.", thinking={"type": "adaptive", "display": "omitted"})
    assert hidden.content[0].thinking == ""
    assert hidden.content[0].signature == message.content[0].signature
    assert hidden.usage.output_tokens == message.usage.output_tokens


def test_count_tokens_agrees_with_usage(claude: anthropic.Anthropic, direct: Target) -> None:
    request: dict[str, Any] = {
        "model": direct.model,
        "system": [{"type": "text", "text": "Long rules. " * 50, "cache_control": {"type": "ephemeral"}}],
        "tools": [WEATHER],
        "messages": [
            {"role": "user", "content": "first"},
            {"role": "assistant", "content": "yes"},
            {"role": "user", "content": "second ☕"},
        ],
    }
    usage = claude.messages.create(max_tokens=10, **request).usage
    counted = claude.messages.count_tokens(**request).input_tokens
    assert usage.input_tokens + usage.cache_read_input_tokens + usage.cache_creation_input_tokens == counted
    assert usage.cache_read_input_tokens > 0


def test_count_tokens_counts_more_for_more(claude: anthropic.Anthropic, target: Target) -> None:
    def count(text: str) -> int:
        messages = [{"role": "user", "content": text}]
        return claude.messages.count_tokens(model=target.model, messages=messages).input_tokens

    assert 0 < count("one sentence.") < count("one sentence. " * 40)


def test_the_models_are_listed(claude: anthropic.Anthropic, target: Target) -> None:
    assert target.model in [model.id for model in claude.models.list()]


def test_one_model_is_described(claude: anthropic.Anthropic, direct: Target) -> None:
    assert claude.models.retrieve(direct.model).display_name
    with pytest.raises(anthropic.NotFoundError, match="model: no-such-model"):
        claude.models.retrieve("no-such-model")


@pytest.mark.parametrize("break_it", ["swap", "lose", "double"])
def test_twin_the_order_check_sees_a_broken_stream(claude: anthropic.Anthropic, direct: Target, break_it: str) -> None:
    request = {"model": direct.model, "max_tokens": 90, "messages": [{"role": "user", "content": "[[tokens=4]]"}]}
    with claude.messages.create(stream=True, **request) as events:
        good = [event.to_dict() for event in events]
    check_order(good)
    stop = next(place for place, event in enumerate(good) if event["type"] == "content_block_stop")
    broken = {
        "swap": [*good[: stop - 1], good[stop], good[stop - 1], *good[stop + 1 :]],
        "lose": [*good[:stop], *good[stop + 1 :]],
        "double": [*good[:stop], good[stop], *good[stop:]],
    }[break_it]
    with pytest.raises(AssertionError):
        check_order(broken)
