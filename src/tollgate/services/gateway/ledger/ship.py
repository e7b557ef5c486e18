"""Brings calls from the journal to Postgres, every second, each one once however often it is tried.

A batch is one transaction. A call that Postgres has already is left out of every sum. While Postgres is away the
calls stay in the journal. A call that Postgres refuses for its data is set aside.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from typing import Any

import psycopg

from tollgate.services.gateway.ledger import rows, statements
from tollgate.services.gateway.ledger.aside import Aside
from tollgate.services.gateway.ledger.calls import Begun, Call, Outcome, Target, plain_call
from tollgate.services.gateway.ledger.lines import encode
from tollgate.services.gateway.ledger.reader import Source
from tollgate.services.gateway.ledger.usage import Usage

log = logging.getLogger("tollgate.gateway.ledger")

Connection = psycopg.AsyncConnection[Any]
Connect = Callable[[], Awaitable[Connection]]

# A batch is read and encoded without a pause, which every stream of this process would feel.
MOST_AT_ONCE = 200
EVERY_S = 1.0
LONGEST_PAUSE_S = 30.0
# A Postgres that is frozen answers nothing and ends nothing.
PATIENCE_S = 20.0
# If Postgres refuses a call, the shipper books this one and rolls it back. If Postgres refuses this one too, the reason
# is not in the calls.
HARMLESS = Call.of(Begun("0" * 32, 0, "", "", "", "", Target("", "")), Outcome(0, Usage()))
# SQLSTATE classes that speak of the data: data exceptions, constraints, limits of a row.
_OF_THE_DATA = ("22", "23", "54")


class NothingAcceptedError(Exception):
    """Postgres refuses a call that no data can be the reason for: its tables have changed. All calls stay."""


async def connect(target: str, password: str) -> Connection:
    """A connection for a shipper. Postgres ends what a frozen shipper holds."""
    options = (
        "-c search_path=public -c timezone=UTC -c statement_timeout=15s -c lock_timeout=10s"
        " -c idle_in_transaction_session_timeout=10s"
    )
    return await psycopg.AsyncConnection.connect(
        target,
        password=password,
        autocommit=True,
        connect_timeout=5,
        application_name="tollgate-ledger",
        options=options,
    )


class Shipper:
    """Ships every source that was given to it.

    For metrics: `lag_seconds`, `waiting_calls`, `waiting_bytes`, `shipped`, `repeated`, `set_aside`, `failures`,
    `failing` (why, or empty).
    """

    def __init__(
        self,
        sources: Iterable[Source],
        connect: Connect,
        aside: Aside,
        *,
        every: float = EVERY_S,
        most: int = MOST_AT_ONCE,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.sources: list[Source] = list(sources)
        self._connect, self._aside = connect, aside
        self._every, self._most, self._now = every, most, now
        self._connection: Connection | None = None
        self._oldest: int | None = None
        self.shipped = self.repeated = self.failures = 0
        self.failing = ""

    @property
    def set_aside(self) -> int:
        return self._aside.count

    @property
    def waiting_calls(self) -> int:
        return sum(source.waiting_calls for source in self.sources)

    @property
    def waiting_bytes(self) -> int:
        return sum(source.waiting_bytes for source in self.sources)

    @property
    def lag_seconds(self) -> float:
        """How long the oldest call waits that could not be shipped; 0 while everything is shipped at once."""
        return 0.0 if self._oldest is None else max(0.0, self._now() - self._oldest / 1000)

    async def run(self, stop: asyncio.Event) -> None:
        """Ship until `stop`, and then once more."""
        pause = self._every
        while not stop.is_set():
            pause = self._every if await self.once() else min(2 * pause, LONGEST_PAUSE_S)
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), pause)
        await self.once()
        await self.close()

    async def once(self) -> bool:
        """Ship all that waits. False if something could not be shipped now; it stays where it is."""
        self.failing = ""
        try:
            for source in list(self.sources):
                await self._ship_or_leave(source)
        except Exception as error:  # noqa: BLE001  a shipper that ended would be missed only when the disk is full
            self._failed(error)
            await self.close()
        if self.failing:
            return False
        self._oldest = None
        return True

    async def _ship_or_leave(self, source: Source) -> None:
        """A file that cannot be read or written keeps no other source waiting."""
        try:
            await self._ship(source)
        except OSError as error:
            self._failed(error)
        if source.finished:
            self.sources.remove(source)

    def _failed(self, error: Exception) -> None:
        self.failures += 1
        self.failing = _reason(error)
        log.warning("the ledger is not shipped, %s calls wait: %s", self.waiting_calls, self.failing)

    async def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    async def _ship(self, source: Source) -> None:
        while True:
            batch = source.take(self._most)
            if batch.calls:
                self._oldest = min(call.outcome.ended for call in batch.calls)
            refused = await self._book(batch.calls)
            self._aside.add([*batch.unreadable, *(encode({"do": "end", "call": plain_call(call)}) for call in refused)])
            source.done(batch)
            if not batch:
                return

    async def _book(self, calls: Sequence[Call]) -> list[Call]:
        """All of them in one transaction. If Postgres refuses the data: each half by itself, down to one call.

        The answer has the calls that it refuses by themselves.
        """
        if not calls:
            return []
        try:
            new = await self._transaction(calls)
        except Exception as error:
            if not _is_of_the_data(error):
                raise
            if len(calls) > 1:
                half = len(calls) // 2
                return [*await self._book(calls[:half]), *await self._book(calls[half:])]
            await self._must_accept_something(error)
            log.error("Postgres refuses a call, it is set aside in %s: %s", self._aside.path, _reason(error))
            return list(calls)
        self.shipped += new
        self.repeated += len(calls) - new
        return []

    async def _must_accept_something(self, reason: Exception) -> None:
        try:
            await self._transaction([HARMLESS], undo=True)
        except Exception as error:
            raise NothingAcceptedError(_reason(reason)) from error

    async def _transaction(self, calls: Sequence[Call], *, undo: bool = False) -> int:
        parameters = {
            "batch": rows.batch(calls),
            "teams": sorted({call.begun.team for call in calls if call.begun.team}),
            "keys": sorted({call.begun.key for call in calls if call.begun.key}),
        }
        if self._connection is None:
            self._connection = await self._connect()
        connection = self._connection
        patience = asyncio.get_running_loop().call_later(PATIENCE_S, _hang_up, connection)
        try:
            async with connection.transaction(force_rollback=undo):
                await connection.execute(statements.ALONE)
                for statement in (*statements.IN_ORDER, statements.SEEDED):
                    await connection.execute(statement.encode(), parameters)
                cursor = await connection.execute(statements.BOOK.encode(), parameters)
                row = await cursor.fetchone()
        finally:
            patience.cancel()
        return int(row[0]) if row else 0


def _hang_up(connection: Connection) -> None:
    """End the connection below the driver, which otherwise waits for the answer to its request to cancel."""
    with suppress(OSError, psycopg.Error), socket.socket(fileno=os.dup(connection.fileno())) as wire:
        wire.shutdown(socket.SHUT_RDWR)


def _is_of_the_data(error: Exception) -> bool:
    if isinstance(error, psycopg.Error):
        state = error.sqlstate or ""
        return state[:2] in _OF_THE_DATA or (not state and isinstance(error, psycopg.DataError))
    # A time or a text that cannot even become a parameter.
    return isinstance(error, ValueError | OverflowError | TypeError)


def _reason(error: Exception) -> str:
    """Without the values of a row: Postgres quotes them in its detail."""
    state = getattr(error, "sqlstate", None)
    return f"{type(error).__name__} {state}" if state else type(error).__name__
