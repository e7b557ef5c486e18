"""A gateway process whose caller and figures come from a real ledger."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool

from tests.support.scripted_upstream import Answer, upstream
from tests.unit.services.gateway.own.books import TOKEN, Books
from tests.unit.services.gateway.own.test_models import TOLD
from tests.unit.services.gateway.process import KEY, Process, Reply, catalogue, free, messages, model, process
from tollgate.services.gateway.caller import of_rows
from tollgate.services.gateway.own.asks import Asks
from tollgate.services.limits.rule import NANO

WHOLE = Answer([b'{"id":"m","type":"message","content":[],"usage":{"input_tokens":7,"output_tokens":5}}'])
ALIASES = {"fast": "sonnet"}
OFFERED = {name: {"display_name": name, "tollgate": TOLD} for name in ("sonnet", "fast", "free")}


async def row_of(pool: AsyncConnectionPool, statement: str, value: str) -> dict[str, Any]:
    async with pool.connection() as connection:
        row = await (await connection.cursor(row_factory=dict_row).execute(statement.encode(), (value,))).fetchone()
    assert row is not None
    return row


@asynccontextmanager
async def serving(
    books: Books, tmp_path: Path, redis: str = "127.0.0.1:9", listed: Any = OFFERED, **key: Any
) -> AsyncIterator[Process]:
    """A process whose caller and figures come from `books`."""
    async with (
        AsyncConnectionPool(books.address, min_size=1, open=False, kwargs={"autocommit": True}) as pool,
        upstream(WHOLE) as one,
    ):
        found = await row_of(pool, 'SELECT * FROM "LiteLLM_VerificationToken" WHERE token = %s', TOKEN)
        team = await row_of(pool, 'SELECT * FROM "LiteLLM_TeamTable" WHERE team_id = %s', found["team_id"])
        who = of_rows({**found, **key}, team)
        sonnet, gratis = model(messages(one)), free(messages(one), name="free")
        served = catalogue(sonnet, gratis, aliases=ALIASES, listed=listed, address="http://THIS-GATEWAY:4000")
        asks = Asks(pool)
        async with process(tmp_path, served, who, ask=asks, redis=redis, spent=NANO) as gateway:
            yield gateway
        await asks.close()


async def look(gateway: Process, key: str = KEY, path: str = "/gateway/usage", **headers: str) -> Reply:
    sent = {"x-api-key": key, **headers}
    async with gateway.session.get(gateway.url + path, headers=sent) as answer:
        return await Reply.of(answer)
