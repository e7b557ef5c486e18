"""What a client is told for each answer of an upstream (docs/refusals.md)."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from tollgate.services.gateway.convert.upstream_error import KINDS, UpstreamFailedError
from tollgate.services.gateway.upstream import failure
from tollgate.services.gateway.upstream.failure import Failure


def native(status: int, kind: str = "api_error", words: str = "their words", **headers: str) -> Failure:
    body = json.dumps({"type": "error", "error": {"type": kind, "message": words}}).encode()
    return failure.of_status(status, named(headers), body, native=True)


def chat(status: int, words: str = "their words", code: Any = None, **headers: str) -> Failure:
    body = json.dumps({"error": {"message": words, "type": "x", "code": code}}).encode()
    return failure.of_status(status, named(headers), body, native=False)


def named(headers: dict[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in headers.items()}


@pytest.mark.parametrize(
    ("status", "kind", "retry", "final"),
    [
        (400, "invalid_request_error", False, True),
        (400, "billing_error", False, True),
        (413, "request_too_large", False, True),
        (422, "invalid_request_error", False, True),
        (408, "timeout_error", True, False),
        (409, "invalid_request_error", True, False),
        (429, "rate_limit_error", True, False),
        (500, "api_error", True, False),
        (503, "api_error", True, False),
        (529, "overloaded_error", True, False),
    ],
)
def test_a_native_error_keeps_status_type_and_words(status: int, kind: str, retry: bool, final: bool) -> None:
    failed = native(status, kind)
    refusal = failed.refusal
    assert (refusal.status, refusal.kind, refusal.message) == (status, kind, "their words")
    assert (refusal.retry, refusal.retry_after, failed.final) == (retry, None, final)
    assert failed.rests is not final, "an error of the request is not the target's fault"


@pytest.mark.parametrize(
    ("status", "words", "told", "kind", "final"),
    [
        (400, "bad tool", 400, "invalid_request_error", True),
        (413, "too big", 413, "request_too_large", True),
        (422, "bad field", 422, "invalid_request_error", True),
        (408, "slow", 529, "overloaded_error", False),
        (429, "slow down", 429, "rate_limit_error", False),
        (500, "stack trace", 529, "overloaded_error", False),
        (503, "busy", 529, "overloaded_error", False),
    ],
)
def test_a_chat_error_becomes_anthropics(status: int, words: str, told: int, kind: str, final: bool) -> None:
    failed = chat(status, words)
    assert (failed.refusal.status, failed.refusal.kind, failed.final) == (told, kind, final)
    assert (words in failed.refusal.message) is (told < 429), "only errors of the request have the upstream's words"


@pytest.mark.parametrize("said", ["true", "false"])
@pytest.mark.parametrize("after", ["70", "3600"])
@pytest.mark.parametrize(
    "make",
    [
        lambda **more: native(429, "rate_limit_error", **more),
        lambda **more: native(503, **more),
        lambda **more: chat(429, **more),
        lambda **more: chat(503, **more),
        lambda **more: chat(500, **more),
        lambda **more: chat(408, **more),
    ],
)
def test_retry_headers_pass_as_they_came(make: Any, said: str, after: str) -> None:
    refusal = make(retry_after=after, x_should_retry=said).refusal
    assert (refusal.retry, refusal.retry_after) == (said == "true", int(after))


@pytest.mark.parametrize("status", [429, 500, 503])
def test_twin_a_chat_upstream_without_a_word_means_five_seconds(status: int) -> None:
    assert (chat(status).refusal.retry, chat(status).refusal.retry_after) == (True, 5)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("0", 0), ("1.2", 2), (" 5 ", 5), ("-1", None), ("soon", None), ("", None), ("99999999", None), ("1e3", None)],
)
def test_a_retry_after_is_never_less_than_asked(value: str, seconds: int | None) -> None:
    assert native(529, retry_after=value).refusal.retry_after == seconds


def test_a_retry_after_may_be_a_date() -> None:
    when = datetime.now(UTC) + timedelta(minutes=10)
    seconds = native(429, retry_after=format_datetime(when, usegmt=True)).refusal.retry_after
    assert seconds is not None and 570 < seconds <= 600
    assert native(429, retry_after="Wed, 21 Oct 2015 07:28:00 GMT").refusal.retry_after == 0


@pytest.mark.parametrize(
    "failed",
    [
        *(native(status) for status in (401, 402, 403)),
        *(chat(status) for status in (401, 402, 403)),
        native(400, "invalid_request_error", "Your credit balance is too low to access the API"),
        chat(400, "You exceeded your current quota: insufficient_quota"),
        chat(400, "Invalid API key provided: sk-proj-abcdef0123"),
        failure.of_stream(UpstreamFailedError("account", "payment required")),
    ],
)
def test_trouble_of_the_gateways_account_is_a_424_in_our_words(failed: Failure) -> None:
    refusal = failed.refusal
    assert (refusal.status, refusal.retry, refusal.code) == (424, False, "provider_refused_gateway")
    assert "not your key" in refusal.message and "their words" not in refusal.message
    assert "sk-proj" not in failed.detail
    assert not failed.final, "another target has another account"


@pytest.mark.parametrize("make", [lambda words: native(400, "invalid_request_error", words), lambda w: chat(400, w)])
def test_a_litellm_behind_us_says_its_own_sentence(make: Any) -> None:
    """It is about the model that our configuration names, so it must not read like our refusal of a tenant's model."""
    words = "/v1/messages: Invalid model name passed in model=gpt-9. Call `/v1/models` to view available models."
    refusal = make(words).refusal
    assert (refusal.status, refusal.message) == (400, words)


