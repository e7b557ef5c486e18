"""The rates of the last minute, from the lines of a real gateway process, followed through a real program."""

from __future__ import annotations

import asyncio
import json
import shlex
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from tests.support.eventually import eventually
from tests.support.gateway_process import running
from tollgate.stack.containers.compose import Compose
from tollgate.stack.requests.follow import Follower, read_once
from tollgate.stack.requests.live import WINDOW_S, Ended, Minute, Row, ended, p95

ASKED = {"model": "fast", "max_tokens": 9, "messages": [{"role": "user", "content": "hello"}]}
USAGE = {"input_tokens": 10, "output_tokens": 4}
ONE = Ended(1000.0, "gateway-1", "acme", "fast", False, 14, 0.00003, 100)


async def answers(request: web.Request) -> web.StreamResponse:
    return web.json_response({"type": "message", "content": [], "usage": USAGE})


def printed(directory: Path) -> list[str]:
    """Lines as `docker compose logs` prints them: two answers, one refusal, one request for LiteLLM, one without."""

    async def go() -> list[str]:
        async with running(directory, answers) as process:
            for asked in (ASKED, ASKED, {**ASKED, "model": "nobody-has-it"}, {**ASKED, "model": "far"}):
                await process.ask(asked)
            await process.ask(path="/v1/models", method="GET")
            return [f"gateway-1-1  | {json.dumps(line)}" for line in process.lines]

    return asyncio.run(go())


def filled(lines: list[str]) -> Minute:
    minute = Minute()
    for line in lines:
        minute.add(ended(line))
    return minute


def test_what_a_process_logged_is_counted_by_tenant_model_and_process(tmp_path: Path) -> None:
    minute, now = filled(printed(tmp_path)), time.time() + 1
    [tenant] = minute.rows(lambda one: one.tenant, now).values()
    assert (tenant.name, round(tenant.requests_s * WINDOW_S), round(tenant.errors_s * WINDOW_S)) == ("acme", 4, 1)
    assert round(tenant.tokens_s * WINDOW_S) == 2 * 14
    assert tenant.usd_h == pytest.approx(2 * 0.00003 * 60)
    models = minute.rows(lambda one: one.model, now)
    assert models.keys() == {"fast", "far", "(no model)"}
    assert models["fast"].first_byte_p95_ms is not None
    assert minute.rows(lambda one: one.process, now).keys() == {"gateway-1"}


def test_a_request_leaves_after_a_minute() -> None:
    minute = Minute()
    minute.add(ONE)
    assert minute.rows(lambda one: one.tenant, ONE.at + WINDOW_S)
    assert minute.rows(lambda one: one.tenant, ONE.at + WINDOW_S + 1) == {}


def test_a_line_that_comes_late_is_counted_beside_a_newer_one() -> None:
    minute = Minute()
    for at in (1000.0, 990.0, 1001.0):
        minute.add(replace(ONE, at=at))
    [row] = minute.rows(lambda one: one.tenant, 1055.0).values()
    assert round(row.requests_s * WINDOW_S) == 2


@pytest.mark.parametrize(
    "line",
    [
        "",
        "gateway-1-1  | no JSON",
        "gateway-1-1  | [1]",
        'gateway-1-1  | {"message": "call"}',
        'gateway-1-1  | {"message": "call", "timestamp": "yesterday", "status": 200}',
        'gateway-1-1  | {"message": "call", "timestamp": "2026-11-29 15:00:00,123", "tokens": "many"}',
        'gateway-1-1  | {"message": "started", "timestamp": "2026-11-29 15:00:00,123"}',
    ],
)
def test_any_other_line_is_left_out(line: str) -> None:
    assert ended(line) is None


def test_a_client_that_left_is_no_error_and_a_broken_stream_is() -> None:
    def failed(**fields: Any) -> bool:
        line = {"message": "call", "timestamp": "2026-11-29 15:00:00,123", **fields}
        one = ended(f"gateway-1  | {json.dumps(line)}")
        assert one is not None
        return one.failed

    assert not failed(status=499, error="ClientLeft")
    assert failed(status=200, error="cut")
    assert failed(status=429)
    assert not failed(status=200)


@pytest.mark.parametrize(
    ("values", "expected"), [([], None), ([None], None), ([7], 7), ([*range(1, 101)], 95), ([1, 2, None, 3], 3)]
)
def test_p95(values: list[int | None], expected: int | None) -> None:
    assert p95(values) == expected


def test_litellms_tokens_and_money_are_added_to_its_requests() -> None:
    both = Row("acme", requests_s=2, errors_s=1, tokens_s=3, usd_h=4).plus(Row("acme", 9, 9, tokens_s=10, usd_h=20))
    assert both == Row("acme", requests_s=2, errors_s=1, tokens_s=13, usd_h=24)


class Follows(Compose):
    """A Compose whose `docker compose logs` is another program that prints `lines` and then does as `after` says."""

    lines_: list[str]
    after: str

    def argv(self, *arguments: str) -> list[str]:
        text = "".join(f"{line}\n" for line in self.lines_)
        return ["sh", "-c", f"printf %s {shlex.quote(text)}; {self.after if '--follow' in arguments else ''}"]

    @property
    def environment(self) -> dict[str, str]:
        return {}

    def must_be_rendered(self) -> None:
        pass


def compose(lines: list[str], after: str = "exec sleep 60") -> Follows:
    made = Follows("test", (), Path("/none"))
    object.__setattr__(made, "lines_", lines)
    object.__setattr__(made, "after", after)
    return made


def line(request: int) -> str:
    told = {"message": "call", "request_id": f"{request}", "status": 200, "tenant": "acme"}
    return f"gateway-1-1  | {json.dumps({**told, 'timestamp': f'{datetime.now(UTC):%Y-%m-%d %H:%M:%S,%f}'[:23]})}"


def requests(minute: Minute) -> int:
    rows = minute.rows(lambda one: one.tenant, time.time() + 1)
    return round(sum(row.requests_s for row in rows.values()) * WINDOW_S)


def test_logs_are_read_once() -> None:
    minute = Minute()
    read_once(compose([line(1), "gateway-1-1  | started", line(2)]), ["gateway-1"], minute)
    assert requests(minute) == 2
    read_once(compose([line(3)]), [], minute)
    assert requests(minute) == 2, "without a gateway process, Compose would print every service"


def test_logs_are_followed_until_the_end_and_the_program_ends_too() -> None:
    minute = Minute()
    with Follower(compose([line(1), line(2)]), ["gateway-1"], minute) as follower:
        eventually(lambda: requests(minute) == 2, within=10)
        process = follower._process
        assert process is not None and process.poll() is None
    assert process.poll() is not None


def test_logs_that_ended_are_followed_again() -> None:
    minute = Minute()
    with Follower(compose([line(1)], after="true"), ["gateway-1"], minute) as follower:
        eventually(lambda: follower._thread is not None and not follower._thread.is_alive(), within=10)
        follower.go_on()
        eventually(lambda: requests(minute) == 2, within=10)
