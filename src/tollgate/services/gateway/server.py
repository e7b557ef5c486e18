"""The gateway process: one event loop, uvicorn in front, the guard, and the tasks that run beside requests."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import uvicorn
from psycopg.conninfo import make_conninfo
from psycopg_pool import AsyncConnectionPool

from tollgate.services.gateway import catalogue as catalogues
from tollgate.services.gateway.app import App
from tollgate.services.gateway.asking import Asking
from tollgate.services.gateway.console.routes import Addresses, Console
from tollgate.services.gateway.cooling import SharedCooldowns
from tollgate.services.gateway.counting import Counting
from tollgate.services.gateway.direct import Direct
from tollgate.services.gateway.front import Front
from tollgate.services.gateway.handover import CONNECT_S, LiteLLM
from tollgate.services.gateway.inside import Inside
from tollgate.services.gateway.key_copies import KeyCopies
from tollgate.services.gateway.keys import Keys
from tollgate.services.gateway.ledger import ship
from tollgate.services.gateway.ledger.aside import Aside
from tollgate.services.gateway.ledger.journal import Journal
from tollgate.services.gateway.ledger.recover import recover
from tollgate.services.gateway.loop import watch_loop
from tollgate.services.gateway.metrics import Metrics
from tollgate.services.gateway.own.asks import Asks
from tollgate.services.gateway.own.recent import Recent
from tollgate.services.gateway.own.routes import Own
from tollgate.services.gateway.own.soft_limits import SoftLimits
from tollgate.services.gateway.replica_watch import Watch
from tollgate.services.gateway.replicas import Replicas
from tollgate.services.gateway.spent import LedgerQuestions
from tollgate.services.gateway.targets import Cooldowns, Resting
from tollgate.services.gateway.tenants import READER, Tenants
from tollgate.services.gateway.upstream.client import Upstreams
from tollgate.services.limits.limiter import Limiter
from tollgate.services.limits.redis_counters import RedisCounters
from tollgate.services.limits.resp import Redis
from tollgate.services.requests import rules
from tollgate.services.requests.guard import Guard

# Longer than nginx keeps an idle connection, so we never close one that nginx is about to use.
KEEP_ALIVE_S = 90
DATABASE_CONNECTIONS = 4
# All gateway processes share the volume of the journal. Each looks this often for runs whose process is gone.
ADOPT_S = 10.0
log = logging.getLogger("tollgate.gateway")


@dataclass(frozen=True)
class Settings:
    """Where everything is. `directory` has what is rendered, `journal` is a volume of this process.

    `drain` has a file for each drained replica. `connect_s` is how long a replica may take to accept a connection.
    """

    name: str
    port: int
    directory: Path
    journal: Path
    drain: Path
    postgres: Mapping[str, str]
    redis: str
    secrets: Mapping[str, str] = field(repr=False)
    proxy: str | None = None
    connect_s: float = CONNECT_S
    stop_s: int = 600
    inner: Addresses = field(default_factory=Addresses)

    @property
    def target(self) -> str:
        """The database, without the password."""
        return " ".join(f"{part}={self.postgres[part]}" for part in ("host", "port", "user", "dbname"))

    @property
    def database(self) -> str:
        """The database, with the password."""
        password = self.secrets["postgres_password"]
        return str(make_conninfo(self.target, password=password, application_name=self.name, connect_timeout="5"))

    @property
    def credentials(self) -> Mapping[str, str]:
        keys: dict[str, str] = json.loads(self.secrets["provider_keys.json"])
        return keys


@asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[Guard]:
    """The application with everything that it needs; all of it ends with the block."""
    catalogue = catalogues.read((settings.directory / "gateway" / catalogues.FILE).read_text())
    read_rules = rules.read((settings.directory / "litellm" / rules.FILE).read_text())
    # The check finds connections that a restart of Postgres broke. Keys are read about once a minute.
    pool = AsyncConnectionPool(
        settings.database,
        min_size=1,
        max_size=DATABASE_CONNECTIONS,
        open=False,
        kwargs={"autocommit": True},
        check=AsyncConnectionPool.check_connection,
    )
    replicas = Replicas()
    watch, litellm = Watch(replicas, settings.directory, settings.drain), LiteLLM(replicas, settings.connect_s)
    ledger = _Ledger(settings)
    redis = Redis(settings.redis, settings.secrets["redis_password"])
    copies = KeyCopies(redis, settings.secrets["handover_key"])
    keys = Keys(pool, settings.database, settings.secrets["master_key"], copies=copies)
    limiter = Limiter(RedisCounters(redis), LedgerQuestions(pool, catalogue))
    asks, recent = Asks(pool), Recent(redis, catalogue.models)
    cooldowns = Cooldowns.of(catalogue)
    resting, tenants = Resting(catalogue, cooldowns), Tenants(pool, limiter)
    metrics = Metrics(catalogue.models, resting.names)
    shared_rests = SharedCooldowns(redis, cooldowns, resting.names)
    direct_on = any(model.targets for model in catalogue.models.values())
    inside = Inside(direct_on, metrics, ledger.journal, ledger.shipper, limiter.figures, keys, replicas)
    soft_limits = SoftLimits(pool)
    for collector in (inside, resting, tenants, soft_limits):
        metrics.watch(collector)
    console = Console(settings.name, settings.directory, settings.inner, inside, pool, redis, recent)
    async with Upstreams(settings.proxy) as upstreams:
        asking = Asking(catalogue, upstreams, settings.credentials, cooldowns, metrics)
        direct = Direct(asking, limiter, ledger.journal, metrics, settings.secrets["handover_key"])
        own = Own(catalogue, limiter, asks, recent, console.answer)
        app = App(catalogue, direct, Counting(asking), litellm, own, metrics, inside, settings.secrets["metrics_key"])
        await pool.open()
        await watch.look()
        forever = [
            watch.run(),
            keys.listen(),
            ledger.adopt(),
            watch_loop(metrics),
            soft_limits.run(),
            shared_rests.run(),
        ]
        if settings.name == READER:
            forever.append(tenants.watch())
        beside = [asyncio.create_task(task) for task in forever]
        shipping = asyncio.create_task(ledger.shipper.run(ledger.stop))
        try:
            yield Guard(app, keys, read_rules, refused=app.refused_before, gateway=True)
        finally:
            for task in beside:
                task.cancel()
            ledger.stop.set()
            await asyncio.gather(*beside, shipping, return_exceptions=True)
            await console.close()
            await asks.close()
            await recent.close()
            await copies.close()
            await limiter.close()
            redis.close()
            await litellm.close()
            await pool.close()
            ledger.journal.close()


class _Ledger:
    """This process's journal, and the shipper that brings it to Postgres with what killed processes left."""

    def __init__(self, settings: Settings) -> None:
        self.journal = Journal(settings.journal, settings.name)
        self.stop = asyncio.Event()

        async def connected() -> ship.Connection:
            return await ship.connect(settings.target, settings.secrets["postgres_password"])

        aside = Aside(settings.journal / f"{settings.name}.refused")
        self.shipper = ship.Shipper([*recover(settings.journal), self.journal], connected, aside)
        self._directory = settings.journal

    async def adopt(self) -> None:
        """Ships what a killed process left, before a new one of its name starts, or if none ever does."""
        while True:
            await asyncio.sleep(ADOPT_S)
            try:
                self.shipper.sources += recover(self._directory)
            except OSError as error:
                log.warning("the journal's directory cannot be read: %s", error.strerror)


async def serve(settings: Settings) -> None:
    async with running(settings) as application:
        server = uvicorn.Server(
            uvicorn.Config(
                application,
                host="0.0.0.0",  # noqa: S104  inside a container that publishes nothing
                port=settings.port,
                http=Front,
                loop="none",
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                # The guard reads the client's address from nginx's header.
                proxy_headers=False,
                timeout_keep_alive=KEEP_ALIVE_S,
                timeout_graceful_shutdown=settings.stop_s,
            )
        )
        # The start made 50,000 objects that stay. A full collection would look at all of them while every stream waits.
        gc.collect()
        gc.freeze()
        await server.serve()
