"""`GET /console/state`: what this process, nginx, Postgres and Redis know. Each says so if it does not answer."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from psycopg_pool import AsyncConnectionPool

from tollgate import __version__
from tollgate.services.gateway.console import lists, money
from tollgate.services.gateway.console.inner import Inner, NoAnswerError, words
from tollgate.services.gateway.inside import Inside
from tollgate.services.gateway.own.recent import Recent
from tollgate.services.gateway.own.usage import moment
from tollgate.services.gateway.question import LedgerAwayError
from tollgate.services.limits.counters import AwayError, FullError
from tollgate.services.limits.resp import Redis

# stack/deploy/render.py writes it.
RELEASE = Path("litellm") / "release"
REDIS_S = 2.0
_VERSION = re.compile(r"[0-9A-Za-z.+-]{1,40}")

Json = dict[str, Any]


@dataclass(frozen=True)
class State:
    """`directory` has what is rendered. `nginx` is the address of its internal listener, or empty."""

    name: str
    directory: Path
    inside: Inside
    pool: AsyncConnectionPool
    redis: Redis
    recent: Recent
    inner: Inner
    nginx: str

    async def answer(self) -> Json:
        ledger, redis, servers, refusals = await asyncio.gather(
            _money(self.pool), _redis(self.redis), self._servers(), self.recent.read_all()
        )
        return {
            "at": moment(datetime.now(UTC)),
            "process": self._process(),
            "litellm": {"version": _release(self.directory / RELEASE)},
            "nginx": servers,
            "redis": redis,
            **ledger,
            "refusals": refusals,
        }

    def _process(self) -> Json:
        started = datetime.fromtimestamp(self.inside.metrics.started, UTC)
        return {"name": self.name, "version": __version__, "started": moment(started), **self.inside.health()}

    async def _servers(self) -> Json:
        try:
            return {"servers": await lists.servers(self.inner, self.nginx), "problem": None}
        except NoAnswerError as error:
            return {"servers": [], "problem": str(error)}


async def _money(pool: AsyncConnectionPool) -> Json:
    try:
        ledger = await money.ask(pool)
    except LedgerAwayError:
        return {"postgres": {"problem": money.NO_ANSWER}, "money": {"problem": money.NO_ANSWER}}
    return {"postgres": {**money.postgres(ledger), "problem": None}, "money": {**money.money(ledger), "problem": None}}


async def _redis(redis: Redis) -> Json:
    try:
        async with asyncio.timeout(REDIS_S):
            fields = _fields(await redis.command("INFO"))
        up = int(fields["uptime_in_seconds"])
        used, most = int(fields["used_memory"]), int(fields["maxmemory"])
        version = words(fields["redis_version"], 40)
    except (AwayError, FullError, TimeoutError):
        return {"problem": "Redis did not answer. Each process counts limits alone."}
    except (KeyError, ValueError):
        return {"problem": "Redis answered in a form that this release does not know."}
    started = moment(datetime.now(UTC) - timedelta(seconds=up))
    return {"version": version, "started": started, "bytes": used, "most_bytes": most, "problem": None}


def _fields(text: Any) -> Mapping[str, str]:
    lines = (line.partition(":") for line in str(text).splitlines())
    return {name: value.strip() for name, _, value in lines if value}


def _release(file: Path) -> str | None:
    """LiteLLM's release of the last deploy. Read each time, because an upgrade of LiteLLM does not end this process."""
    try:
        text = file.read_text().strip()
    except (OSError, UnicodeDecodeError):
        return None
    return text if _VERSION.fullmatch(text) else None
