"""Whose key a request carries: in memory, otherwise in Postgres. A trigger in Postgres tells about every change.

The migrate job makes the trigger (migrate/notices.py). A block or an expiry therefore works at once, also if LiteLLM or
an operator wrote it. While Postgres does not answer, callers that are in memory stay known for STALE_S. A caller that
is not in memory is looked up in the copies in Redis (key_copies.py).
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import logging
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

import psycopg
from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from tollgate.services.gateway.caller import OPERATOR, Caller, of_rows
from tollgate.services.gateway.key_copies import KeyCopies, Row
from tollgate.services.requests.holder import KeysAwayError

log = logging.getLogger("tollgate.gateway.keys")

CHANNEL = "tollgate_keys"
# Without a notice a caller is read again after this many seconds, in case a notice was lost.
FRESH_S = 60.0
# While the listening connection is down, no notice can arrive.
FRESH_DEAF_S = 2.0
STALE_S = 600.0
REMEMBERED = 50_000
AWAY_S = 5.0

_KEY = 'SELECT * FROM "LiteLLM_VerificationToken" WHERE token = %s'
_TEAM = 'SELECT * FROM "LiteLLM_TeamTable" WHERE team_id = %s'


@dataclass(frozen=True)
class Waits:
    """Seconds. `answer`: for Postgres to name a caller. `known`: the same for a caller in memory. `reconnect`: the
    pause before the next try to listen."""

    answer: float = 5.0
    known: float = 1.0
    reconnect: float = 1.0


@dataclass(slots=True)
class _Entry:
    caller: Caller
    read: float


class Keys:
    """Looks up callers by their key. `pool` must be open; `listen` must run as a task."""

    def __init__(
        self,
        pool: AsyncConnectionPool,
        address: str,
        master_key: str,
        clock: Callable[[], float] = time.monotonic,
        waits: Waits = Waits(),
        copies: KeyCopies | None = None,
    ) -> None:
        self._pool, self._address, self._clock, self._copies = pool, address, clock, copies
        self.waits = waits
        self._master = master_key.encode()
        self._known: OrderedDict[str, _Entry] = OrderedDict()
        self._listening = False
        # The number of notices so far. A row that was read before a notice may be older than the change.
        self._notices = 0
        # While Postgres is away, only one request in AWAY_S finds out.
        self._try_at = 0.0

    @property
    def listening(self) -> bool:
        """Whether Postgres tells about changes."""
        return self._listening

    @property
    def remembered(self) -> int:
        return len(self._known)

    async def find(self, key: str, *, remembered: bool = False) -> Caller | None:
        """The caller; None if the key is nobody's. With `remembered` Postgres is not asked.

        Raises KeysAwayError if Postgres does not answer, and neither memory nor a copy knows the key.
        """
        if hmac.compare_digest(key.encode(), self._master):
            return OPERATOR
        token = hashlib.sha256(key.encode()).hexdigest()
        entry = self._known.get(token)
        now = self._clock()
        if entry is not None and now - entry.read < (FRESH_S if self._listening else FRESH_DEAF_S):
            return entry.caller
        if remembered:
            return entry.caller if entry is not None else None
        usable = entry is not None and now - entry.read < STALE_S
        if now < self._try_at and (known := await self._without_postgres(token, entry)) is not None:
            return known
        try:
            return await self._refreshed(token, self.waits.known if usable else self.waits.answer)
        except (psycopg.Error, PoolTimeout, TimeoutError, OSError) as error:
            self._try_at = self._clock() + AWAY_S
            if (known := await self._without_postgres(token, entry)) is not None:
                return known
            raise KeysAwayError from error

    async def _without_postgres(self, token: str, entry: _Entry | None) -> Caller | None:
        if entry is not None and self._clock() - entry.read < STALE_S:
            return entry.caller
        return await self._copied(token)

    async def _copied(self, token: str) -> Caller | None:
        """The caller as a process read it from Postgres before. Memory keeps it no longer than that process would."""
        notices = self._notices
        copy = await self._copies.read(token) if self._copies is not None else None
        if copy is None or notices != self._notices:
            return None
        caller = of_rows(copy.key, copy.team)
        self._remember(token, caller, self._clock() - copy.age)
        return caller

    async def _refreshed(self, token: str, patience: float) -> Caller | None:
        notices = self._notices
        if self._try_at:
            self._try_at = self._clock() + AWAY_S
        async with asyncio.timeout(patience):
            rows = await self._read(token)
        self._try_at = 0.0
        if rows is None:
            self._known.pop(token, None)
            return None
        key, team = rows
        caller = of_rows(key, team)
        if notices == self._notices:
            self._remember(token, caller, self._clock())
            # A process that hears of no change must leave no copy: it could not delete it.
            if self._copies is not None and self._listening and team is not None and not caller.reason:
                self._copies.keep(key, team)
        return caller

    def _remember(self, token: str, caller: Caller, read: float) -> None:
        self._known[token] = _Entry(caller, read)
        self._known.move_to_end(token)
        if len(self._known) > REMEMBERED:
            self._known.popitem(last=False)

    async def _read(self, token: str) -> tuple[Row, Row | None] | None:
        """The rows of the key and of its team."""
        async with self._pool.connection() as connection:
            cursor = connection.cursor(row_factory=dict_row)
            key = await (await cursor.execute(_KEY, (token,))).fetchone()
            if key is None:
                return None
            team = None
            if key["team_id"]:
                team = await (await cursor.execute(_TEAM, (key["team_id"],))).fetchone()
            return key, team

    async def listen(self) -> None:
        """Forgets callers whose rows changed. Runs until it is cancelled; connects again after a failure."""
        while True:
            try:
                async with await psycopg.AsyncConnection.connect(self._address, autocommit=True) as connection:
                    await connection.execute(f"LISTEN {CHANNEL}")
                    # Rows may have changed while this process did not listen.
                    self._known.clear()
                    self._notices += 1
                    if self._copies is not None:
                        self._copies.end_all()
                    self._listening = True
                    async for notice in connection.notifies():
                        self.forget(notice.payload)
            except (psycopg.Error, OSError) as error:
                if self._listening:
                    log.warning("Postgres sends no notices of changed keys at the moment: %s", type(error).__name__)
            finally:
                self._listening = False
            await asyncio.sleep(self.waits.reconnect)

    def forget(self, payload: str) -> None:
        """`key:<token>` or `team:<id>`, as the trigger writes it."""
        self._notices += 1
        kind, _, name = payload.partition(":")
        if self._copies is not None:
            self._copies.changed(kind, name)
        if kind == "key":
            self._known.pop(name, None)
            return
        for token in [token for token, entry in self._known.items() if entry.caller.tenant == name]:
            del self._known[token]
