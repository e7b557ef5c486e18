"""A gateway process in this process: guard, application and direct route, with an upstream and a LiteLLM of aiohttp."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from aiohttp import web
from psycopg_pool import AsyncConnectionPool

from tollgate.ledger.summary import Summary
from tollgate.services.gateway import record
from tollgate.services.gateway.app import App
from tollgate.services.gateway.asking import Asking
from tollgate.services.gateway.caller import Caller
from tollgate.services.gateway.catalogue import Catalogue, Model, Protocol, Target
from tollgate.services.gateway.console.routes import Addresses, Console
from tollgate.services.gateway.convert.options import Options
from tollgate.services.gateway.counting import Counting
from tollgate.services.gateway.direct import Direct
from tollgate.services.gateway.handover import LiteLLM
from tollgate.services.gateway.inside import Inside
from tollgate.services.gateway.keys import Keys
from tollgate.services.gateway.ledger.aside import Aside
from tollgate.services.gateway.ledger.journal import Journal
from tollgate.services.gateway.ledger.price import Prices
from tollgate.services.gateway.ledger.ship import Connection, Shipper
from tollgate.services.gateway.metrics import Metrics
from tollgate.services.gateway.own.recent import Recent
from tollgate.services.gateway.own.routes import Own
from tollgate.services.gateway.question import LedgerAwayError
from tollgate.services.gateway.replicas import Replicas
from tollgate.services.gateway.targets import Cooldowns, Resting
from tollgate.services.gateway.upstream.client import Upstreams
from tollgate.services.limits.limiter import Limiter
from tollgate.services.limits.local_counters import LocalCounters
from tollgate.services.limits.resp import Redis
from tollgate.services.limits.spent import Question
from tollgate.services.requests.bounds import Bounds
from tollgate.services.requests.guard import Guard
from tollgate.services.requests.rules import Rules

HANDOVER_KEY = "handover-secret-0123456789"
KEY, METRICS_KEY, CREDENTIAL = "sk-acme-secret-0123456789", "metrics-secret", "sk-provider-secret-0123456789"
PRICES = Prices.of({"input": "0.000001", "output": "0.000005"})
ROUTES = ("/v1/messages", "/v1/messages/count_tokens", "/v1/chat/completions", "/v1/models")
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def caller(**more: Any) -> Caller:
    stated: dict[str, Any] = {
        "token": "f" * 64,
        "tenant": "acme",
        "key_name": "laptop",
        "owner": "",
        "models": None,
        "routes": ROUTES,
        "reason": "",
        "expires": None,
        "blocked": False,
        "suspended": False,
        "rules": (),
    }
    return Caller(**stated | more)


def target(name: str, url: str, *protocols: Protocol) -> Target:
    paths = {Protocol.MESSAGES: "/v1/messages", Protocol.CHAT: "/v1/chat/completions"}
    urls = {protocol: url + paths[protocol] for protocol in protocols}
    booked = "custom_openai/upstream-model"
    return Target(name, "upstream-model", booked, urls, "KEY", 1, 1, 5.0, {}, False, Options(), 0)


@dataclass
class Answer:
    status: int = 0
    body: bytes = b""


@dataclass
class Process:
    guard: Guard
    app: App
    holder: Caller
    lines: list[dict[str, Any]] = field(default_factory=list)

    async def ask(
        self, body: Any = None, path: str = "/v1/messages", key: str = KEY, method: str = "POST", **headers: str
    ) -> Answer:
        answer = Answer()
        sent = {"authorization": f"Bearer {key}", "x-request-id": "id-1", **headers}
        scope = {
            "type": "http",
            "method": method,
            "path": path,
            "query_string": b"",
            "headers": [(name.encode(), value.encode()) for name, value in sent.items()],
        }
        messages = [{"type": "http.request", "body": json.dumps(body).encode() if body is not None else b""}]

        async def receive() -> dict[str, Any]:
            if messages:
                return messages.pop()
            await asyncio.sleep(60)
            return {"type": "http.disconnect"}

        async def send(message: Mapping[str, Any]) -> None:
            answer.status = message.get("status", answer.status)
            answer.body += message.get("body", b"")

        await self.guard(scope, receive, send)
        return answer

    def metrics(self) -> dict[str, float]:
        """Every sample that is not zero."""
        samples = (line.rsplit(" ", 1) for line in self.app.metrics.text().decode().splitlines() if line[0] != "#")
        return {name: float(value) for name, value in samples if float(value)}


class _FindsKeys:
    def __init__(self, holder: Caller) -> None:
        self._holder = holder

    async def find(self, key: str, *, remembered: bool = False) -> Caller | None:
        return self._holder if key == KEY else None


class _Lines(logging.Handler):
    def __init__(self, lines: list[dict[str, Any]]) -> None:
        super().__init__()
        self._lines = lines
        self.setFormatter(record.JsonLines())

    def emit(self, entry: logging.LogRecord) -> None:
        self._lines.append(json.loads(self.format(entry)))


async def _nobody(questions: Sequence[Question]) -> list[int | None]:
    return [0 for _ in questions]


async def _no_ledger(tenant: str) -> Summary:
    raise LedgerAwayError


async def _away() -> Connection:
    raise OSError


@asynccontextmanager
async def running(
    directory: Path,
    upstream: Handler,
    litellm: Handler | None = None,
    *,
    protocols: Sequence[Protocol] = (Protocol.MESSAGES, Protocol.CHAT),
    holder: Caller | None = None,
    models: Mapping[str, Model] | None = None,
) -> AsyncIterator[Process]:
    """Model `fast` at `upstream`; `slow` falls back to it; `far` is LiteLLM's."""
    holder = holder or caller()
    async with _served(upstream) as url, _served(litellm or upstream) as far_url, Upstreams() as upstreams:
        fast = Model("fast", (target("fast:1", url, *protocols),), "", PRICES, None, 1000)
        slow = Model("slow", (target("slow:1", "http://127.0.0.1:9", *protocols),), "", PRICES, None, 1000)
        far = Model("far", (), "provider", PRICES, None, None)
        known = dict(models or {"fast": fast, "slow": slow, "far": far})
        catalogue = Catalogue(known, {"quick": "fast"}, {"slow": ("fast",)}, {}, 3, 5.0)
        journal = Journal(directory, "gateway-1", segment_bytes=256 * 1024)
        limiter = Limiter(LocalCounters(), _nobody)
        cooldowns = Cooldowns.of(catalogue)
        resting = Resting(catalogue, cooldowns)
        metrics = Metrics(catalogue.models, resting.names)
        asking = Asking(catalogue, upstreams, {"KEY": CREDENTIAL}, cooldowns, metrics)
        direct = Direct(asking, limiter, journal, metrics, HANDOVER_KEY)
        shipper = Shipper([journal], _away, Aside(directory / "gateway-1.refused"))
        replicas = Replicas.at({"litellm-1": far_url.removeprefix("http://")})
        handed = LiteLLM(replicas)
        keys = Keys(None, "", "sk-master")  # type: ignore[arg-type]  nobody asks it
        inside = Inside(True, metrics, journal, shipper, limiter.figures, keys, replicas)
        metrics.watch(inside)
        metrics.watch(resting)
        redis = Redis("127.0.0.1:9")
        recent = Recent(redis, known)
        console = Console("gateway-1", directory, Addresses(), inside, cast("AsyncConnectionPool", None), redis, recent)
        own = Own(catalogue, limiter, _no_ledger, recent, console.answer)
        app = App(catalogue, direct, Counting(asking), handed, own, metrics, inside, METRICS_KEY)
        names = frozenset({*known, "quick"})
        guard = Guard(
            app, _FindsKeys(holder), Rules(names, Bounds(1_000_000)), refused=app.refused_before, gateway=True
        )
        process = Process(guard, app, holder)
        handler, logger = _Lines(process.lines), logging.getLogger("tollgate.gateway")
        before = logger.level
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
        try:
            yield process
        finally:
            logger.removeHandler(handler)
            logger.setLevel(before)
            await console.close()
            await recent.close()
            await limiter.close()
            await handed.close()
            journal.close()


@asynccontextmanager
async def _served(handler: Handler) -> AsyncIterator[str]:
    server = web.Application()
    server.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(server)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        await runner.cleanup()
