"""A request from its beginning to its booking, put together from the logs, the journal and the ledger."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Literal

from tollgate.ledger.logged import Logged
from tollgate.stack.requests.lines import Lines, written

Booked = Literal["ledger", "interrupted", "journal", "running", "not yet", "nothing", "missing", "unknown"]


@dataclass(frozen=True)
class Places:
    """Where we looked. `journal` and `ledger` are None if they could not be read; then `problems` says why."""

    lines: Lines = field(default_factory=Lines)
    journal: Sequence[Mapping[str, Any]] | None = ()
    ledger: Sequence[Logged] | None = ()
    problems: tuple[str, ...] = ()


@dataclass(frozen=True)
class Trace:
    """One request. Empty texts and None mean that no place says so. `began` is UTC; times are in milliseconds.

    `booked` is ledger; interrupted (in the ledger, without an end); journal (answered, on its way to the ledger);
    running; not yet (LiteLLM books it, and has not); nothing (no provider was asked);
    missing (it should be somewhere and is not); unknown (the place could not be read).
    """

    request_id: str
    booked: Booked
    call_id: str = ""
    began: datetime | None = None
    tenant: str = ""
    key: str = ""
    model: str = ""
    answered_by: str = ""
    route: str = ""
    reason: str = ""
    target: str = ""
    process: str = ""
    status: int | None = None
    code: str = ""
    sentence: str = ""
    error: str = ""
    first_byte_ms: int | None = None
    duration_ms: int | None = None
    tokens_in: int | None = None
    tokens_out: int | None = None
    usd: Decimal | None = None
    edge_status: int | None = None
    edge_ms: int | None = None


def traces(request_id: str, places: Places) -> list[Trace]:
    """Every request that has this id, the oldest first. A client can send the same id twice."""
    traced = list(_of_gateways(request_id, places))
    known = {trace.call_id for trace in traced}
    traced += [_of_journal(noted, places) for noted in places.journal or () if noted["id"] not in known]
    known = {trace.call_id for trace in traced}
    litellms = {row.id for trace in traced if trace.route == "litellm" for row in _booked_by_litellm(places, trace)}
    alone = (row for row in places.ledger or () if row.id not in known | litellms)
    traced += [_of_ledger(row) for row in alone]
    if not traced:
        traced = [_of_nginx(line, places) for line in places.lines.nginx]
    return sorted(traced, key=lambda trace: trace.began or datetime.min.replace(tzinfo=UTC))


def moments(lines: Lines) -> tuple[datetime, datetime] | None:
    """The first and the last moment that the lines speak of, to look for rows of the ledger between them."""
    times = [_began(line) for _, line in lines.gateways]
    times += [_edge_began(line) for line in lines.nginx]
    known = [moment for moment in times if moment is not None]
    return (min(known), max(known)) if known else None


def _of_gateways(request_id: str, places: Places) -> Iterator[Trace]:
    edges = list(places.lines.nginx)
    paired = len(edges) == len(places.lines.gateways)
    for number, (process, line) in enumerate(places.lines.gateways):
        tokens = line.get("tokens") or {}
        edge = edges[number] if paired else {}
        trace = Trace(
            request_id=str(line.get("request_id") or request_id),
            booked="unknown",
            call_id=str(line.get("call_id", "")),
            began=_began(line),
            process=process,
            **{name: str(line.get(name, "")) for name in ("tenant", "key", "model", "answered_by", "route", "reason")},
            **{name: str(line.get(name, "")) for name in ("target", "code", "sentence", "error")},
            status=_number(line.get("status")),
            first_byte_ms=_number(line.get("first_byte_ms")),
            duration_ms=_number(line.get("duration_ms")),
            tokens_in=sum(tokens.get(kind, 0) for kind in ("input", "cache_read", "cache_write")) if tokens else None,
            tokens_out=tokens.get("output", 0) if tokens else None,
            usd=Decimal(line["cost_usd"]) if "cost_usd" in line else None,
            edge_status=_number(edge.get("status")),
            edge_ms=_milliseconds(edge.get("request_time")),
        )
        yield _with_booking(trace, places)


def _with_booking(trace: Trace, places: Places) -> Trace:
    if trace.route == "litellm":
        rows = list(_booked_by_litellm(places, trace))
        return _filled(trace, rows[0]) if rows else replace(trace, booked=_of_litellm(trace, places))
    if not trace.call_id:
        return replace(trace, booked="nothing")
    row = next((row for row in places.ledger or () if row.id == trace.call_id), None)
    if row is not None:
        return _filled(trace, row)
    if any(noted["id"] == trace.call_id and noted["state"] == "ended" for noted in places.journal or ()):
        return replace(trace, booked="journal")
    return replace(trace, booked="unknown" if places.journal is None or places.ledger is None else "missing")


def _of_litellm(trace: Trace, places: Places) -> Booked:
    if trace.code or (trace.status or 0) >= 400:
        return "nothing"
    return "unknown" if places.ledger is None else "not yet"


def _booked_by_litellm(places: Places, trace: Trace) -> Iterator[Logged]:
    """LiteLLM's rows know the id that LiteLLM gave the call, which nginx logged. They are the tenant's."""
    return (row for row in places.ledger or () if row.route == "litellm" and row.tenant == trace.tenant)


def _of_journal(noted: Mapping[str, Any], places: Places) -> Trace:
    """A call without a line in a log: it runs, or its process was killed."""
    trace = Trace(
        request_id=str(noted["request_id"]),
        booked="journal" if noted["state"] == "ended" else "running" if noted["alive"] else "interrupted",
        call_id=str(noted["id"]),
        began=datetime.fromtimestamp(noted["started"] / 1000, UTC),
        tenant=str(noted["team"]),
        model=str(noted["model"]),
        route="litellm" if noted["state"] == "handed over" else "direct",
        process=str(noted["run"]).rpartition("-")[0],
    )
    if noted["state"] == "handed over":
        return _with_booking(trace, places)
    row = next((row for row in places.ledger or () if row.id == noted["id"]), None)
    return trace if row is None else _filled(trace, row)


def _of_ledger(row: Logged) -> Trace:
    milliseconds = round((row.ended - row.started).total_seconds() * 1000)
    first = None if row.first_byte is None else round((row.first_byte - row.started).total_seconds() * 1000)
    trace = Trace(
        request_id=row.request_id or row.id,
        booked="ledger",
        call_id=row.id,
        began=row.started,
        model=row.model,
        route=row.route,
        status=int(row.status) if row.status.isdigit() else None if row.failed else 200,
        first_byte_ms=first,
        duration_ms=milliseconds,
    )
    return _filled(trace, row)


def _of_nginx(line: Mapping[str, Any], places: Places) -> Trace:
    """nginx answered by itself, or a request that no gateway process logged, for example one with an unknown key."""
    refused = not line.get("upstream_addr") or (_number(line.get("status")) or 0) >= 400
    return Trace(
        request_id=str(line["request_id"]),
        booked="nothing" if refused else "unknown" if places.ledger is None else "missing",
        began=_edge_began(line),
        status=_number(line.get("status")),
        duration_ms=_milliseconds(line.get("request_time")),
        code="" if line.get("upstream_addr") else "edge",
        edge_status=_number(line.get("status")),
        edge_ms=_milliseconds(line.get("request_time")),
    )


def _filled(trace: Trace, row: Logged) -> Trace:
    return replace(
        trace,
        booked="interrupted" if row.interrupted else "ledger",
        tenant=trace.tenant or row.tenant,
        key=trace.key or row.key,
        error=trace.error or row.error,
        answered_by=trace.answered_by or row.answered_by,
        tokens_in=row.tokens_in,
        tokens_out=row.tokens_out,
        usd=row.usd,
    )


def _began(line: Mapping[str, Any]) -> datetime | None:
    """A process writes its line at the end."""
    try:
        ended = written(line)
    except ValueError:
        return None
    return ended - timedelta(milliseconds=_number(line.get("duration_ms")) or 0)


def _edge_began(line: Mapping[str, Any]) -> datetime | None:
    try:
        ended = datetime.fromisoformat(str(line.get("time"))).astimezone(UTC)
    except ValueError:
        return None
    return ended - timedelta(milliseconds=_milliseconds(line.get("request_time")) or 0)


def _number(value: Any) -> int | None:
    return int(value) if str(value).isdigit() else None


def _milliseconds(seconds: Any) -> int | None:
    return round(seconds * 1000) if isinstance(seconds, int | float) else None
