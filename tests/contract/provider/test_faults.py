"""Each dial with the official SDKs: the right exception, a broken stream, a timeout.

A gateway in between may change the words of an error, and may turn a broken connection into its own error. It must not
lose the error. Tests of the provider's own answers (envelopes, exact exceptions) use `direct`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import anthropic
import httpx2
import openai
import pytest

from tests.contract.provider.cases import both_ways
from tests.contract.provider.target import Target

Ask = Callable[..., list[str]]


@pytest.fixture
def ask_claude(claude: anthropic.Anthropic, dialled: Target) -> Ask:
    """Ask with dials in the words; the pieces of text that came."""

    def ask(dials: str, stream: bool, into: list[str] | None = None, **options: Any) -> list[str]:
        pieces = [] if into is None else into
        request = {"model": dialled.model, "max_tokens": 500, "messages": [{"role": "user", "content": f"hi {dials}"}]}
        if not stream:
            pieces += [block.text for block in claude.messages.create(**request, **options).content]
            return pieces
        with claude.messages.create(stream=True, **request, **options) as events:
            for event in events:
                if event.type == "content_block_delta":
                    pieces.append(event.delta.text)
        return pieces

    return ask


@pytest.fixture
def ask_gpt(gpt: openai.OpenAI, dialled: Target) -> Ask:
    """Ask with dials in the words; the pieces of text that came."""

    def ask(dials: str, stream: bool, into: list[str] | None = None, **options: Any) -> list[str]:
        pieces = [] if into is None else into
        request = {"model": dialled.model, "messages": [{"role": "user", "content": f"hi {dials}"}]}
        if not stream:
            pieces.append(gpt.chat.completions.create(**request, **options).choices[0].message.content or "")
            return pieces
        with gpt.chat.completions.create(stream=True, **request, **options) as chunks:
            pieces += (piece for chunk in chunks if (piece := chunk.choices[0].delta.content))
        return pieces

    return ask


CLAUDE_ERRORS = [
    (400, anthropic.BadRequestError, "invalid_request_error"),
    (401, anthropic.AuthenticationError, "authentication_error"),
    (403, anthropic.PermissionDeniedError, "permission_error"),
    (404, anthropic.NotFoundError, "not_found_error"),
    (413, anthropic.RequestTooLargeError, "request_too_large"),
    (429, anthropic.RateLimitError, "rate_limit_error"),
    (500, anthropic.InternalServerError, "api_error"),
    (503, anthropic.ServiceUnavailableError, "overloaded_error"),
    (529, anthropic.OverloadedError, "overloaded_error"),
]
GPT_ERRORS = [
    (400, openai.BadRequestError, "invalid_request_error"),
    (401, openai.AuthenticationError, "invalid_request_error"),
    (403, openai.PermissionDeniedError, "invalid_request_error"),
    (404, openai.NotFoundError, "invalid_request_error"),
    (422, openai.UnprocessableEntityError, "invalid_request_error"),
    (429, openai.RateLimitError, "requests"),
    (500, openai.InternalServerError, "server_error"),
    (529, openai.InternalServerError, "server_error"),
]


@both_ways
@pytest.mark.parametrize(("status", "error", "kind"), CLAUDE_ERRORS)
def test_a_dialled_status_is_the_anthropic_error(
    ask_claude: Ask, target: Target, stream: bool, status: int, error: type[anthropic.APIStatusError], kind: str
) -> None:
    with pytest.raises(error) as caught:
        ask_claude(f"[[status={status} retry-after=7]]", stream)
    assert type(caught.value) is error
    body = caught.value.body
    assert body["type"] == "error"
    assert body["error"]["message"]
    if target.direct:
        assert body["error"]["type"] == kind
        assert body["request_id"] == caught.value.request_id
        assert caught.value.response.headers["retry-after"] == "7"


@both_ways
@pytest.mark.parametrize(("status", "error", "kind"), GPT_ERRORS)
def test_a_dialled_status_is_the_openai_error(
    ask_gpt: Ask, target: Target, stream: bool, status: int, error: type[openai.APIStatusError], kind: str
) -> None:
    with pytest.raises(error) as caught:
        ask_gpt(f"[[status={status}]]", stream)
    assert type(caught.value) is error
    if target.direct:
        assert caught.value.type == kind
        assert caught.value.request_id
        assert "retry-after" not in caught.value.response.headers


@both_ways
def test_an_upstream_time_out_is_an_error_a_client_retries(
    ask_claude: Ask, ask_gpt: Ask, target: Target, stream: bool
) -> None:
    """LiteLLM answers 408 for an upstream's 504."""
    with pytest.raises(anthropic.APIStatusError) as claude:
        ask_claude("[[status=504]]", stream)
    with pytest.raises(openai.APIStatusError) as gpt:
        ask_gpt("[[status=504]]", stream)
    for caught in (claude, gpt):
        assert caught.value.status_code in ((504,) if target.direct else (408, 504))


@both_ways
def test_no_key_is_an_authentication_error(direct: Target, stream: bool) -> None:
    body = {"model": direct.model, "max_tokens": 5, "stream": stream, "messages": [{"role": "user", "content": "hi"}]}
    claude = direct.post("/v1/messages", body, authorization="")
    assert (claude.status_code, claude.json()["error"]["type"]) == (401, "authentication_error")
    gpt = direct.post("/v1/chat/completions", body, authorization="Bearer")
    assert (gpt.status_code, gpt.json()["error"]["type"]) == (401, "invalid_request_error")
    assert direct.post("/v1/messages", body, **{"authorization": "", "x-api-key": "k"}).status_code == 200


