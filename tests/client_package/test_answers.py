"""Answers that are odd: nothing that is paid is lost for a wrong field beside it, and nothing crashes the program."""

from __future__ import annotations

import copy
import json
import pickle
from decimal import Decimal
from typing import Any

import pytest

from tests.client_package.test_failures import HELLO, SSE, asking
from tests.support.scripted_upstream import JSON, Answer, Upstream
from tests.unit.services.gateway.process import KEY
from tollgate.services.gateway.ledger import usage as booked
from tollgate_client import LiteLLMProvider, errors
from tollgate_client.errors import (
    AnswerError,
    ConfigurationError,
    MaxCostError,
    NoModelError,
    StatusError,
    StreamInterruptedError,
    TollgateError,
)
from tollgate_client.messages import MessageEvent, MessageUsage
from tollgate_client.models import ChatChunk, ChatCompletion, ChatMessage, FunctionCall, Usage
from tollgate_client.part import leniently
from tollgate_client.usage_of import of_chunk, of_event

PRICED = {"m": {"pricing": {"input_per_million": 2, "output_per_million": 8}}}
DEEP = "[" * 100_000


def chat(**odd: Any) -> dict[str, Any]:
    message = {"role": "assistant", "content": "hi", **odd.pop("message", {})}
    return {"choices": [{"message": message, **odd.pop("choice", {})}], **odd}


@pytest.mark.parametrize(
    "odd",
    [
        {"created": 1.5},
        {"id": 7, "model": ["m"]},
        {"usage": "much"},
        {"usage": {"prompt_tokens": 1, "prompt_tokens_details": 5}},
        {"choice": {"finish_reason": 3, "index": "first"}},
        {"message": {"tool_call_id": 5, "refusal": False}},
    ],
)
def test_a_wrong_field_beside_a_paid_answer_counts_as_absent(odd: dict[str, Any]) -> None:
    piece = {"choices": [{"delta": {"content": "hi"}, **odd.get("choice", {})}], "id": 7, "usage": odd.get("usage")}
    stream = [f"data: {json.dumps(piece)}\n\n".encode(), b"data: [DONE]\n\n"]

    async def then(provider: LiteLLMProvider, server: Upstream) -> None:
        assert (await provider.chat_completion(HELLO, "m")).text == "hi"
        assert [chunk.text async for chunk in provider.stream_chat_completion(HELLO, "m")] == ["hi"]

    asking(Answer([json.dumps(chat(**odd)).encode()], headers=JSON), Answer(stream, headers=SSE), then=then)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"<html>",
        b'{"choices": [',
        b"[]",
        b'{"choices": 5}',
        b'{"choices": [{"message": {"content": 5}}]}',
        b'{"choices": [{"message": {"tool_calls": [{"function": {"name": "f", "arguments": 5}}]}}]}',
        b'{"choices": [{"message": {"tool_calls": [{"function": {"name": 5}}]}}]}',
        b'{"choices": [], "x": ' + DEEP.encode(),
    ],
)
def test_twin_a_wrong_answer_is_an_error(text: bytes) -> None:
    async def then(provider: LiteLLMProvider, server: Upstream) -> None:
        with pytest.raises(AnswerError, match="no answer of the gateway"):
            await provider.chat_completion(HELLO, "m")
        assert len(server.asked) == 1

    asking(Answer([text], headers=JSON), then=then)


@pytest.mark.parametrize(
    ("event", "kind"),
    [
        (b"data: " + DEEP.encode(), AnswerError),
        (b"data: 5", AnswerError),
        (b'data: {"choices": 5}', AnswerError),
        (b'data: {"error": {"message": "No room.", "type": "overloaded_error"}}', StreamInterruptedError),
        (b'event: error\ndata: {"message": "No room."}', StreamInterruptedError),
    ],
)
def test_a_wrong_event_of_a_stream_is_an_error(event: bytes, kind: type[TollgateError]) -> None:
    async def then(provider: LiteLLMProvider, server: Upstream) -> None:
        with pytest.raises(kind):
            async for _ in provider.stream_chat_completion(HELLO, "m"):
                pass
        assert len(server.asked) == 1

    asking(Answer([event, b"\n\n"], headers=SSE), then=then)


def test_your_own_messages_are_checked_as_before() -> None:
    with pytest.raises(ValueError, match="content"):
        ChatMessage(role="user", content=5)
    with pytest.raises(ValueError, match="recursion"):
        FunctionCall(name="f", arguments=DEEP).parsed()


