"""count_tokens: a target that speaks Messages counts with all that the client sent. Nothing is taken or booked."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.support.scripted_upstream import HANG, JSON, Answer, Upstream, error, upstream, whole_message
from tests.unit.services.gateway.process import (
    PRICES,
    QUESTION,
    Process,
    Reply,
    caller,
    catalogue,
    chat,
    messages,
    model,
    process,
    run,
)
from tests.unit.services.gateway.test_cheapest import served as choosing
from tollgate.services.gateway import silence
from tollgate.services.gateway.catalogue import Catalogue
from tollgate.services.gateway.convert import carried
from tollgate.services.gateway.counting import ASK_AGAIN_S

COUNT, MESSAGES = "/v1/messages/count_tokens", "/v1/messages"
HANDED = b'{"handed":"over"}'
# As the API writes it, with a field that nobody here knows.
COUNTED = b'{"input_tokens": 2095, "context_management": {"original_input_tokens": 70000}}'
TEN, WHOLE = Answer([COUNTED], headers=JSON), Answer([whole_message()], headers=JSON)
PROMPT = [{"role": "user", "content": "hello"}]
LIMITS = {"requests_per_day": 1, "tokens_per_minute": 100, "max_parallel_requests": 1, "daily_limit": 1}


def count(gateway: Process, **more: Any) -> Awaitable[Reply]:
    """A count request has no max_tokens."""
    headers = {"content-type": "application/json", **more.pop("headers", {})}
    body = json.dumps({"model": "sonnet", "messages": PROMPT, **more.pop("body", {})})
    return gateway.ask(COUNT, headers=headers, data=more.pop("data", body), **more)


def counting(
    tmp_path: Path,
    test: Callable[[Process, Upstream], Awaitable[None]],
    *script: Answer,
    who: Any = None,
    served: Callable[[Upstream], Catalogue] = lambda one: catalogue(model(messages(one))),
    **more: Any,
) -> None:
    async def go() -> None:
        async with (
            upstream(*(script or (TEN,))) as one,
            process(tmp_path, served(one), who, **more) as gateway,
        ):
            await test(gateway, one)

    run(go)


def test_a_target_gets_all_that_the_client_sent_and_its_answer_passes(tmp_path: Path) -> None:
    sent = {
        "model": "sonnet",
        "system": [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral", "ttl": "1h"}}],
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "hello", "cache_control": {"type": "ephemeral"}}]},
            {"role": "system", "content": "A message in the middle."},
            {"role": "assistant", "content": [{"type": "thinking", "thinking": "so", "signature": "c2ln"}]},
            {"role": "user", "content": [{"type": "hologram", "of": ["next", "week"]}]},
        ],
        "tools": [
            {"name": "ls", "input_schema": {"type": "object"}, "defer_loading": True},
            {"type": "web_search_20260209", "name": "web_search"},
        ],
        "tool_choice": {"type": "auto", "disable_parallel_tool_use": True},
        "thinking": {"type": "adaptive", "display": "summarized"},
        "output_config": {"effort": "xhigh", "format": {"type": "json_schema", "schema": {}}},
        "context_management": {"edits": [{"type": "clear_tool_uses_20250919"}]},
        "mcp_servers": [{"type": "url", "url": "https://mcp.example.org", "name": "one"}],
        "speed": "fast",
        "safeguards": {"mode": "on"},
        "next_weeks_field": {"é": [1, 2.5, None]},
    }
    betas = "claude-code-20250219, next-week-2027-01-01,context-management-2025-06-27"
    headers = {"anthropic-version": "2026-10-21", "anthropic-beta": betas, "x-claude-code-session-id": "s1"}

    async def test(gateway: Process, one: Upstream) -> None:
        text = json.dumps(sent, separators=(",", ":"), ensure_ascii=False).encode()
        answer = await count(gateway, data=text, headers=headers)
        assert (answer.status, answer.text) == (200, COUNTED)
        assert answer.headers["content-type"] == "application/json" and answer.headers["request-id"]
        [asked] = one.asked
        assert asked.path == COUNT
        assert asked.text == text.replace(b'"sonnet"', b'"one-upstream"')
        assert {name: asked.headers[name] for name in headers} == headers
        assert asked.headers["x-api-key"] == "none", "never the client's"
        assert not gateway.litellm.asked

    counting(tmp_path, test)


def test_several_headers_of_betas_become_one_list(tmp_path: Path) -> None:
    async def test(gateway: Process, one: Upstream) -> None:
        headers = [("x-api-key", "sk-acme-0123456789abcdef"), ("anthropic-beta", "a-1"), ("anthropic-beta", "b-2")]
        async with gateway.session.post(gateway.url + COUNT, headers=headers, json=QUESTION) as answer:
            assert answer.status == 200
        assert one.asked[0].headers["anthropic-beta"] == "a-1, b-2"
        assert one.asked[0].headers["anthropic-version"] == "2023-06-01"

    counting(tmp_path, test)


def test_another_server_gets_what_it_would_get_on_messages(tmp_path: Path) -> None:
    def served(one: Upstream) -> Catalogue:
        return catalogue(model(messages(one, as_sent=False, anthropic=False)))

    async def test(gateway: Process, one: Upstream) -> None:
        body = {"next_weeks_field": 1, "context_management": {"edits": []}, "system": "Be brief.", "max_tokens": 9}
        sent = json.dumps({"model": "sonnet", "messages": PROMPT, **body})
        for path in (COUNT, MESSAGES):
            await gateway.ask(path, data=sent, headers={"anthropic-beta": "a-1", "content-type": "application/json"})
        asked, on_messages = one.asked
        assert asked.text == on_messages.text and b"next_weeks_field" not in asked.text
        assert "anthropic-beta" not in asked.headers and asked.headers["authorization"]

    counting(tmp_path, test, TEN, WHOLE, served=served)


def test_thinking_that_another_upstream_wrote_is_left_out(tmp_path: Path) -> None:
    async def test(gateway: Process, one: Upstream) -> None:
        ours = {"type": "thinking", "thinking": "so", "signature": f"{carried.MARK}x"}
        turn = {"role": "assistant", "content": [ours, {"type": "text", "text": "hi"}]}
        assert (await count(gateway, body={"messages": [*PROMPT, turn]})).status == 200
        assert one.asked[0].body["messages"][1]["content"] == [{"type": "text", "text": "hi"}]

    counting(tmp_path, test)


def test_a_count_takes_from_no_limit_and_leaves_no_line_in_the_journal(tmp_path: Path) -> None:
    async def test(gateway: Process, one: Upstream) -> None:
        answers = await asyncio.gather(*(count(gateway, body={"system": "word " * 200}) for _ in range(5)))
        assert [answer.status for answer in answers] == [200] * 5
        assert not gateway.booked() and not gateway.journal.running
        assert not gateway.counters.numbers and not gateway.counters.money and not gateway.counters.running
        one.answers(WHOLE)
        assert (await gateway.ask()).status == 200, "the day has room for its one request"
        assert (await gateway.ask()).status == 429, "twin: a message takes it"
        assert len(await gateway.ended()) == 1

    counting(tmp_path, test, who=caller(LIMITS))


def test_a_tenant_that_has_spent_its_budget_may_count(tmp_path: Path) -> None:
    async def test(gateway: Process, one: Upstream) -> None:
        assert (await gateway.ask()).told[:2] == (429, "billing_error")
        assert (await count(gateway)).text == COUNTED

    counting(tmp_path, test, who=caller({"daily_limit": 1}), spent=2 * 10**9)


@pytest.mark.parametrize(
    ("who", "status", "kind"),
    [
        (caller(team={"models": ["opus"]}), 403, "permission_error"),
        (caller(team={"blocked": True}), 401, "authentication_error"),
        (caller(key={"blocked": True}), 401, "authentication_error"),
        (caller(key={"allowed_routes": [MESSAGES]}), 403, "permission_error"),
    ],
    ids=["model", "tenant", "key", "route"],
)
def test_who_may_not_is_refused_before_anybody_is_asked(tmp_path: Path, who: Any, status: int, kind: str) -> None:
    async def test(gateway: Process, one: Upstream) -> None:
        assert (await count(gateway)).told[:2] == (status, kind)
        assert not one.asked and not gateway.litellm.asked

    counting(tmp_path, test, who=who)


@pytest.mark.parametrize("body", [{"api_key": "x"}, {"model": "sonnet,opus"}, {"stream": "yes"}])
def test_the_door_checks_a_count_too(tmp_path: Path, body: Any) -> None:
    async def test(gateway: Process, one: Upstream) -> None:
        assert (await count(gateway, body=body)).told[:2] == (400, "invalid_request_error")
        assert not one.asked and not gateway.litellm.asked

    counting(tmp_path, test)


@pytest.mark.parametrize(
    ("said", "status", "kind", "words", "headers"),
    [
        (error(400, "invalid_request_error", "tools.0: no"), 400, "invalid_request_error", "tools.0: no", {}),
        (error(413, "request_too_large", "large"), 413, "request_too_large", "large", {"x-should-retry": "false"}),
        (
            error(429, "rate_limit_error", "slow", **{"retry-after": "70", "x-should-retry": "false"}),
            *(429, "rate_limit_error", "slow", {"retry-after": "70", "x-should-retry": "false"}),
        ),
        (error(529, "overloaded_error", "busy"), 529, "overloaded_error", "busy", {"x-should-retry": "true"}),
        (error(500, "api_error", "broken"), 500, "api_error", "broken", {"x-should-retry": "true"}),
        (error(401, "authentication_error", "key"), 424, "api_error", "not your key", {"x-should-retry": "false"}),
        (error(403, "permission_error", "no"), 424, "api_error", "not your key", {"x-should-retry": "false"}),
        (error(404, "not_found_error", "model: one-upstream"), 424, "api_error", "does not have the model", {}),
        (error(404, "not_found_error", "File not found: file_1"), 400, "invalid_request_error", "file_1", {}),
        (Answer([], 307, {"location": "http://127.0.0.1:9/"}), 502, "api_error", "redirect", {}),
        (Answer([b"<html>"]), 529, "overloaded_error", "server sent", {"retry-after": "5"}),
        (Answer([b"[1]"]), 529, "overloaded_error", "server sent", {"retry-after": "5"}),
        (Answer([b'{"input_tokens": "1"}']), 529, "overloaded_error", "server sent", {}),
        (Answer([b'{"input_tokens": true}']), 529, "overloaded_error", "server sent", {}),
        (Answer([b'{"input_tokens": -1}']), 529, "overloaded_error", "server sent", {}),
        (Answer([b" " * 300_000]), 529, "overloaded_error", "did not answer properly", {}),
        (Answer(error(529, "overloaded_error", "in a 200").steps), 529, "overloaded_error", "in a 200", {}),
        (Answer(before="reset"), 529, "overloaded_error", "did not answer properly", {}),
    ],
)
def test_a_failure_is_told_as_on_messages(
    tmp_path: Path, said: Answer, status: int, kind: str, words: str, headers: dict[str, str]
) -> None:
    async def test(gateway: Process, one: Upstream) -> None:
        answer = await count(gateway)
        assert answer.told[:2] == (status, kind) and words in answer.told[2]
        assert headers.items() <= answer.headers.items()
        assert len(one.asked) == 1 and not gateway.litellm.asked and not gateway.booked()

    counting(tmp_path, test, said)


async def two(tmp_path: Path, first: Answer, test: Any, **more: Any) -> None:
    """Two targets in this order. Each failure of a message lets its target rest."""
    async with upstream(first) as one, upstream(TEN) as other:
        sonnet = model(messages(one, "one"), messages(other, "two", order=2))
        async with process(tmp_path, catalogue(sonnet, **more)) as gateway:
            await test(gateway, one, other)


@pytest.mark.parametrize(
    ("said", "status", "others"),
    [
        (error(529, "overloaded_error", "busy"), 200, 1),
        (error(401, "authentication_error", "key"), 200, 1),
        (Answer([b"404 page not found"], 404), 200, 1),
        (error(404, "not_found_error", "File not found: file_1"), 200, 1),
        (Answer(before="reset"), 200, 1),
        (error(400, "invalid_request_error", "tools.0: no"), 400, 0),
    ],
    ids=["529", "account", "no route", "no file", "broken", "twin: the request's own fault"],
)
def test_another_target_is_asked_if_it_may_do_better(tmp_path: Path, said: Answer, status: int, others: int) -> None:
    async def test(gateway: Process, one: Upstream, other: Upstream) -> None:
        assert (await count(gateway)).status == status
        assert (len(one.asked), len(other.asked)) == (1, others)
        assert not gateway.litellm.asked

    run(lambda: two(tmp_path, said, test))


def test_a_target_that_rests_is_left_out_but_a_count_lets_none_rest(tmp_path: Path) -> None:
    async def test(gateway: Process, one: Upstream, other: Upstream) -> None:
        for _ in range(3):
            assert (await count(gateway)).status == 200
        assert (len(one.asked), len(other.asked)) == (3, 3), "no count lets it rest"
        other.answers(WHOLE)
        assert (await gateway.ask()).status == 200
        other.answers(TEN)
        assert (await count(gateway)).status == 200
        assert len(one.asked) == 4, "twin: a failed message does"

    run(lambda: two(tmp_path, error(529, "overloaded_error", "busy"), test, allowed_fails=0))


def test_a_count_does_not_make_failed_messages_forgotten(tmp_path: Path) -> None:
    async def test(gateway: Process, one: Upstream, other: Upstream) -> None:
        other.answers(WHOLE)
        assert (await gateway.ask()).status == 200
        one.answers(TEN)
        assert (await count(gateway)).status == 200
        one.answers(error(529, "overloaded_error", "busy"))
        assert (await gateway.ask()).status == 200
        assert (await gateway.ask()).status == 200
        assert len(one.asked) == 3, "two failures: it rests"

    run(lambda: two(tmp_path, error(529, "overloaded_error", "busy"), test, allowed_fails=1))


def test_no_fallback_counts(tmp_path: Path) -> None:
    async def go() -> None:
        async with upstream(error(529, "overloaded_error", "busy")) as one, upstream(TEN) as other:
            served = catalogue(
                model(messages(one)), model(messages(other, "two"), name="opus"), fallbacks={"sonnet": ("opus",)}
            )
            async with process(tmp_path, served) as gateway:
                assert (await count(gateway)).status == 529
                assert not other.asked

    run(go)


@pytest.mark.parametrize("steps", [Answer(before=HANG), Answer([b"{", HANG]), Answer([b" ", *[0.1, b" "] * 40])])
def test_the_models_timeout_bounds_the_whole_answer(tmp_path: Path, steps: Answer) -> None:
    async def test(gateway: Process, one: Upstream) -> None:
        async with asyncio.timeout(3):
            assert (await count(gateway)).told[0] == 529
        assert await one.left()

    counting(tmp_path, test, steps, served=lambda one: catalogue(model(messages(one, timeout_s=0.5))))


NO_ROUTE = {
    "llama.cpp": (404, b'{"error":{"code":404,"message":"File Not Found","type":"not_found_error"}}'),
    "fastapi": (404, b'{"detail":"Not Found"}'),
    "a page": (404, b"<html>404</html>"),
    "nothing": (404, b""),
    "405": (405, b'{"detail":"Method Not Allowed"}'),
    "501": (501, b'{"type":"error","error":{"type":"api_error","message":"not implemented"}}'),
}


@pytest.mark.parametrize(("status", "said"), NO_ROUTE.values(), ids=NO_ROUTE)
def test_a_server_without_the_route_is_asked_once_in_a_while(tmp_path: Path, status: int, said: bytes) -> None:
    now = [100.0]

    async def test(gateway: Process, one: Upstream) -> None:
        gateway.counting.clock = lambda: now[0]
        for _ in range(2):
            assert (await count(gateway)).text == HANDED
        assert len(one.asked) == 1 and gateway.litellm.asked[0].body["model"] == "sonnet"
        assert gateway.metric("handovers_total", reason="count_tokens") == 2
        now[0] += ASK_AGAIN_S
        one.answers(TEN)
        assert (await count(gateway)).text == COUNTED
        assert (await count(gateway)).text == COUNTED

    counting(tmp_path, test, Answer([said], status))


@pytest.mark.parametrize(
    "said",
    [
        error(404, "not_found_error", "File not found: file_1"),
        error(404, "not_found_error", "Not found"),
        Answer([b'{"error":{"message":"x","type":"not_found_error"},"type":"error"}'], 404),
        Answer([b'{"type":"error","error":{"type":"not_found_error","message":"' + b"x" * 300_000], 404),
    ],
    ids=["file", "few words", "another order", "cut off"],
)
def test_one_tenants_404_ends_the_counting_of_nobody(tmp_path: Path, said: Answer) -> None:
    async def test(gateway: Process, one: Upstream) -> None:
        assert (await count(gateway)).status in (400, 424)
        one.answers(TEN)
        assert (await count(gateway)).text == COUNTED
        assert len(one.asked) == 2 and not gateway.litellm.asked

    counting(tmp_path, test, said)


def test_a_server_that_speaks_only_chat_counts_with_litellm(tmp_path: Path) -> None:
    async def test(gateway: Process, one: Upstream) -> None:
        answer = await count(gateway)
        assert (answer.status, answer.text) == (200, HANDED)
        assert not one.asked and gateway.litellm.asked[0].path == COUNT
        assert "x-tollgate-admitted" not in gateway.litellm.asked[0].headers
        assert not gateway.counters.numbers and not gateway.booked() and not gateway.journal.running

    counting(tmp_path, test, served=lambda one: catalogue(model(chat(one))), who=caller(LIMITS))


def test_of_two_targets_the_one_that_can_counts(tmp_path: Path) -> None:
    async def test(gateway: Process, one: Upstream) -> None:
        for _ in range(8):
            assert (await count(gateway)).text == COUNTED
        assert one.connections == 1, "it is used again"
        one.answers(error(529, "overloaded_error", "busy"))
        assert (await count(gateway)).status == 529, "LiteLLM would ask the same provider again"
        assert {asked.path for asked in one.asked} == {COUNT} and not gateway.litellm.asked

    counting(tmp_path, test, served=lambda one: catalogue(model(chat(one), messages(one, "two"))))


def test_a_cheapest_name_counts_with_the_model_that_would_answer(tmp_path: Path) -> None:
    async def test(gateway: Process, one: Upstream) -> None:
        answer = await count(gateway, body={"model": "auto"})
        assert (answer.status, answer.headers["x-tollgate-model"]) == (200, "cheap")
        assert one.asked[0].body["model"] == "cheap-upstream"
        one.answers(WHOLE)
        assert (await gateway.ask(model="auto")).headers["x-tollgate-model"] == "cheap"
        one.answers(TEN)
        long = await count(gateway, body={"model": "auto", "system": "word " * 1500})
        assert long.headers["x-tollgate-model"] == "fair"
        assert "x-tollgate-model" not in (await count(gateway, body={"model": "dear"})).headers

    counting(tmp_path, test, served=choosing)


def test_a_name_in_claude_codes_form_counts(tmp_path: Path) -> None:
    async def test(gateway: Process, one: Upstream) -> None:
        assert (await count(gateway, body={"model": "sonnet[1m]"})).status == 200
        assert one.asked[0].body["model"] == "one-upstream"

    counting(tmp_path, test)


def test_a_prompt_that_no_context_holds_is_counted(tmp_path: Path) -> None:
    async def test(gateway: Process, one: Upstream) -> None:
        long = {"system": "word " * 3000}
        assert (await count(gateway, body=long)).status == 200
        assert (await gateway.ask(**long)).status == 400, "twin"

    counting(tmp_path, test, served=lambda one: catalogue(model(messages(one), context_tokens=1000)))


def test_a_tool_without_a_price_is_counted(tmp_path: Path) -> None:
    tools = [{"type": "web_search_20260209", "name": "web_search"}]

    async def test(gateway: Process, one: Upstream) -> None:
        assert (await count(gateway, body={"tools": tools, "service_tier": "priority"})).status == 200
        assert (await gateway.ask(tools=tools)).status == 400, "twin: an answer would cost"

    priced = replace(model(), prices=PRICES, tool_prices={})
    counting(tmp_path, test, served=lambda one: catalogue(replace(priced, targets=(messages(one),))))


def test_a_client_that_leaves_ends_the_call(tmp_path: Path) -> None:
    async def test(gateway: Process, one: Upstream) -> None:
        task = asyncio.create_task(gateway.ask(COUNT))
        async with asyncio.timeout(10):
            while not one.asked:
                await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert await one.left()
        assert await gateway.shows(1, "requests_total", route="count", model="sonnet", status="left")
        assert gateway.metric("outcomes_total", outcome="left") == 1

    counting(tmp_path, test, Answer(before=HANG))


def test_a_slow_count_gets_no_pings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(silence, "PING_S", 0.05)

    async def test(gateway: Process, one: Upstream) -> None:
        answer = await count(gateway, body={"stream": True})
        assert (answer.status, answer.text) == (200, COUNTED)

    counting(tmp_path, test, Answer([0.3, COUNTED], headers=JSON))


def test_counts_have_a_route_of_their_own_and_are_in_no_figure_of_a_target(tmp_path: Path) -> None:
    async def test(gateway: Process, one: Upstream) -> None:
        assert (await count(gateway)).status == 200
        one.answers(error(500, "api_error", "broken"))
        assert (await count(gateway)).status == 500
        assert await gateway.shows(1, "requests_total", route="count", model="sonnet", status="5xx")
        assert gateway.metric("requests_total", route="count", model="sonnet", status="2xx") == 1
        assert gateway.metric("first_byte_seconds_count", route="count", model="sonnet") == 1
        assert gateway.metric("own_seconds_count", route="count") == 1
        for outcome in ("answered", "failed"):
            assert gateway.metric("target_calls_total", target="one", outcome=outcome) == 0
        assert gateway.metric("tokens_total", model="sonnet", kind="input") == 0

    counting(tmp_path, test)
