"""A request is traced through the lines of a real gateway process, its journal, and a real ledger."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from tests.support.gateway_ledger import TARGET, begun, outcome
from tests.support.gateway_ledger import request_id as call_id
from tests.support.gateway_process import KEY, Process, running
from tests.unit.services.gateway.own.books import Books
from tollgate.ledger import queries
from tollgate.ledger.logged import Logged, logged
from tollgate.services.gateway.ledger.calls import Call
from tollgate.services.gateway.ledger.find import find
from tollgate.services.gateway.ledger.journal import Journal
from tollgate.services.gateway.ledger.recover import recover
from tollgate.services.gateway.ledger.rows import row
from tollgate.stack.requests.lines import parse
from tollgate.stack.requests.trace import Places, Trace, traces
from tollgate.stack.requests.words import paragraph

PROMPT = "a prompt that nobody else writes"
ASKED = {"model": "fast", "max_tokens": 9, "messages": [{"role": "user", "content": PROMPT}]}
MESSAGE = {"type": "message", "content": [], "usage": {"input_tokens": 10, "output_tokens": 4}}
NGINX = {"time": "2026-11-29T15:00:00+00:00", "request_id": "id-1", "port": "4000", "request_time": 0.01}


async def answers(request: web.Request) -> web.StreamResponse:
    return web.json_response(MESSAGE)


async def counts(request: web.Request) -> web.StreamResponse:
    return web.json_response({"input_tokens": 10})


async def fails(request: web.Request) -> web.StreamResponse:
    return web.json_response({"type": "error", "error": {"type": "api_error", "message": PROMPT}}, status=500)


@dataclass
class Left:
    """The traces that requests left in one directory."""

    directory: Path
    printed: list[str]

    def lines(self, *more: dict[str, Any]) -> list[str]:
        return [*self.printed, *(f"nginx-1      | {json.dumps(line)}" for line in more)]

    def journal(self, *ids: str) -> list[dict[str, Any]]:
        """As the command prints it inside a container."""
        command = [sys.executable, "-m", "tollgate.services.gateway.ledger", *ids]
        environment = {**os.environ, "GATEWAY_JOURNAL": str(self.directory)}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=60)
        found: list[dict[str, Any]] = json.loads(done.stdout)
        return found


def left(directory: Path, upstream: Any, ask: Callable[[Process], Awaitable[object]]) -> Left:
    async def go() -> Left:
        async with running(directory, upstream) as process:
            await ask(process)
            return Left(directory, [f"gateway-1-1  | {json.dumps(line)}" for line in process.lines])

    return asyncio.run(go())


def shipped(books: Books, directory: Path, ids: set[str], now: datetime) -> tuple[Logged, ...]:
    """Writes the calls of the journals as rows of the log, and asks the ledger. tests/contract/ledger really ships."""

    for call in [call for run in recover(directory) for call in run.take(9).calls]:
        books.insert("SpendLogs", [spend_log(row(call))])
    since, until = f"{now - timedelta(hours=1)}"[:19], f"{now + timedelta(hours=1)}"[:19]
    return logged(books.psql(queries.REQUEST, ids=",".join(ids), since=since, until=until))


def spend_log(row: dict[str, Any]) -> dict[str, Any]:
    same = ("request_id", "call_type", "api_key", "team_id", "model", "model_id", "model_group", "status")
    return {
        **{name: row[name] for name in same},
        "spend": row["nano"] / 1e9,
        "prompt_tokens": row["prompt"],
        "completion_tokens": row["completion"],
        "startTime": row["started"],
        "endTime": row["ended"],
        "completionStartTime": row["first_byte"],
        "metadata": json.dumps(row["metadata"]),
    }


def only(places: Places, request_id: str = "id-1") -> Trace:
    [trace] = traces(request_id, places)
    return trace


def test_an_answered_request_first_waits_in_the_journal_and_then_is_booked(books: Books, tmp_path: Path) -> None:
    done = left(tmp_path, answers, lambda process: process.ask(ASKED))
    lines = parse(done.lines(), frozenset({"id-1"}))
    waits = only(Places(lines, done.journal("id-1"), ()))
    assert (waits.booked, waits.tenant, waits.key, waits.status) == ("journal", "acme", "laptop", 200)

    rows = shipped(books, tmp_path, {"id-1"}, datetime.now(UTC))
    booked = only(Places(lines, done.journal("id-1"), rows))
    assert (booked.booked, booked.usd, booked.tokens_in, booked.tokens_out) == ("ledger", Decimal("0.00003"), 10, 4)
    text = paragraph(booked)
    for part in (
        "Tenant acme sent request id-1 with the key laptop on ",
        "model fast",
        "the target fast:1",
        "status 200",
    ):
        assert part in text
    for part in (
        "the first byte after",
        "10 tokens of input and 4 of output and cost $0.00003",
        "booked in the ledger",
    ):
        assert part in text


def test_the_ledger_alone_tells_of_a_request_whose_log_is_gone(books: Books, tmp_path: Path) -> None:
    left(tmp_path, answers, lambda process: process.ask(ASKED))
    trace = only(Places(ledger=shipped(books, tmp_path, {"id-1"}, datetime.now(UTC))))
    assert (trace.request_id, trace.booked, trace.tenant, trace.model) == ("id-1", "ledger", "acme", "fast")
    assert traces("id-2", Places(ledger=shipped(books, tmp_path, {"id-2"}, datetime.now(UTC)))) == [], "twin"


def test_a_request_that_a_fallback_answered_has_the_asked_name(books: Books) -> None:
    now = datetime.now(UTC)
    fell_back = begun(1, target=replace(TARGET, group="haiku"))
    for call in (Call.of(fell_back, outcome(1)), Call.of(begun(2), outcome(2))):
        books.insert("SpendLogs", [spend_log(row(call))])
    ids = ",".join(call_id(number) for number in (1, 2))
    rows = logged(books.psql(queries.REQUEST, ids=ids, since=f"{now}"[:19], until=f"{now}"[:19]))
    assert [one.model for one in rows] == ["sonnet", "sonnet"]


def test_a_refused_request_says_with_which_sentence_and_books_nothing(tmp_path: Path) -> None:
    done = left(tmp_path, answers, lambda process: process.ask({**ASKED, "model": "nobody-has-it"}))
    trace = only(Places(parse(done.lines(), frozenset({"id-1"})), done.journal("id-1"), ()))
    assert (trace.booked, trace.status, trace.code) == ("nothing", 403, "model_not_allowed")
    assert "refused (model_not_allowed): “The request named a model that this key may not use." in paragraph(trace)


def test_counted_tokens_are_no_call_of_a_model_and_book_nothing(tmp_path: Path) -> None:
    done = left(tmp_path, counts, lambda process: process.ask(ASKED, "/v1/messages/count_tokens"))
    trace = only(Places(parse(done.lines(), frozenset({"id-1"})), done.journal("id-1"), ()))
    assert (trace.booked, trace.route, trace.status) == ("nothing", "count", 200)
    assert "asked the target fast:1 to count its tokens. The answer had status 200" in paragraph(trace)


def test_a_refusal_of_claude_code_is_named_by_its_code(tmp_path: Path) -> None:
    """It gets a 424, which is also the number for a provider that refuses the gateway."""
    agent = {"user-agent": "claude-cli/2.1.330 (external, cli)"}
    done = left(tmp_path, answers, lambda process: process.ask({**ASKED, "model": "nobody-has-it"}, **agent))
    trace = only(Places(parse(done.lines(), frozenset({"id-1"})), done.journal("id-1"), ()))
    assert (trace.booked, trace.status, trace.code) == ("nothing", 424, "model_not_allowed")
    assert "refused (model_not_allowed): “The request named a model that this key may not use." in paragraph(trace)


def test_a_request_that_its_provider_failed_was_let_in_and_is_booked(books: Books, tmp_path: Path) -> None:
    done = left(tmp_path, fails, lambda process: process.ask(ASKED))
    lines = parse(done.lines(), frozenset({"id-1"}))
    rows = shipped(books, tmp_path, {"id-1"}, datetime.now(UTC))
    trace = only(Places(lines, (), rows))
    assert (trace.booked, trace.target) == ("ledger", "fast:1")
    assert (trace.status or 0) >= 500


def test_a_request_for_litellm_is_litellms_to_book(tmp_path: Path) -> None:
    done = left(tmp_path, answers, lambda process: process.ask({**ASKED, "model": "far"}))
    lines = parse(done.lines(), frozenset({"id-1"}))
    trace = only(Places(lines, done.journal("id-1"), ()))
    assert (trace.booked, trace.route, trace.reason) == ("not yet", "litellm", "provider")
    assert "handed it to LiteLLM (reason: provider)" in paragraph(trace)


def test_a_call_that_runs_and_one_whose_process_was_killed(books: Books, tmp_path: Path) -> None:
    """A killed process writes no line: the journal has the id of the request."""
    journal = Journal(tmp_path, "gateway-2")
    journal.begin(begun(1, request="id-1", team="acme"))
    assert "It runs now." in paragraph(only(Places(journal=[vars(noted) for noted in find(tmp_path, {"id-1"})])))
    journal._lock.release()  # as the kernel does when the process is killed
    trace = only(Places(journal=[vars(noted) for noted in find(tmp_path, {"id-1"})]))
    assert (trace.booked, trace.process) == ("interrupted", "gateway-2")
    now = datetime.fromtimestamp(begun().started / 1000, UTC)
    trace = only(Places(ledger=shipped(books, tmp_path, {"id-1"}, now)))
    assert (trace.booked, trace.tenant) == ("interrupted", "acme")
    assert "The ledger has what it had used until then." in paragraph(trace)


def test_the_journal_is_found_by_either_id_and_only_by_it(tmp_path: Path) -> None:
    journal = Journal(tmp_path, "gateway-1")
    journal.begin(begun(1, request="id-1"))
    journal.end(call_id(1), outcome(1))
    journal.begin(begun(2, request="id-2"))
    assert [noted.state for noted in find(tmp_path, {"id-1", "id-2"})] == ["ended", "open"]
    assert [noted.request_id for noted in find(tmp_path, {call_id(2)})] == ["id-2"]
    assert find(tmp_path, {"id"}) == []
    assert [noted.alive for noted in find(tmp_path, {"id-1"})] == [True]


def test_an_id_that_a_client_used_twice_gives_two_requests(tmp_path: Path) -> None:
    async def twice(process: Process) -> None:
        await process.ask(ASKED)
        await process.ask({**ASKED, "model": "nobody-has-it"})

    done = left(tmp_path, answers, twice)
    found = traces("id-1", Places(parse(done.lines(), frozenset({"id-1"})), done.journal("id-1"), ()))
    assert sorted(trace.booked for trace in found) == ["journal", "nothing"]


@pytest.mark.parametrize(
    ("line", "booked", "words"),
    [
        ({"status": "413", "upstream_addr": "", "request_time": 0.001}, "nothing", "nginx answered it by itself."),
        (
            {"status": "401", "upstream_addr": "1.2.3.4:4100", "request_time": 0.1},
            "nothing",
            "status 401 (key refused)",
        ),
        ({"status": "200", "upstream_addr": "1.2.3.4:4100", "request_time": 0.1}, "missing", "neither in the journal"),
    ],
)
def test_a_request_that_only_nginx_logged(line: dict[str, Any], booked: str, words: str) -> None:
    trace = only(Places(parse([f"nginx-1      | {json.dumps(NGINX | line)}"], frozenset({"id-1"}))))
    assert trace.booked == booked
    assert words in paragraph(trace)


def test_what_could_not_be_read_is_unknown_and_not_missing(tmp_path: Path) -> None:
    done = left(tmp_path, answers, lambda process: process.ask(ASKED))
    lines = parse(done.lines(), frozenset({"id-1"}))
    assert only(Places(lines, None, None)).booked == "unknown"
    assert only(Places(lines, [], ())).booked == "missing", "twin"


def test_no_key_and_no_word_of_a_body_is_told(tmp_path: Path) -> None:
    for number, upstream in enumerate((answers, fails)):
        directory = tmp_path / str(number)
        directory.mkdir()
        done = left(directory, upstream, lambda process: process.ask({**ASKED, "user": KEY}))
        trace = only(Places(parse(done.lines(), frozenset({"id-1"})), done.journal("id-1"), ()))
        told = paragraph(trace) + repr(trace)
        assert [secret for secret in (KEY, PROMPT) if secret in told] == []


@pytest.mark.parametrize(("nginx", "process"), [("nginx-1", "gateway-12-1"), ("nginx", "gateway-12")])
def test_the_process_is_named_with_and_without_the_number_of_its_container(nginx: str, process: str) -> None:
    call = {"message": "call", "request_id": "id-1"}
    printed = [f"{nginx}       | {json.dumps(NGINX)}", f"{process}  | {json.dumps(call)}"]
    lines = parse(printed, frozenset({"id-1"}))
    assert len(lines.nginx) == 1
    assert [service for service, _ in lines.gateways] == ["gateway-12"]


def test_lines_of_other_requests_and_broken_lines_are_left_out(tmp_path: Path) -> None:
    odd = ["gateway-1-1  | {broken id-1", 'gateway-1-1  | ["id-1"]', "id-1", 'litellm-1-1 | {"message": "id-1"}']
    other = {**NGINX, "request_id": "id-10"}
    admin = {**NGINX, "port": "4001"}
    lines = parse([*odd, *(f"nginx-1 | {json.dumps(line)}" for line in (other, admin))], frozenset({"id-1"}))
    assert (lines.nginx, lines.gateways) == ((), ())