# ---- what an answer cost


@pytest.mark.parametrize(
    "stated",
    [
        {"prompt_tokens": 100, "completion_tokens": 5, "prompt_cache_hit_tokens": 40},
        {"prompt_tokens": 100, "completion_tokens": 5, "cached_tokens": 40},
        {"prompt_tokens": 100.0, "completion_tokens": 5.0},
        {"prompt_tokens": 100, "completion_tokens": 5.5},
    ],
)
def test_tokens_have_the_names_that_the_ledger_knows(stated: dict[str, Any]) -> None:
    own, theirs = Usage.model_validate(stated).tokens(), booked.openai(stated, booked.Estimate())
    assert vars(own) == {name: getattr(theirs, name) for name in vars(own)}


def test_a_stream_that_repeats_a_zero_costs_what_the_ledger_books() -> None:
    stated = [{"prompt_tokens": 9, "completion_tokens": 4}, {"prompt_tokens": 9, "completion_tokens": 0}]
    own, theirs = None, booked.OpenAIStream()
    for usage in stated:
        own = of_chunk(ChatChunk.model_validate({"usage": usage}), own)
        theirs.feed({"usage": usage})
    tokens = theirs.usage(booked.Estimate())
    assert own is not None and (own.tokens().input, own.tokens().output) == (tokens.input, tokens.output) == (9, 4)


def test_a_later_figure_of_a_message_counts() -> None:
    usage = None
    for event in (
        {"type": "message_start", "message": {"usage": {"input_tokens": 12, "cache_creation": "odd"}}},
        {"type": "message_delta", "usage": {"input_tokens": 9, "output_tokens": 3}},
        {"type": "message_delta", "usage": {"output_tokens": 0}},
    ):
        usage = of_event(leniently(MessageEvent, event), usage)
    assert isinstance(usage, MessageUsage)
    assert (usage.tokens().input, usage.tokens().output) == (9, 3)


def test_a_stream_that_is_not_over_has_no_cost_yet() -> None:
    first = {"type": "message_start", "message": {"usage": {"input_tokens": 50, "output_tokens": 1}}}
    last = {"type": "message_delta", "usage": {"output_tokens": 1000}}
    events = [f"data: {json.dumps(event)}\n\n".encode() for event in (first, last, {"type": "message_stop"})]

    async def then(provider: LiteLLMProvider, server: Upstream) -> None:
        async with provider.messages_stream(HELLO, "m", 1000) as stream:
            await anext(stream)
            with pytest.raises(ConfigurationError, match="has not ended"):
                provider.cost_of(stream)
        whole = provider.messages_stream(HELLO, "m", 1000)
        assert len([event async for event in whole]) == 3
        assert provider.cost_of(whole) == Decimal("0.0081")

    asking(Answer(events, headers=SSE), then=then, custom_models=PRICED)


# ---- errors between processes

REFUSED = {"status": 429, "kind": "k", "code": "c", "request_id": "r", "retry_after": 3.0}


def leaves(kind: type[TollgateError]) -> list[type[TollgateError]]:
    below = kind.__subclasses__()
    return [leaf for one in below for leaf in leaves(one)] if below else [kind]


def test_every_error_passes_between_processes() -> None:
    special: dict[type[TollgateError], TollgateError] = {
        NoModelError: NoModelError("none", {"a/b": "no"}),
        MaxCostError: MaxCostError(max_cost=Decimal(1), cheapest="a/b", needed=Decimal(2)),
    }
    kinds = leaves(TollgateError)
    assert len(kinds) > 12 and errors.BudgetSpentError in kinds
    for kind in kinds:
        made = special.get(kind) or (kind("words", **REFUSED) if issubclass(kind, StatusError) else kind("words"))
        for again in (pickle.loads(pickle.dumps(made)), copy.copy(made)):  # noqa: S301  its own words
            assert type(again) is kind and str(again) == str(made) and vars(again) == vars(made)


def test_an_answer_passes_between_processes() -> None:
    answer = ChatCompletion.model_validate(chat(new=[1]))
    answer.came_with("req-1", "m")
    again = pickle.loads(pickle.dumps(answer))  # noqa: S301  its own words
    assert (again.request_id, again.asked_model, again["new"]) == ("req-1", "m", [1]) and KEY not in repr(again)
