"""Upstreams that lie about usage or send elsewhere, and clients that try to overdraw a budget."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.scripted_upstream import JSON, STREAM, Answer, upstream, whole_chat, whole_message
from tests.unit.services.gateway.process import (
    QUESTION,
    Process,
    caller,
    catalogue,
    chat,
    messages,
    model,
    process,
    run,
)

WHOLE, WHOLE_CHAT = Answer([whole_message()], headers=JSON), Answer([whole_chat()], headers=JSON)
CHAT = "/v1/chat/completions"


@pytest.mark.parametrize(
    "usage",
    [
        None,
        {},
        "free",
        {"input_tokens": -5000, "output_tokens": -5000},
        {"input_tokens": 0, "output_tokens": 0},
        {"input_tokens": 10**15, "output_tokens": 10**15},
        {"input_tokens": "1", "output_tokens": True},
        {"input_tokens": 5, "output_tokens": 1, "cost": 0},
    ],
)
def test_an_upstreams_figures_are_data(tmp_path: Path, usage: Any) -> None:
    async def test() -> None:
        body = json.dumps({**json.loads(whole_message("word " * 100)), "usage": usage}).encode()
        async with upstream(Answer([body], headers=JSON)) as one:
            served = catalogue(model(messages(one), context_tokens=200_000, max_output_tokens=64_000))
            async with process(tmp_path, served) as gateway:
                for _ in range(2):
                    assert (await gateway.ask()).status == 200
                booked = await gateway.ended(2)
                assert all(0 < call.cost < 10**9 for call in booked), [call.cost for call in booked]
                assert len({call.begun.id for call in booked}) == 2, "one id of the upstream's is two calls"

    run(test)


async def at_once(gateway: Process, count: int, **more: Any) -> list[int]:
    answers = await asyncio.gather(*(gateway.ask(CHAT, **more) for _ in range(count)))
    return [answer.status for answer in answers]


@pytest.mark.parametrize("fields", [{"max_tokens": 2000}, {"max_tokens": None}, {"max_tokens": 200, "n": 10}])
def test_many_at_once_do_not_overdraw_a_budget(tmp_path: Path, fields: dict[str, Any]) -> None:
    """Each may cost a cent, and the day has one."""

    async def test() -> None:
        dear = Answer([0.2, whole_chat(written=2000)], headers=JSON)
        async with (
            upstream(dear) as one,
            process(tmp_path, catalogue(model(chat(one))), caller({"daily_limit": 0.01})) as gateway,
        ):
            statuses = await at_once(gateway, 20, **fields)
            assert statuses.count(200) == 1 and statuses.count(429) == 19
            assert len(one.asked) == 1

    run(test)


def test_a_spent_day_is_told_as_a_day(tmp_path: Path) -> None:
    async def test() -> None:
        limits = {"daily_limit": 0.000001, "monthly_limit": 1000}
        async with (
            upstream(WHOLE) as one,
            process(tmp_path, catalogue(model(messages(one))), caller(limits)) as gateway,
        ):
            assert (await gateway.ask()).status == 200
            for _ in range(12):
                answer = await gateway.ask()
                assert answer.told[:2] == (429, "billing_error") and "daily" in answer.told[2]
                assert int(answer.headers["retry-after"]) <= 86_400

    run(test)


def test_thinking_that_another_upstream_wrote_does_not_reach_a_native_one(tmp_path: Path) -> None:
    async def test() -> None:
        ours = [{"type": "thinking", "thinking": "hm", "signature": "tollgate.W10="}, {"type": "text", "text": "hi"}]
        turns = [*QUESTION["messages"], {"role": "assistant", "content": ours}, *QUESTION["messages"]]
        async with upstream(STREAM) as one, process(tmp_path, catalogue(model(messages(one)))) as gateway:
            assert (await gateway.ask(messages=turns, stream=True)).status == 200
            assert one.asked[0].body["messages"][1]["content"] == ours[1:]

    run(test)


def test_a_redirect_is_not_followed(tmp_path: Path) -> None:
    async def test() -> None:
        async with (
            upstream(WHOLE) as two,
            upstream(Answer([], 307, {"location": f"{two.url}/v1/messages"})) as one,
            process(tmp_path, catalogue(model(messages(one)))) as gateway,
        ):
            answer = await gateway.ask()
            assert answer.told[:2] == (502, "api_error") and answer.headers["x-should-retry"] == "false"
            assert two.url not in answer.text.decode() and not two.asked

    run(test)


def test_cookies_of_an_upstream_reach_nobody(tmp_path: Path) -> None:
    async def test() -> None:
        answer = Answer([whole_message()], headers={**JSON, "set-cookie": "session=1; Path=/"})
        async with upstream(answer) as one, process(tmp_path, catalogue(model(messages(one)))) as gateway:
            await gateway.ask()
            assert "set-cookie" not in (await gateway.ask()).headers
            assert "cookie" not in one.asked[1].headers

    run(test)
