"""Refusals as providers write them: what the client is told, and that no request lets a shared target rest."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.scripted_upstream import JSON, Answer, error, upstream, whole_message
from tests.unit.services.gateway.process import catalogue, messages, model, process, run
from tollgate.services.gateway.convert.upstream_error import UpstreamFailedError
from tollgate.services.gateway.upstream import failure

ASKED, MODEL, ACCOUNT = (400, "invalid_request"), (424, "provider_model_missing"), (424, "provider_refused_gateway")
WORKS = {"final": False, "rests": False}
RESTS = {"final": False, "rests": True}
FINAL = {"final": True, "rests": False}


def anthropics(kind: str, words: str) -> Any:
    return {"type": "error", "error": {"type": kind, "message": words}, "request_id": "req_011"}


def routers(code: int, words: str, **metadata: Any) -> Any:
    return {"error": {"message": words, "code": code, **({"metadata": metadata} if metadata else {})}, "user_id": "u"}


def openais(words: str, code: Any = None) -> Any:
    return {"error": {"message": words, "type": "invalid_request_error", "param": None, "code": code}}


# Status, body -> what the client is told; whether the target may rest, and whether no other target is asked.
ROWS: dict[str, tuple[int, Any, tuple[int, str], dict[str, bool]]] = {
    # The request.
    "anthropic: a file": (404, anthropics("not_found_error", "File not found: file_011"), ASKED, WORKS),
    "anthropic: a file, without its name": (404, anthropics("not_found_error", "File not found"), ASKED, WORKS),
    "anthropic: a container": (404, anthropics("not_found_error", "Container container_1 not found."), ASKED, WORKS),
    "openrouter: an image": (404, routers(404, "No endpoints found that support image input"), ASKED, WORKS),
    "openrouter: a tool": (
        404,
        routers(404, 'No endpoints found that support tool use. Try disabling "model". To learn more: https://x.ai/a'),
        ASKED,
        WORKS,
    ),
    "openrouter: flagged": (
        403,
        routers(403, "Your input was flagged", reasons=["violence"], flagged_input="…", provider_name="OpenAI"),
        ASKED,
        FINAL,
    ),
    "openrouter: flagged, only in metadata": (403, routers(403, "Forbidden", flagged_input="…"), ASKED, FINAL),
    "openrouter: moderated": (403, routers(403, "openai/o3 requires moderation on OpenAI."), ASKED, FINAL),
    "a filter in anthropic's shape": (403, anthropics("permission_error", "Blocked by content filter"), ASKED, FINAL),
    "openai: a file": (404, openais("No such File object: file-abc"), ASKED, WORKS),
    "fastapi: a file": (404, {"detail": "adapter7 not found"}, ASKED, WORKS),
    # The configuration. A request may name a model too, so its name alone lets nobody rest.
    "anthropic: the model": (404, anthropics("not_found_error", "model: claude-9"), MODEL, WORKS),
    "openai: the model": (404, openais("The model `gpt-9` does not exist", "model_not_found"), MODEL, WORKS),
    "openrouter: the model": (404, routers(404, "No endpoints found for acme/llm-9."), MODEL, WORKS),
    "azure: the deployment": (404, openais("The API deployment for this resource does not exist."), MODEL, WORKS),
    "vllm: the model": (
        404,
        {"object": "error", "message": "The model `x` does not exist.", "code": 404},
        MODEL,
        WORKS,
    ),
    "ollama: the model": (404, {"error": 'model "x" not found, try pulling it first'}, MODEL, WORKS),
    "google: the model": (404, [{"error": {"code": 404, "message": "models/x is not found"}}], MODEL, WORKS),
    "llama.cpp: the path": (404, {"error": {"code": 404, "message": "File Not Found", "type": "x"}}, MODEL, WORKS),
    "openai: the path": (404, openais("Invalid URL (POST /v2/chat/completions)"), MODEL, WORKS),
    "an error that was cut off": (
        404,
        b'{"type":"error","error":{"type":"not_found_error","message":"File ',
        MODEL,
        WORKS,
    ),
    "without words": (404, {"code": 404}, MODEL, WORKS),
    "fastapi: the path": (404, {"detail": "Not Found"}, MODEL, RESTS),
    "spring: the path": (404, {"status": 404, "error": "Not Found", "path": "/v1"}, MODEL, RESTS),
    "a page": (404, b"<html><h1>404</h1></html>", MODEL, RESTS),
    "ollama: the path": (404, b"404 page not found", MODEL, RESTS),
    # The account.
    "anthropic: the key": (401, anthropics("authentication_error", "invalid x-api-key"), ACCOUNT, RESTS),
    "anthropic: permission": (403, anthropics("permission_error", "Your account was disabled"), ACCOUNT, RESTS),
    "a flagged account": (403, openais("Your account was flagged"), ACCOUNT, RESTS),
    "a wall": (403, b"<html>Access denied</html>", ACCOUNT, RESTS),
    "openrouter: no credit": (402, routers(402, "Insufficient credits. Add more"), ACCOUNT, RESTS),
    "openrouter: no credit for this": (
        402,
        routers(402, "This request requires more credits, or fewer max_tokens. You can only afford 9."),
        ACCOUNT,
        WORKS,
    ),
    "openrouter: data policy": (404, routers(404, "No endpoints found matching your data policy"), ACCOUNT, WORKS),
    "openrouter: guardrails": (
        404,
        routers(404, "No endpoints available matching your guardrail restrictions and data policy. Configure: x"),
        ACCOUNT,
        WORKS,
    ),
}


@pytest.mark.parametrize(("status", "body", "told", "then"), ROWS.values(), ids=ROWS)
@pytest.mark.parametrize("native", [True, False], ids=["messages", "chat"])
def test_a_providers_refusal(
    status: int, body: Any, told: tuple[int, str], then: dict[str, bool], native: bool
) -> None:
    sent = body if isinstance(body, bytes) else json.dumps(body).encode()
    failed = failure.of_status(status, {}, sent, native=native)
    assert (failed.refusal.status, failed.refusal.code, failed.refusal.retry) == (*told, False)
    assert {"final": failed.final, "rests": failed.rests} == then
    if told is ASKED:
        assert failed.refusal.message.split()[0] in sent.decode(), "the provider's words"
        assert "https" not in failed.refusal.message and failed.kind == f"status_{status}"


QUOTED = ["invalid api key", "billing", "payment", "insufficient_quota", "Your credit balance is too low", "model: x"]


@pytest.mark.parametrize("quoted", QUOTED)
@pytest.mark.parametrize("status", [400, 404, 413, 422])
@pytest.mark.parametrize("native", [True, False], ids=["messages", "chat"])
def test_words_of_the_request_let_no_target_rest(status: int, quoted: str, native: bool) -> None:
    for words in (f"tools.0.name: expected a name, got '{quoted}'", f"File not found: {quoted}"):
        for body in (anthropics("invalid_request_error", words), openais(words), {"detail": words}):
            assert not failure.of_status(status, {}, json.dumps(body).encode(), native=native).rests


def test_twin_an_account_without_credit_lets_its_target_rest() -> None:
    empty = json.dumps(anthropics("invalid_request_error", "Your credit balance is too low to access the API."))
    assert failure.of_status(400, {}, empty.encode(), native=True).rests
    assert failure.of_stream(UpstreamFailedError("account", "payment required")).rests


@pytest.mark.parametrize(
    ("said", "rests"),
    [
        (error(404, "not_found_error", "File not found: file_011"), False),
        (error(404, "not_found_error", "model: mine"), False),
        (Answer([json.dumps(routers(404, "No endpoints found that support tool use")).encode()], 404, JSON), False),
        (error(401, "authentication_error", "key"), True),
        (Answer([b"<html>"], 404), True),
    ],
    ids=["file", "model", "tool", "twin: the key", "twin: the address"],
)
def test_one_tenants_refusals_leave_a_shared_target_at_work(tmp_path: Path, said: Answer, rests: bool) -> None:
    async def test() -> None:
        whole = Answer([whole_message()], headers=JSON)
        async with upstream(said) as one, upstream(whole) as two:
            served = catalogue(model(messages(one), messages(two, "two", order=2)), allowed_fails=3)
            async with process(tmp_path, served) as gateway:
                for _ in range(4):
                    assert (await gateway.ask()).status == 200, "the other target may do better"
                one.answers(whole)
                assert (await gateway.ask()).status == 200
                assert (len(one.asked), len(two.asked)) == ((4, 5) if rests else (5, 4))

    run(test)


def test_flagged_input_goes_to_no_other_target(tmp_path: Path) -> None:
    async def test() -> None:
        flagged = json.dumps(routers(403, "Your input was flagged", reasons=["violence"])).encode()
        async with upstream(Answer([flagged], 403, JSON)) as one, upstream(Answer([whole_message()])) as two:
            served = catalogue(model(messages(one), messages(two, "two", order=2)), allowed_fails=0)
            async with process(tmp_path, served) as gateway:
                told = (400, "invalid_request_error", "Your input was flagged")
                for _ in range(2):
                    assert (await gateway.ask()).told == told
                assert (len(one.asked), len(two.asked)) == (2, 0)

    run(test)
