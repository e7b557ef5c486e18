"""Which targets rest, and which fallbacks answer, before upstreams that answer by script."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.support.scripted_upstream import (
    HANG,
    JSON,
    Answer,
    end,
    error,
    start,
    text,
    upstream,
    whole_chat,
    whole_message,
)
from tests.unit.services.gateway.process import caller, catalogue, free, messages, model, process, run
from tollgate.services.gateway.ledger.recover import recover
from tollgate.services.gateway.ledger.rows import row

WHOLE, WHOLE_CHAT = Answer([whole_message()], headers=JSON), Answer([whole_chat()], headers=JSON)
STREAM = {"content-type": "text/event-stream"}
DOWN = error(529, "overloaded_error", "busy")


def test_a_target_that_fails_too_often_rests(tmp_path: Path) -> None:
    async def test() -> None:
        async with upstream(DOWN) as one, upstream(WHOLE) as two:
            served = catalogue(model(messages(one), messages(two, "two", order=2)), allowed_fails=1, cooldown_s=60.0)
            async with process(tmp_path, served) as gateway:
                for _ in range(5):
                    assert (await gateway.ask()).status == 200
                assert (len(one.asked), len(two.asked)) == (2, 5)

    run(test)


def test_errors_of_requests_make_no_target_rest(tmp_path: Path) -> None:
    async def test() -> None:
        async with upstream(error(400, "invalid_request_error")) as one, upstream(WHOLE) as two:
            served = catalogue(model(messages(one), messages(two, "two", order=2)), allowed_fails=0, cooldown_s=60.0)
            async with process(tmp_path, served) as gateway:
                for _ in range(3):
                    assert (await gateway.ask()).status == 400
                assert (len(one.asked), len(two.asked)) == (3, 0)

    run(test)


def test_a_fallback_answers_for_a_model_that_is_down(tmp_path: Path) -> None:
    async def test() -> None:
        async with upstream(DOWN) as one, upstream(WHOLE) as two:
            fallback = model(messages(two, "two"), name="opus")
            served = catalogue(model(messages(one)), fallback, fallbacks={"sonnet": ("opus",)})
            async with process(tmp_path, served) as gateway:
                answer = await gateway.ask()
                assert (answer.status, answer.headers["tollgate-answered-by"]) == (200, "opus")
                assert two.asked[0].body["model"] == "two-upstream"
                (booked,) = await gateway.ended()
                assert (booked.begun.model, booked.begun.target.id) == ("sonnet", "two")
                assert booked.begun.target.group == "opus"

    run(test)


@pytest.mark.parametrize(
    ("asked", "script", "group"),
    [
        ("sonnet", [DOWN, WHOLE], "opus"),
        ("fast", [DOWN, WHOLE], "opus"),
        ("fast", [WHOLE], "fast"),
        ("sonnet", [DOWN], "opus"),
    ],
    ids=["fallback", "fallback of an alias", "twin: the model itself", "all failed"],
)
def test_a_request_is_booked_for_the_model_that_was_asked_last(
    tmp_path: Path, asked: str, script: list[Answer], group: str
) -> None:
    async def test() -> None:
        async with upstream(*script) as one:
            served = catalogue(
                *(model(messages(one, name), name=name) for name in ("sonnet", "opus")),
                aliases={"fast": "sonnet"},
                fallbacks=dict.fromkeys(("sonnet", "fast"), ("opus",)),
            )
            async with process(tmp_path, served) as gateway:
                await gateway.ask(model=asked)
                (booked,) = await gateway.ended()
                found = row(booked)
                assert (found["model_group"], found["model_id"]) == (group, "opus" if group == "opus" else "sonnet")
                assert found["metadata"]["tollgate"].get("asked", group) == (asked if group == "opus" else group)

    run(test)


@pytest.mark.parametrize("down", [True, False])
def test_a_stream_of_a_fallback_that_a_crash_interrupts_is_booked_for_it(tmp_path: Path, down: bool) -> None:
    """The next process reads the journal of one that was killed."""

    async def test() -> None:
        first = [DOWN] if down else []
        async with upstream(*first, Answer([start(), text("x"), HANG], 200, STREAM)) as one:
            served = catalogue(
                *(model(messages(one, name), name=name) for name in ("sonnet", "opus")), fallbacks={"sonnet": ("opus",)}
            )
            async with process(tmp_path, served) as gateway, gateway.post(stream=True) as answer:
                await answer.content.readany()
                shutil.copytree(tmp_path, left := tmp_path / "left")
                (calls,) = [run.take(9).calls for run in recover(left)]
                assert [row(call)["model_group"] for call in calls] == ["opus" if down else "sonnet"]

    run(test)


def test_a_fallback_that_the_tenant_may_not_use_is_not_asked(tmp_path: Path) -> None:
    async def test() -> None:
        async with upstream(DOWN) as one, upstream(WHOLE) as two:
            fallback = model(messages(two, "two"), name="opus")
            served = catalogue(model(messages(one)), fallback, fallbacks={"sonnet": ("opus",)})
            async with process(tmp_path, served, caller(team={"models": ["sonnet"]})) as gateway:
                assert (await gateway.ask()).status == 529
                assert not two.asked

    run(test)


@pytest.mark.parametrize(("spent", "status"), [(0, 200), (50_000_000, 529)])
def test_a_paid_fallback_of_a_free_model_needs_the_budget(tmp_path: Path, spent: int, status: int) -> None:
    async def test() -> None:
        async with upstream(DOWN) as one, upstream(WHOLE) as two:
            paid = model(messages(two, "two"), name="opus")
            served = catalogue(free(messages(one)), paid, fallbacks={"sonnet": ("opus",)})
            async with process(tmp_path, served, caller({"daily_limit": 0.05}), spent=spent) as gateway:
                assert (await gateway.ask()).status == status
                assert len(two.asked) == (status == 200)

    run(test)


def test_a_fallback_that_only_litellm_serves_is_handed_over(tmp_path: Path) -> None:
    async def test() -> None:
        async with upstream(DOWN) as one:
            bedrock = model(name="bedrock", reason="provider")
            served = catalogue(model(messages(one)), bedrock, fallbacks={"sonnet": ("bedrock",)})
            async with process(tmp_path, served) as gateway:
                assert (await gateway.ask()).text == b'{"handed":"over"}'
                assert gateway.metric("handovers_total", reason="fallback") == 1
                assert not gateway.booked() and not gateway.journal.running, "LiteLLM books it"

    run(test)


@pytest.mark.parametrize("reached", [False, True])
def test_only_a_request_that_reached_a_provider_counts(tmp_path: Path, reached: bool) -> None:
    async def test() -> None:
        async with upstream(DOWN) as one:
            where: Any = one if reached else type("Dead", (), {"url": "http://127.0.0.1:9"})
            who = caller({"requests_per_hour": 1})
            async with process(tmp_path, catalogue(model(messages(where))), who) as gateway:
                statuses = [(await gateway.ask()).status for _ in range(2)]
                assert statuses == ([529, 429] if reached else [529, 529])

    run(test)


def test_what_the_upstream_says_of_itself_stays_here(tmp_path: Path) -> None:
    async def test() -> None:
        headers = {"anthropic-ratelimit-requests-limit": "4000", "set-cookie": "a=b", "server": "secret", **JSON}
        async with (
            upstream(
                Answer([whole_message()], headers=headers), Answer([start(), text("x"), end()], 200, headers)
            ) as one,
            process(tmp_path, catalogue(model(messages(one)))) as gateway,
        ):
            for stream in (False, True):
                answer = await gateway.ask(stream=stream)
                assert {name.lower() for name in answer.headers} <= {
                    *("content-type", "content-length", "request-id", "date", "cache-control", "transfer-encoding")
                }

    run(test)