@pytest.mark.parametrize("make", [native, chat])
def test_a_model_that_the_provider_lacks_is_the_operators_trouble(make: Any) -> None:
    refusal = make(404, words="model: one").refusal
    assert (refusal.status, refusal.code, refusal.retry) == (424, "provider_model_missing", False)


@pytest.mark.parametrize(
    ("failed", "words"),
    [
        (
            chat(400, "This model's maximum context length is 8192 tokens. However, your messages resulted in 9001"),
            "prompt is too long: 9001 tokens > 8192 maximum",
        ),
        (chat(500, "the context size of 4096 is exceeded"), "prompt is too long"),
        (native(400, "invalid_request_error", "prompt is too long: 9 tokens > 5 maximum"), "prompt is too long: 9"),
        (failure.of_stream(UpstreamFailedError("context_length")), "prompt is too long"),
        (failure.prompt_too_long(9, 5), "prompt is too long: 9 tokens > 5 maximum"),
    ],
)
def test_a_prompt_that_is_too_long_lets_claude_code_compact(failed: Failure, words: str) -> None:
    assert (failed.refusal.status, failed.refusal.retry, failed.too_long) == (400, False, True)
    assert failed.refusal.message.startswith(words)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>nginx 10.0.0.7</html>",
        b"{",
        b"[]",
        b"null",
        b'"text"',
        b'{"error":null}',
        b'{"error":' * 900 + b"1" + b"}" * 900,
        b'{"error":{"message":5}}',
        b"\xff\xfe",
    ],
)
@pytest.mark.parametrize("status", [400, 403, 404, 418, 429, 500, 529, 599, 600, 999])
@pytest.mark.parametrize("speaks_messages", [True, False])
def test_any_error_body_has_an_answer_in_our_words(body: bytes, status: int, speaks_messages: bool) -> None:
    refusal = failure.of_status(status, {}, body, native=speaks_messages).refusal
    assert 400 <= refusal.status <= 599
    assert refusal.message and "html" not in refusal.message and "10.0.0.7" not in refusal.message


@pytest.mark.parametrize("secret", ["http://10.1.2.3:8000/v1", "10.1.2.3:8000", "sk-ant-api03-abcdef", "a" * 64])
@pytest.mark.parametrize("make", [lambda words: native(400, words=words), lambda words: chat(400, words)])
def test_addresses_keys_and_hashes_are_taken_out_of_words(make: Any, secret: str) -> None:
    message = make(f"cannot use {secret} now").refusal.message
    assert secret not in message and message.startswith("cannot use [")


@pytest.mark.parametrize("kind", ["connect", "timeout", "broken", "too_large", "html", "empty", "cut"])
def test_no_answer_is_a_529_that_names_no_cause(kind: str) -> None:
    refusal = failure.no_answer(kind).refusal
    assert (refusal.status, refusal.kind, refusal.retry, refusal.retry_after) == (529, "overloaded_error", True, 5)


@pytest.mark.parametrize("kind", ["too_large", "line_too_long"])
@pytest.mark.parametrize(
    "make",
    [
        lambda kind: failure.no_answer(kind, billed=True),
        lambda kind: failure.of_stream(UpstreamFailedError(kind)),
    ],
)
def test_an_answer_that_is_too_large_is_not_asked_for_again(kind: str, make: Any) -> None:
    failed = make(kind)
    assert (failed.refusal.status, failed.refusal.retry, failed.final, failed.rests) == (502, False, True, False)
    assert failed.billed


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_half_an_answer_is_billed_and_an_error_is_not(kind: str) -> None:
    told = {"account", "content_filter", "context_length", "error", "html", "overloaded", "rate_limit", "refused"}
    assert failure.of_stream(UpstreamFailedError(kind)).billed is (kind not in told | {"server", "timeout"})


def test_a_redirect_is_a_502_and_final_for_the_client() -> None:
    failed = failure.no_answer("redirect")
    assert (failed.refusal.status, failed.refusal.retry, failed.final) == (502, False, False)


@pytest.mark.parametrize(
    ("kind", "status", "retry"),
    [("overloaded", 529, True), ("server", 529, True), ("content_filter", 400, False), ("refused", 400, False)],
)
def test_a_failure_inside_of_a_stream_has_its_own_status(kind: str, status: int, retry: bool) -> None:
    failed = failure.of_stream(UpstreamFailedError(kind))
    assert (failed.refusal.status, failed.refusal.retry, failed.final) == (status, retry, not retry)
