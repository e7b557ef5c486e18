"""Every place is asked for a request: printed logs, the journal's own program, and psql before a real ledger."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from tests.support.gateway_process import running
from tests.unit.services.gateway.own.books import NAME, PROGRAMS, Books
from tollgate.errors import TollgateError
from tollgate.stack.containers.compose import Compose
from tollgate.stack.requests.look import why

ASKED = {"model": "fast", "max_tokens": 9, "messages": [{"role": "user", "content": "hello"}]}
USAGE = {"input_tokens": 10, "output_tokens": 4}


async def answers(request: web.Request) -> web.StreamResponse:
    return web.json_response({"type": "message", "content": [], "usage": USAGE})


class Stack(Compose):
    """nginx, one gateway process and Postgres. Their programs run here. `up` are the services that run."""

    printed: list[str]
    journal: Path
    port: int
    up: tuple[str, ...]

    def must_be_rendered(self) -> None:
        pass

    def services(self) -> list[str]:
        return ["gateway-1", "nginx", "postgres"]

    def running(self) -> dict[str, tuple[str, str]]:
        return dict.fromkeys(self.up, ("id", "now"))

    def lines(self, *arguments: str) -> Iterator[str]:
        assert arguments == ("logs", "--no-color", "nginx", "gateway-1")
        yield from self.printed

    def ask(self, *arguments: str, timeout: float = 60, given: str = "") -> str:
        _, _, service, program, *rest = arguments
        if service == "postgres":
            assert PROGRAMS is not None
            where = ["-h", "127.0.0.1", "-p", str(self.port), "-U", "test", "-d", NAME]
            command = [str(PROGRAMS / program), *rest, *where]
        else:
            command = [sys.executable, *rest]
        environment = {**os.environ, "GATEWAY_JOURNAL": str(self.journal)}
        done = subprocess.run(command, input=given, env=environment, capture_output=True, text=True, timeout=60)
        if done.returncode:
            raise TollgateError(done.stderr, "this test runs it here")
        return done.stdout


def stack(books: Books, journal: Path, up: tuple[str, ...] = ("gateway-1", "postgres"), **asked: Any) -> Stack:
    """After one request `id-1`."""

    async def go() -> list[str]:
        async with running(journal, answers) as process:
            await process.ask({**ASKED, **asked})
            return [f"gateway-1-1  | {json.dumps(line)}" for line in process.lines]

    made = Stack("test", (), Path("/none"))
    nginx = {"request_id": "id-1", "port": "4000", "status": "200", "request_time": 0.01, "litellm_call_id": "call-1"}
    nginx["time"] = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S+00:00}"
    fields = {"printed": [f"nginx-1  | {json.dumps(nginx)}", *asyncio.run(go())], "journal": journal}
    for name, value in {**fields, "port": books.server.port, "up": up}.items():
        object.__setattr__(made, name, value)
    return made


def test_a_request_of_the_direct_route_is_found_in_the_journal(books: Books, tmp_path: Path) -> None:
    compose = stack(books, tmp_path)
    [trace], problems = why(compose, "id-1")
    assert (trace.booked, trace.tenant, trace.edge_status, problems) == ("journal", "acme", 200, ())
    [by_message], _ = why(compose, f"msg_{trace.call_id}")
    assert by_message.call_id == trace.call_id


def test_a_request_of_litellm_is_found_in_the_ledger_by_litellms_id(books: Books, tmp_path: Path) -> None:
    compose = stack(books, tmp_path, model="far")
    [before], _ = why(compose, "id-1")
    assert before.booked == "not yet"
    now = datetime.now(UTC).replace(tzinfo=None)
    row = {"request_id": "chatcmpl-1", "call_type": "acompletion", "api_key": "k", "team_id": "acme", "spend": 0.25}
    row |= {
        "startTime": now,
        "endTime": now,
        "model": "m",
        "model_group": "far",
        "prompt_tokens": 7,
        "status": "success",
    }
    books.insert("SpendLogs", [row | {"completion_tokens": 3, "metadata": json.dumps({"litellm_call_id": "call-1"})}])
    [trace], _ = why(compose, "id-1")
    assert (trace.booked, trace.route, f"{trace.usd:f}", trace.tokens_in) == ("ledger", "litellm", "0.25", 7)


def test_places_that_do_not_run_are_named(books: Books, tmp_path: Path) -> None:
    [trace], problems = why(stack(books, tmp_path, up=()), "id-1")
    assert trace.booked == "unknown"
    assert [problem.partition(":")[0] for problem in problems] == [
        "the journal cannot be read",
        "the ledger cannot be read",
    ]


def test_a_request_that_no_place_knows_is_an_error_with_a_hint(books: Books, tmp_path: Path) -> None:
    with pytest.raises(TollgateError, match="no log, journal or ledger knows the request id-2") as refused:
        why(stack(books, tmp_path), "id-2")
    assert "request-id" in refused.value.hint
