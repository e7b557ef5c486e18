"""Callers by their key: in memory, in Postgres, after a notice, and while Postgres is away."""

from __future__ import annotations

import asyncio
import hashlib
from typing import Any

import psycopg
import pytest

from tests.unit.services.gateway.database import Database
from tests.unit.services.gateway.looking import looking
from tests.unit.services.gateway.process import KEY, MASTER, run
from tollgate.services.gateway.keys import AWAY_S, FRESH_S, STALE_S, Keys, Waits
from tollgate.services.requests.holder import KeysAwayError

# Once Postgres is stopped, no wait for it can help.
SHORT = Waits(0.1, 0.1, 0.05)


def test_a_key_is_found_with_its_tenant_and_a_strangers_is_nobodys(database: Database) -> None:
    async def test() -> None:
        async with looking(database.server) as here:
            assert (await here.caller()).tenant == "acme"
            assert await here.keys.find("sk-nobody") is None
            assert (await here.caller(MASTER)).operator

    run(test)


def test_a_notice_forgets_a_blocked_key_at_once(database: Database) -> None:
    async def test() -> None:
        async with looking(database.server) as here:
            assert not (await here.caller()).closed
            database.block()

            async def closed() -> bool:
                return (await here.caller()).closed

            await here.until(closed)

    run(test)


def test_twin_without_the_trigger_memory_is_older(database: Database) -> None:
    database.sql('DROP TRIGGER tollgate_key_changed ON "LiteLLM_VerificationToken"')

    async def test() -> None:
        async with looking(database.server) as here:
            assert not (await here.caller()).closed
            database.block()
            await asyncio.sleep(0.3)
            assert not (await here.caller()).closed, "nobody told"
            here.clock.now += FRESH_S + 1
            assert (await here.caller()).closed, "but a lost notice holds for a minute at most"

    run(test)


def test_a_suspended_tenant_and_a_deleted_key_are_seen_at_once(database: Database) -> None:
    async def test() -> None:
        async with looking(database.server) as here:
            await here.caller()
            database.sql('UPDATE "LiteLLM_TeamTable" SET blocked = true')

            async def suspended() -> bool:
                return (await here.caller()).suspended

            await here.until(suspended)
            database.sql('DELETE FROM "LiteLLM_VerificationToken"')

            async def gone() -> bool:
                return await here.keys.find(KEY) is None

            await here.until(gone)

    run(test)


def test_spend_that_litellm_writes_forgets_nobody(database: Database) -> None:
    async def test() -> None:
        async with looking(database.server) as here:
            before = await here.caller()
            database.sql('UPDATE "LiteLLM_VerificationToken" SET spend = 5')
            await asyncio.sleep(0.3)
            assert await here.caller() is before

    run(test)


def test_a_caller_read_before_a_notice_is_not_kept(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rows are read, then the key is blocked and its notice comes, then the caller would be kept for a minute."""
    read = Keys._read

    async def slow(self: Keys, token: str) -> Any:
        rows = await read(self, token)
        if not blocked:
            blocked.append(True)
            before = self._notices
            await asyncio.to_thread(database.block)
            while self._notices == before:
                await asyncio.sleep(0.01)
        return rows

    blocked: list[bool] = []
    monkeypatch.setattr(Keys, "_read", slow)

    async def test() -> None:
        async with looking(database.server) as here:
            assert not (await here.caller()).closed, "it was open when the request came"
            assert (await here.caller()).closed

    run(test)


def test_without_notices_memory_is_believed_for_two_seconds(database: Database) -> None:
    async def test() -> None:
        async with looking(database.server, listen=False) as here:
            assert not (await here.caller()).closed
            database.block()
            assert not (await here.caller()).closed
            here.clock.now += 3
            assert (await here.caller()).closed

    run(test)


def test_known_callers_stay_known_while_postgres_is_away(database: Database) -> None:
    async def test() -> None:
        async with looking(database.server) as here:
            await here.caller()
            here.keys.waits = SHORT
            await asyncio.to_thread(database.server.stop)
            here.clock.now += FRESH_S + 1
            assert (await here.caller()).tenant == "acme"
            with pytest.raises(KeysAwayError):
                await here.keys.find("sk-nobody-knows-it")
            here.clock.now += STALE_S
            with pytest.raises(KeysAwayError):
                await here.keys.find(KEY)

    run(test)


def test_while_postgres_is_away_only_one_request_waits_for_it(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    async def away(self: Keys, token: str) -> Any:
        asked.append(token)
        raise psycopg.OperationalError("away")

    async def test() -> None:
        async with looking(database.server, listen=False) as here:
            await here.caller()
            monkeypatch.setattr(Keys, "_read", away)
            here.clock.now += 10
            for _ in range(20):
                await here.caller()
            assert len(asked) == 1
            here.clock.now += AWAY_S + 1
            await here.caller()
            assert len(asked) == 2

    run(test)


def test_when_postgres_is_back_changes_made_meanwhile_hold(database: Database) -> None:
    async def test() -> None:
        async with looking(database.server) as here:
            await here.caller()
            await asyncio.to_thread(database.server.stop)
            here.keys.waits = SHORT
            assert (await here.caller()).tenant == "acme"
            await asyncio.to_thread(database.server.start)
            here.keys.waits = Waits(reconnect=SHORT.reconnect)
            await asyncio.to_thread(database.block)
            await here.hears()

            async def closed() -> bool:
                return (await here.caller()).closed

            await here.until(closed)

    run(test)


def test_a_remembered_look_asks_memory_only(database: Database) -> None:
    async def test() -> None:
        async with looking(database.server) as here:
            assert await here.keys.find(KEY, remembered=True) is None
            await here.caller()
            here.clock.now += FRESH_S + 1
            assert await here.keys.find(KEY, remembered=True) is not None

    run(test)


def test_memory_is_bounded(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tollgate.services.gateway.keys.REMEMBERED", 3)
    keys = [f"sk-number-{number}" for number in range(5)]
    for key in keys:
        token = hashlib.sha256(key.encode()).hexdigest()
        database.sql('INSERT INTO "LiteLLM_VerificationToken" (token, team_id) VALUES (%s, %s)', token, "acme")

    async def test() -> None:
        async with looking(database.server) as here:
            for key in keys:
                await here.caller(key)
            assert len(here.keys._known) == 3

    run(test)
