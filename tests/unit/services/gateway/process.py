"""A gateway process in this process: guard, app, journal and limits, behind uvicorn, before scripted upstreams."""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import aiohttp
import uvicorn
from psycopg_pool import AsyncConnectionPool

from tests.support.scripted_upstream import Answer, Upstream, upstream
from tollgate.ledger.summary import Summary
from tollgate.services.gateway.app import App
from tollgate.services.gateway.asking import Asking
from tollgate.services.gateway.caller import OPERATOR, Caller, of_rows
from tollgate.services.gateway.catalogue import Catalogue, Model, Protocol, Target
from tollgate.services.gateway.console.routes import Addresses, Console
from tollgate.services.gateway.convert.options import Options
from tollgate.services.gateway.counting import Counting
from tollgate.services.gateway.direct import Direct
from tollgate.services.gateway.front import Front
from tollgate.services.gateway.handover import LiteLLM
from tollgate.services.gateway.inside import Inside
from tollgate.services.gateway.keys import Keys
from tollgate.services.gateway.ledger.aside import Aside
from tollgate.services.gateway.ledger.calls import Call
from tollgate.services.gateway.ledger.journal import Journal
from tollgate.services.gateway.ledger.price import FREE, Prices
from tollgate.services.gateway.ledger.ship import Connection, Shipper
from tollgate.services.gateway.metrics import Metrics
from tollgate.services.gateway.own.recent import Recent
from tollgate.services.gateway.own.routes import Own
from tollgate.services.gateway.question import LedgerAwayError
from tollgate.services.gateway.replicas import Replicas
from tollgate.services.gateway.targets import Cooldowns
from tollgate.services.gateway.upstream.client import Upstreams
from tollgate.services.limits.limiter import Limiter
from tollgate.services.limits.local_counters import LocalCounters
from tollgate.services.limits.resp import Redis
from tollgate.services.limits.spent import Question
from tollgate.services.requests.guard import Guard
from tollgate.services.requests.rules import Bounds, Rules

HANDOVER_KEY = "handover-0123456789abcdef"
KEY, OTHER, MASTER = "sk-acme-0123456789abcdef", "sk-beta-0123456789abcdef", "sk-master-0123456789abcdef"
ROUTES = ["/v1/messages", "/v1/messages/count_tokens", "/v1/chat/completions", "/chat/completions", "/v1/embeddings"]
ROUTES += ["/v1/models", "/v1/models/*", "/models"]
PRICES = Prices.of({"input": "0.000001", "output": "0.000005"})
QUESTION = {"model": "sonnet", "max_tokens": 60, "messages": [{"role": "user", "content": "hello"}]}


def key_row(**more: Any) -> dict[str, Any]:
    metadata = {"managed_by": "tollgate", "name": "default"}
    row = {"token": hashlib.sha256(KEY.encode()).hexdigest(), "team_id": "acme", "key_alias": "default/acme"}
    return {**row, "allowed_routes": ROUTES, "metadata": metadata, **more}


