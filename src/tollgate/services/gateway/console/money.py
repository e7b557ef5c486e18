"""The money of all tenants, from the ledger in Postgres: `GET /console/state` has it as `money` and `postgres`."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from psycopg_pool import AsyncConnectionPool

from tollgate.ledger import queries, rows
from tollgate.ledger.everybody import Ending, Everybody, ModelSpend, ending, everybody, values
from tollgate.ledger.usage import Line, Spent
from tollgate.services.gateway.own.usage import moment, plain
from tollgate.services.gateway.question import AWAY, LedgerAwayError, read

PATIENCE_S = 5.0
# Rows of each table. `tollgate tenant usage` has all.
MOST = 50
NO_ANSWER = "The ledger in Postgres did not answer in time."

_OVERVIEW = queries.for_driver(queries.OVERVIEW)

Json = dict[str, Any]


async def ask(pool: AsyncConnectionPool) -> Everybody:
    """Raises LedgerAwayError."""
    now = datetime.now(UTC)
    try:
        async with asyncio.timeout(PATIENCE_S):
            text = await read(pool, _OVERVIEW, values(now), PATIENCE_S)
    except AWAY as error:
        raise LedgerAwayError from error
    # There may be ten thousand tenants. A thread lets requests go on meanwhile.
    return await asyncio.to_thread(lambda: everybody(rows.loads(text), now))


def money(ledger: Everybody) -> Json:
    """USD as decimal texts."""
    soon = ending(ledger.lines, ledger.now)
    month = sum((line.month.totals.spend for line in ledger.lines), Decimal(0))
    return {
        "month": plain(month),
        "tenants": [_tenant(line) for line in ledger.lines[:MOST]],
        "more_tenants": max(0, len(ledger.lines) - MOST),
        "models": [_model(model) for model in ledger.models[:MOST]],
        "more_models": max(0, len(ledger.models) - MOST),
        "ending": [_ending(budget) for budget in soon[:MOST]],
        "more_ending": max(0, len(soon) - MOST),
    }


def postgres(ledger: Everybody) -> Json:
    server = ledger.server
    # Debian adds its own version in brackets.
    return {"version": server.version.partition(" ")[0], "started": moment(server.started), "bytes": server.bytes}


def _tenant(line: Line) -> Json:
    team, month = line.team, line.month.totals
    names = {"id": team.id, "name": team.name, "state": team.state, "owner": team.owner}
    windows = [_window(spent) for spent in line.windows]
    return {**names, "windows": windows, "requests": month.requests, "failed": month.failed}


def _window(spent: Spent) -> Json:
    limit = None if spent.limit is None else plain(spent.limit)
    return {"window": spent.window.name, "spent": plain(spent.totals.spend), "limit": limit}


def _model(model: ModelSpend) -> Json:
    month = model.month
    spent = {"today": plain(model.today), "month": plain(month.spend)}
    tokens = {"input_tokens": month.tokens_in, "output_tokens": month.tokens_out}
    return {"model": model.model, **spent, "requests": month.requests, "failed": month.failed, **tokens}


def _ending(budget: Ending) -> Json:
    names = {"id": budget.team.id, "name": budget.team.name, "state": budget.team.state}
    times = {
        "ends": None if budget.ends is None else moment(budget.ends),
        "reopens": moment(budget.spent.window.reopens),
    }
    return {**names, **_window(budget.spent), **times}
