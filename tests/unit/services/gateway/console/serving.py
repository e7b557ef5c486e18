"""A gateway process with its console: a real Postgres and Redis, nginx's list, and a strict Prometheus."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiohttp import web
from psycopg_pool import AsyncConnectionPool

from tests.support.scripted_upstream import Answer, upstream
from tests.unit.services.gateway.console.prometheus import Stand, rendered, served, standing
from tests.unit.services.gateway.own.books import TOKEN, Books
from tests.unit.services.gateway.own.serving import row_of
from tests.unit.services.gateway.process import MASTER, Process, Reply, catalogue, messages, model, process
from tollgate.services.gateway.caller import of_rows
from tollgate.services.gateway.console.routes import Addresses
from tollgate.services.gateway.console.state import RELEASE

IN_USE = """\
# written by entrypoint.sh
server 172.18.0.5:4000 max_fails=2 fail_timeout=5s; # litellm-1
server 172.18.0.6:4000 max_fails=2 fail_timeout=5s; # litellm-2
server 172.18.0.10:4000 max_fails=2 fail_timeout=5s; # litellm-3
server 172.18.0.7:4100 max_fails=2 fail_timeout=5s; # gateway-1
server 172.18.0.8:4100 max_fails=2 fail_timeout=5s down; # gateway-2
"""
WHOLE = Answer([b'{"id":"m","type":"message","content":[],"usage":{"input_tokens":7}}'])
NOBODY = "http://127.0.0.1:9"


@dataclass
class Served:
    """`gateway` is the process whose console is asked."""

    gateway: Process
    prometheus: Stand


async def in_use(request: web.Request) -> web.StreamResponse:
    return web.Response(
        text=IN_USE if request.path == "/in-use" else "", status=200 if request.path == "/in-use" else 404
    )


@asynccontextmanager
async def serving(
    books: Books,
    directory: Path,
    redis: str = "127.0.0.1:9",
    *,
    away: bool = False,
    postgres: str = "",
    answer: Answer = WHOLE,
) -> AsyncIterator[Served]:
    """`away`: neither Prometheus nor nginx can be reached. `postgres` is another address than that of `books`. The
    provider gives `answer`."""
    rendered(directory)
    (directory / RELEASE).parent.mkdir(exist_ok=True)
    (directory / RELEASE).write_text("1.108.10\n")
    address = postgres or books.address
    async with (
        AsyncConnectionPool(address, min_size=0, max_size=2, open=False, kwargs={"autocommit": True}) as pool,
        upstream(answer) as one,
        served(in_use) as nginx,
        standing() as stand,
    ):
        who = None
        if not postgres:
            key = await row_of(pool, 'SELECT * FROM "LiteLLM_VerificationToken" WHERE token = %s', TOKEN)
            team = await row_of(pool, 'SELECT * FROM "LiteLLM_TeamTable" WHERE team_id = %s', key["team_id"])
            who = of_rows(key, team)
        addresses = Addresses(NOBODY, NOBODY) if away else Addresses(stand.url, nginx)
        models = catalogue(model(messages(one)))
        async with process(directory, models, who, redis=redis, pool=pool, addresses=addresses) as gateway:
            yield Served(gateway, stand)


async def look(gateway: Process, path: str, key: str = MASTER) -> Reply:
    async with gateway.session.get(gateway.url + path, headers={"x-api-key": key}) as answer:
        return await Reply.of(answer)


async def told(gateway: Process, path: str) -> Any:
    reply = await look(gateway, path)
    assert reply.status == 200, reply.text
    return reply.json
