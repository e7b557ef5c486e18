"""Copies of the rows of keys and teams in Redis, for a process that does not know a key while Postgres is away.

The process writes a copy whenever Postgres answered, and deletes it when Postgres tells of a change of that row.
It holds what `of_rows` reads: the hash of the key and our metadata, and no secret. Only rows of keys that tollgate
manages are copied. Names in Redis are hashes of keys and tenants that Postgres knows; no text of a client creates one.

Nobody can make a key by writing to Redis: each copy is signed, with its name, its time and its epoch. An old copy that
somebody puts back is worth nothing after COPY_S, or after the epoch has changed.

| why a copy could be older than its row | what prevents it |
|---|---|
| no process heard of the change | a process that begins to listen changes the epoch, which ends all copies |
| a process read the row before the change and copied it after | it hears of the change later and deletes the copy |
| Redis was away when the change came | the process deletes the copy later, and reads none until then |
| that process was killed meanwhile | COPY_S bounds the age of the copy |
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from tollgate.services.limits.clock import AHEAD_S
from tollgate.services.limits.counters import AwayError, FullError
from tollgate.services.limits.resp import Redis

# As long as memory believes a caller without Postgres.
COPY_S = 600.0
SPACE = "tollgate:{key copies}:"
EPOCH = f"{SPACE}epoch"
PATIENCE_S = 1.0
AGAIN_S = 1.0
# More rows than this that wait for Redis end all copies instead.
MOST_WAITING = 10_000
KEY_COLUMNS = ("token", "team_id", "key_alias", "user_id", "blocked", "expires", "models", "allowed_routes", "metadata")
TEAM_COLUMNS = ("team_id", "team_alias", "blocked", "models", "metadata", "created_at")

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Copied:
    """The rows of a key and its team, `age` seconds after Postgres said them."""

    key: Row
    team: Row
    age: float


class KeyCopies:
    """`secret` is what gateway processes sign copies with. `now` is in seconds since 1970."""

    def __init__(self, redis: Redis, secret: str, now: Callable[[], float] = time.time) -> None:
        self._redis, self._now = redis, now
        self._secret = hmac.new(secret.encode(), b"tollgate copies of keys", "sha256").digest()
        # By name: the row to copy with its time, None to delete its copy. The last word of each name counts.
        self._waiting: dict[str, tuple[Row, float] | None] = {}
        self._ends_all = False
        self._sending: asyncio.Task[None] | None = None

    def keep(self, key: Row, team: Row) -> None:
        """Copy both rows, which Postgres said now. It costs the request nothing."""
        now = self._now()
        self._later(_name("key", str(key["token"])), ({name: key.get(name) for name in KEY_COLUMNS}, now))
        self._later(_name("team", str(team["team_id"])), ({name: team.get(name) for name in TEAM_COLUMNS}, now))

    def changed(self, kind: str, name: str) -> None:
        """A row of Postgres changed: `key` with its hash, or `team` with its id."""
        self._later(_name(kind, name), None)

    def end_all(self) -> None:
        """Rows may have changed that nobody heard of."""
        self._ends_all = True
        self._waiting.clear()
        self._send_soon()

    async def read(self, token: str) -> Copied | None:
        """The copy of a key; None without one that can be believed, or if Redis does not answer."""
        if self._ends_all or None in self._waiting.values():
            return None
        try:
            async with asyncio.timeout(PATIENCE_S):
                key = await self._one("key", token)
                team = await self._one("team", str(key[0]["team_id"])) if key is not None else None
        except (AwayError, FullError, TimeoutError):
            return None
        if key is None or team is None or key[0]["token"] != token:
            return None
        return Copied(key[0], team[0], max(0.0, self._now() - min(key[1], team[1])))

    async def close(self) -> None:
        if self._sending is not None:
            self._sending.cancel()
            await asyncio.gather(self._sending, return_exceptions=True)

    # ---- reading

    async def _one(self, kind: str, identity: str) -> tuple[dict[str, Any], float] | None:
        """The row, and when Postgres said it."""
        name = _name(kind, identity)
        epoch, text = await self._redis.command("MGET", EPOCH, name)
        body, _, mac = str(text or "").rpartition(".")
        if not hmac.compare_digest(self._mac(name, body).encode(), mac.encode()):
            return None
        stated = json.loads(body)
        at = float(stated["at"])
        if stated["epoch"] != (epoch or "0") or not -AHEAD_S <= self._now() - at <= COPY_S:
            return None
        row: dict[str, Any] = stated["row"]
        if row.get("expires"):
            row["expires"] = datetime.fromisoformat(row["expires"])
        return row, at

    # ---- writing

    def _later(self, name: str, what: tuple[Row, float] | None) -> None:
        self._waiting[name] = what
        if len(self._waiting) > MOST_WAITING:
            self.end_all()
        self._send_soon()

    def _send_soon(self) -> None:
        if self._sending is None or self._sending.done():
            self._sending = asyncio.create_task(self._send_all())

    async def _send_all(self) -> None:
        while self._waiting or self._ends_all:
            try:
                await self._send()
            except (AwayError, FullError):
                # The next reading of a row copies it again. Deletions must not be lost.
                self._waiting = {name: what for name, what in self._waiting.items() if what is None}
                if self._waiting or self._ends_all:
                    await asyncio.sleep(AGAIN_S)

    async def _send(self) -> None:
        if self._ends_all:
            self._ends_all = False
            try:
                await self._redis.command("INCR", EPOCH)
            except (AwayError, FullError):
                self._ends_all = True
                raise
        epoch = await self._redis.command("GET", EPOCH) if self._waiting else None
        for name, what in list(self._waiting.items()):
            if what is None:
                await self._redis.command("DEL", name)
            else:
                await self._redis.command("SET", name, self._text(name, *what, epoch or "0"), "EX", f"{COPY_S:.0f}")
            # A change that came meanwhile waits for the next round.
            if self._waiting.get(name) is what:
                del self._waiting[name]

    def _text(self, name: str, row: Row, at: float, epoch: str) -> str:
        body = json.dumps({"at": at, "epoch": epoch, "row": row}, separators=(",", ":"), default=_plain)
        return f"{body}.{self._mac(name, body)}"

    def _mac(self, name: str, body: str) -> str:
        return hmac.new(self._secret, f"{name}\n{body}".encode(errors="surrogatepass"), "sha256").hexdigest()


def _name(kind: str, identity: str) -> str:
    """A key is known by its hash already; the id of a team can be any text."""
    return f"{SPACE}{kind}:{identity if kind == 'key' else hashlib.sha256(identity.encode()).hexdigest()}"


def _plain(value: Any) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(type(value).__name__)