# httpx2's errors reach the caller of a broken anthropic stream as they are; openai wraps them.
@pytest.mark.parametrize("at", [1, 10])
def test_a_drop_breaks_the_anthropic_stream(ask_claude: Ask, target: Target, at: int) -> None:
    came: list[str] = []
    with pytest.raises(httpx2.TransportError if target.direct else (httpx2.TransportError, anthropic.APIError)):
        ask_claude(f"[[drop=after:{at} tps=20]]", True, came)
    assert len(came) == at


@pytest.mark.parametrize("at", [1, 10])
def test_a_drop_breaks_the_openai_stream(ask_gpt: Ask, target: Target, at: int) -> None:
    came: list[str] = []
    with pytest.raises(openai.APIConnectionError if target.direct else openai.APIError):
        ask_gpt(f"[[drop=after:{at} tps=20]]", True, came)
    assert len(came) == at


@both_ways
def test_a_drop_before_the_first_byte_is_a_connection_error(
    ask_claude: Ask, ask_gpt: Ask, target: Target, stream: bool
) -> None:
    with pytest.raises(anthropic.APIConnectionError if target.direct else anthropic.APIError):
        ask_claude("[[drop]]", stream)
    with pytest.raises(openai.APIConnectionError if target.direct else openai.APIError):
        ask_gpt("[[drop=after:0]]", stream)


@both_ways
def test_a_hang_times_out(ask_claude: Ask, ask_gpt: Ask, stream: bool) -> None:
    with pytest.raises(anthropic.APITimeoutError):
        ask_claude("[[hang]]", stream, timeout=0.5)
    with pytest.raises(openai.APITimeoutError):
        ask_gpt("[[hang]]", stream, timeout=0.5)


def test_a_hang_in_the_middle_times_out_after_what_came(ask_claude: Ask, ask_gpt: Ask) -> None:
    came: list[str] = []
    with pytest.raises(httpx2.ReadTimeout):
        ask_claude("[[hang=after:3]]", True, came, timeout=3)
    assert len(came) == 3
    with pytest.raises(openai.APITimeoutError):
        ask_gpt("[[hang=after:3]]", True, timeout=3)


def test_an_error_event_ends_the_anthropic_stream(ask_claude: Ask) -> None:
    came: list[str] = []
    with pytest.raises(anthropic.APIStatusError, match="overloaded_error"):
        ask_claude("[[error=after:4:529]]", True, came)
    assert len(came) == 4


def test_an_error_event_ends_the_openai_stream(ask_gpt: Ask) -> None:
    came: list[str] = []
    with pytest.raises(openai.APIError, match="had an error"):
        ask_gpt("[[error=after:4]]", True, came)
    assert len(came) == 4


def test_an_error_event_without_a_stream_is_an_error_answer(ask_claude: Ask, ask_gpt: Ask) -> None:
    with pytest.raises(anthropic.OverloadedError):
        ask_claude("[[error=after:4:529]]", False)
    with pytest.raises(openai.InternalServerError):
        ask_gpt("[[error]]", False)


@pytest.mark.parametrize("dial", ["gap=after:2:0.2", "latency=0.1", "tps=500"])
def test_slow_answers_are_whole_answers(ask_claude: Ask, ask_gpt: Ask, dial: str) -> None:
    for ask in (ask_claude, ask_gpt):
        assert len(ask(f"[[tokens=6 {dial}]]", True)) == 6
        assert len(ask(f"[[tokens=6 {dial}]]", False)) == 1


@both_ways
@pytest.mark.parametrize("path", ["/v1/messages", "/v1/chat/completions"])
@pytest.mark.parametrize("place", ["header", "model", "message"])
def test_a_bad_dial_is_named_with_the_known_ones(direct: Target, path: str, place: str, stream: bool) -> None:
    headers = {"x-tollgate-dial": "speed=9"} if place == "header" else {}
    model = direct.model + ("+speed=9" if place == "model" else "")
    words = "hi" + (" [[speed=9]]" if place == "message" else "")
    body = {"model": model, "max_tokens": 5, "stream": stream, "messages": [{"role": "user", "content": words}]}
    answer = direct.post(path, body, **headers)
    assert answer.status_code == 400
    message = answer.json()["error"]["message"]
    assert "'speed=9'" in message
    assert "tps" in message


def test_every_place_dials_and_the_header_wins(direct: Target) -> None:
    def tokens(model: str, words: str, **headers: str) -> int:
        body = {"model": model, "max_tokens": 900, "messages": [{"role": "user", "content": words}]}
        return direct.post("/v1/messages", body, **headers).json()["usage"]["output_tokens"]

    assert tokens(f"{direct.model}+tokens=11", "hi") == 11
    assert tokens(f"{direct.model}+tokens=11", "hi [[tokens=12]]") == 12
    assert tokens(f"{direct.model}+tokens=11", "hi [[tokens=12]]", **{"x-tollgate-dial": "tokens=13"}) == 13
