"""Looks for one request in every place that may know it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from tollgate.errors import TollgateError
from tollgate.ledger import queries
from tollgate.ledger.logged import Logged, logged
from tollgate.stack import ledger
from tollgate.stack.containers import gateways
from tollgate.stack.containers.compose import Compose
from tollgate.stack.requests import lines
from tollgate.stack.requests.trace import Places, Trace, moments, traces

# nginx accepts no other id, and no other id is put into a question.
_ID = re.compile(r"[A-Za-z0-9._-]{1,128}", re.ASCII)
# Messages of the direct route have the call's own id.
_MESSAGE = re.compile(r"msg_([0-9a-f]{32})", re.ASCII)
_FIND = ("python", "-m", "tollgate.services.gateway.ledger")
# The ledger is searched from this long before the request's first log line until this long after its last one, because
# clocks differ. Without log lines, the last day is searched.
AROUND = timedelta(minutes=15)
WITHOUT_LINES = timedelta(days=1)
HINT = (
    "an answer has it as the header request-id, and so has each refusal. Docker keeps the last 30 MB of each log; "
    "Grafana finds older lines"
)


def why(compose: Compose, request_id: str) -> tuple[list[Trace], tuple[str, ...]]:
    """Traces each request with this id, and the places that could not be read.

    TollgateError if no place knows it.
    """
    key = request_id.startswith("sk-")
    if key or not _ID.fullmatch(request_id):
        shown = "a key" if key else "something else"
        raise TollgateError(f"expected a request id (letters, digits, dots, - and _), found {shown}", HINT)
    compose.must_be_rendered()
    message = _MESSAGE.fullmatch(request_id)
    places = look(compose, {request_id, *([message[1]] if message else [])})
    known = traces(request_id, places)
    if not known:
        missing = "".join(f"; {problem}" for problem in places.problems)
        raise TollgateError(f"no log, journal or ledger knows the request {request_id}{missing}", HINT)
    return known, places.problems


def look(compose: Compose, ids: Iterable[str]) -> Places:
    ids, problems = set(ids), []
    read = lines.read(compose, ids)
    of_calls = {str(line["call_id"]) for _, line in read.gateways if line.get("call_id")}
    of_litellm = {str(line["litellm_call_id"]) for line in read.nginx if line.get("litellm_call_id")}
    journal: list[Mapping[str, Any]] | None = None
    rows: tuple[Logged, ...] | None = None
    try:
        journal = _journal(compose, sorted(ids | of_calls))
    except TollgateError as error:
        problems.append(f"the journal cannot be read: {error.message}")
    try:
        of_journal = {str(noted["id"]) for noted in journal or ()}
        wanted = {name for name in ids | of_calls | of_litellm | of_journal if _ID.fullmatch(name)}
        rows = _ledger(compose, wanted, read)
    except TollgateError as error:
        problems.append(f"the ledger cannot be read: {error.message}")
    return Places(read, journal, rows, tuple(problems))


def _journal(compose: Compose, ids: list[str]) -> list[Mapping[str, Any]]:
    """Every process has the volume of all journals. The first one that answers reads it."""
    names = gateways.names(compose.services())
    if not names:
        return []
    running = compose.running()
    alive = [name for name in names if name in running]
    if not alive:
        raise TollgateError("no gateway process runs", "run `make start`")
    text = compose.ask("exec", "-T", alive[0], *_FIND, *ids)
    try:
        noted: list[Mapping[str, Any]] = json.loads(text)
    except ValueError:
        raise TollgateError(f"{alive[0]} did not answer in JSON", "run `make deploy`") from None
    return noted


def _ledger(compose: Compose, ids: set[str], read: lines.Lines) -> tuple[Logged, ...]:
    now = datetime.now(UTC)
    first, last = moments(read) or (now - WITHOUT_LINES + AROUND, now)
    around = {"since": f"{(first - AROUND).replace(tzinfo=None)}", "until": f"{(last + AROUND).replace(tzinfo=None)}"}
    return logged(ledger.ask(compose, queries.REQUEST, ids=",".join(sorted(ids)), **around))