def team_row(limits: Mapping[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    metadata = {"managed_by": "tollgate", "owner": "lead@example.org", "limits": dict(limits or {})}
    return {"team_id": "acme", "metadata": metadata, **more}


def caller(limits: Mapping[str, Any] | None = None, *, key: Any = None, team: Any = None) -> Caller:
    return of_rows(key_row(**(key or {})), team_row(limits, **(team or {})))


def target(name: str, urls: Mapping[Protocol, str], **more: Any) -> Target:
    fields = {"key": "", "order": 1, "weight": 1, "timeout_s": 5.0, "headers": {}, "anthropic": True, "retries": 0}
    chat = Options(user=False)
    return Target(
        **{
            "id": name,
            "model": f"{name}-upstream",
            "booked_as": f"anthropic/{name}",
            "urls": urls,
            "chat": chat,
            **fields,
            **more,
        }
    )


def messages(at: Upstream, name: str = "one", **more: Any) -> Target:
    return target(name, {Protocol.MESSAGES: f"{at.url}/v1/messages"}, **more)


def chat(at: Upstream, name: str = "one", **more: Any) -> Target:
    return target(name, {Protocol.CHAT: f"{at.url}/v1/chat/completions"}, **{"anthropic": False, **more})


def model(*targets: Target, name: str = "sonnet", **more: Any) -> Model:
    fields = {"reason": "", "prices": PRICES, "context_tokens": None, "max_output_tokens": None}
    return Model(**{"name": name, "targets": targets, **fields, **more})


def free(*targets: Target, **more: Any) -> Model:
    return model(*targets, prices=FREE, **more)


@dataclass
class Ledger:
    """The spend in the database, in nano-dollars."""

    spent: int = 0

    async def __call__(self, questions: Sequence[Question]) -> list[int | None]:
        return [self.spent for _ in questions]


@dataclass
class KnownKeys:
    callers: dict[str, Caller]

    async def find(self, key: str, *, remembered: bool = False) -> Caller | None:
        return self.callers.get(key)


@dataclass
class Process:
    """`litellm` stands in for the replicas: a call that it gets was handed over."""

    url: str
    journal: Journal
    metrics: Metrics
    direct: Direct
    counting: Counting
    counters: LocalCounters
    litellm: Upstream
    session: aiohttp.ClientSession
    recent: Recent
    taken: list[Call] = field(default_factory=list)

    def post(self, path: str = "/v1/messages", key: str = KEY, **more: Any) -> Any:
        headers = {"x-api-key": key, "anthropic-version": "2023-06-01", **more.pop("headers", {})}
        body = {"data": more.pop("data")} if "data" in more else {"json": {**QUESTION, **more}}
        return self.session.post(self.url + path, headers=headers, **body)

    async def ask(self, path: str = "/v1/messages", **more: Any) -> Reply:
        async with self.post(path, **more) as answer:
            return await Reply.of(answer)

    def booked(self) -> list[Call]:
        """All calls that have ended, as the shipper would read them."""
        batch = self.journal.take(1000)
        self.taken += batch.calls
        self.journal.done(batch)
        return self.taken

    async def ended(self, count: int = 1) -> list[Call]:
        """Waits until so many calls have ended and none runs."""
        async with asyncio.timeout(10):
            while len(self.booked()) < count or self.journal.running:
                await asyncio.sleep(0.01)
        return self.taken

    async def shows(self, value: float, name: str, **labels: str) -> bool:
        """A request is counted when it has ended, which its client may see a moment earlier."""
        for _ in range(500):
            if self.metric(name, **labels) == value:
                return True
            await asyncio.sleep(0.01)
        return False

    def metric(self, name: str, **labels: str) -> float:
        return self.metrics.registry.get_sample_value(f"tollgate_gateway_{name}", labels) or 0.0


@dataclass
class Reply:
    status: int
    headers: dict[str, str]
    text: bytes

    @classmethod
    async def of(cls, answer: aiohttp.ClientResponse) -> Reply:
        headers = {name.lower(): value for name, value in answer.headers.items()}
        return cls(answer.status, headers, await answer.read())

    @property
    def json(self) -> Any:
        return json.loads(self.text)

    @property
    def told(self) -> tuple[int, str, str]:
        error = self.json["error"]
        return self.status, error["type"], error["message"]


def catalogue(*models: Model, aliases: Any = None, fallbacks: Any = None, longer: Any = None, **more: Any) -> Catalogue:
    named = {one.name: one for one in models}
    fields = {"allowed_fails": 1000, "cooldown_s": 5.0, **more}
    return Catalogue(
        models=named,
        aliases=aliases or {},
        fallbacks=fallbacks or {},
        context_window_fallbacks=longer or {},
        **fields,
    )


async def _away() -> Connection:
    raise OSError


async def _no_ledger(tenant: str) -> Summary:
    raise LedgerAwayError


@asynccontextmanager
async def process(
    tmp_path: Path,
    served: Catalogue,
    who: Caller | None = None,
    credentials: Mapping[str, str] | None = None,
    bounds: Bounds | None = None,
    spent: int = 0,
    ask: Callable[[str], Awaitable[Summary]] | None = None,
    redis: str = "127.0.0.1:9",
    pool: AsyncConnectionPool | None = None,
    addresses: Addresses | None = None,
) -> AsyncIterator[Process]:
    """`ask` answers the ledger's figures. Without `redis` the last refusals are not kept.

    The console needs a `pool`; `addresses` are those of the services that it asks, and it reads what is rendered below
    `tmp_path`.
    """
    journal, metrics, counters = Journal(tmp_path, "gateway-1"), Metrics(served.models), LocalCounters()
    limiter = Limiter(counters, Ledger(spent))
    callers = {KEY: who or caller(), MASTER: OPERATOR}
    names = frozenset({*served.models, *served.aliases, *served.choices, "test-only-litellm"})
    async with upstream(Answer([b'{"handed":"over"}'])) as litellm, Upstreams() as upstreams:
        cooldowns, chance = Cooldowns.of(served), random.Random(1)
        asking = Asking(served, upstreams, credentials or {}, cooldowns, metrics, chance)
        direct = Direct(asking, limiter, journal, metrics, HANDOVER_KEY)
        replicas = Replicas.at({"litellm-1": litellm.url.removeprefix("http://")})
        handover = LiteLLM(replicas)
        shipper = Shipper([], _away, Aside(tmp_path / "gateway-1.refused"))
        keys = Keys(None, "", MASTER)  # type: ignore[arg-type]  nobody asks it
        inside = Inside(True, metrics, journal, shipper, limiter.figures, keys, replicas)
        client = Redis(redis)
        recent = Recent(client, served.models)
        asked, given = addresses or Addresses(), cast("AsyncConnectionPool", pool)
        console = Console("gateway-1", tmp_path, asked, inside, given, client, recent)
        own = Own(served, limiter, ask or _no_ledger, recent, console.answer)
        counting = Counting(asking)
        app = App(served, direct, counting, handover, own, metrics, inside, "metrics-key")
        rules = Rules(names, bounds or Bounds())
        guard = Guard(app, KnownKeys(callers), rules, refused=app.refused_before, gateway=True)
        try:
            async with listening(guard) as url, aiohttp.ClientSession() as session:
                yield Process(url, journal, metrics, direct, counting, counters, litellm, session, recent)
        finally:
            await console.close()
            await recent.close()
            client.close()
            await handover.close()
            await limiter.close()
            journal.close()


@asynccontextmanager
async def listening(application: Any) -> AsyncIterator[str]:
    settings: dict[str, Any] = {"http": Front, "ws": "none", "lifespan": "off", "log_config": None, "access_log": False}
    server = uvicorn.Server(uvicorn.Config(application, port=0, timeout_graceful_shutdown=1, **settings))
    server.config.load()
    server.lifespan = server.config.lifespan_class(server.config)
    await server.startup()
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        await _shut_down(server)


async def _shut_down(server: uvicorn.Server) -> None:
    """As uvicorn's own, which pauses a tenth of a second each time: that is a minute for all tests here."""
    for listener in server.servers:
        listener.close()
    state = server.server_state
    for connection in list(state.connections):
        connection.shutdown()
    with suppress(TimeoutError):
        async with asyncio.timeout(server.config.timeout_graceful_shutdown):
            while state.connections or state.tasks:
                await asyncio.sleep(0.001)
    for task in state.tasks:
        task.cancel()
    for listener in server.servers:
        await listener.wait_closed()


def run(test: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(60):
            await test()

    asyncio.run(bounded())
