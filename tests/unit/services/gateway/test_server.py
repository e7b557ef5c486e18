"""The process as a whole: its settings, its start and stop, and what killed processes left to it."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.support.gateway_ledger import begun, outcome
from tests.support.postgres_server import Server
from tests.support.redis_server import PROGRAM, redis_server
from tests.unit.services.gateway.database import Database
from tests.unit.services.gateway.process import KEY, MASTER, QUESTION, listening, run
from tollgate.services.gateway import __main__ as entry
from tollgate.services.gateway import server as module
from tollgate.services.gateway.ledger.journal import Journal
from tollgate.services.gateway.server import Settings, running

SECRETS = {
    "master_key": MASTER,
    "postgres_password": "any",
    "redis_password": "",
    "provider_keys.json": '{"ONE_API_KEY": "sk-provider"}',
    "metrics_key": "metrics-key",
    "handover_key": "handover-key",
}
ENVIRONMENT = {
    "GATEWAY_NAME": "gateway-1",
    "GATEWAY_CONFIGURATION": "/etc/x",
    "GATEWAY_JOURNAL": "/var/x",
    "GATEWAY_DRAIN": "/run/drain",
    "POSTGRES_HOST": "postgres",
    "POSTGRES_USER": "litellm",
    "POSTGRES_DB": "litellm",
    "TOLLGATE_REDIS": "redis:6379",
}


@pytest.fixture
def secrets(tmp_path: Path) -> Path:
    directory = tmp_path / "secrets"
    directory.mkdir()
    for name, value in {**SECRETS, "redis_password": "word"}.items():
        (directory / name).write_text(value + "\n")
    return directory


def test_settings_come_from_secrets_and_the_environment(secrets: Path) -> None:
    found = entry.settings(secrets, ENVIRONMENT)
    assert (found.name, found.port, found.drain, found.connect_s) == ("gateway-1", 4100, Path("/run/drain"), 5)
    assert found.credentials == {"ONE_API_KEY": "sk-provider"}
    assert "password=any" in found.database and "password" not in found.target
    assert not [value for value in ("word", "sk-provider", MASTER) if value in repr(found)]


@pytest.mark.parametrize("missing", sorted(ENVIRONMENT))
def test_a_missing_variable_is_named(secrets: Path, missing: str) -> None:
    with pytest.raises(KeyError, match=missing):
        entry.settings(secrets, {name: value for name, value in ENVIRONMENT.items() if name != missing})


@pytest.mark.parametrize("name", entry.NAMES)
def test_a_missing_or_empty_secret_stops_the_start(secrets: Path, name: str) -> None:
    (secrets / name).write_text(" \n")
    with pytest.raises(ValueError, match=name):
        entry.settings(secrets, ENVIRONMENT)
    (secrets / name).unlink()
    with pytest.raises(OSError, match=name):
        entry.settings(secrets, ENVIRONMENT)


def settings(tmp_path: Path, server: Server, redis: str) -> Settings:
    """Of a process that serves one model, `sonnet`, which only LiteLLM has."""
    model: dict[str, Any] = {
        "targets": [],
        "reason": "provider",
        "price": {},
        "context_tokens": None,
        "max_output_tokens": None,
    }
    model["tool_prices"] = None
    catalogue: dict[str, Any] = {"models": {"sonnet": model}, "aliases": {}, "fallbacks": {}}
    catalogue |= {"context_window_fallbacks": {}, "allowed_fails": 3, "cooldown_s": 5}
    catalogue |= {"choices": {}, "listed": {}, "address": "http://THIS-GATEWAY:4000"}
    for file, content in (
        ("gateway/catalogue.json", catalogue),
        ("litellm/requests.json", {"models": ["sonnet"], "max_body_bytes": 1_000_000}),
    ):
        (tmp_path / file).parent.mkdir()
        (tmp_path / file).write_text(json.dumps(content))
    postgres = {"host": "127.0.0.1", "port": str(server.port), "user": "test", "dbname": "postgres"}
    journal = tmp_path / "journal"
    journal.mkdir(exist_ok=True)
    return Settings("gateway-1", 0, tmp_path, journal, tmp_path / "drain", postgres, redis, SECRETS)


@pytest.mark.skipif(PROGRAM is None, reason="this machine has no Redis")
def test_a_process_starts_answers_and_stops(tmp_path: Path, database: Database) -> None:
    async def test(redis: str) -> None:
        async with (
            running(settings(tmp_path, database.server, redis)) as application,
            listening(application) as url,
            aiohttp.ClientSession() as session,
        ):
            for key, status in ((KEY, 529), ("sk-nobody", 401)):
                headers = {"x-api-key": key}
                async with session.post(f"{url}/v1/messages", json=QUESTION, headers=headers) as answer:
                    assert answer.status == status, "there is no list of replicas"
            async with session.get(f"{url}/health/readiness") as answer:
                assert answer.status == 200
        assert not list((tmp_path / "journal").glob("*.journal")), "an empty journal leaves no file"

    with redis_server() as redis:
        run(lambda: test(redis))


@pytest.mark.skipif(PROGRAM is None, reason="this machine has no Redis")
def test_what_a_killed_process_left_is_adopted(
    tmp_path: Path, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process of the volume dies after this one has started, and never comes back."""
    monkeypatch.setattr(module, "ADOPT_S", 0.1)
    shipped: list[str] = []

    async def ship(self: Any, source: Any) -> None:
        batch = source.take(100)
        shipped.extend(call.begun.id for call in batch.calls)
        source.done(batch)

    monkeypatch.setattr(module.ship.Shipper, "_ship", ship)
    monkeypatch.setattr(module.ship, "EVERY_S", 0.1)

    async def test(redis: str) -> None:
        async with running(settings(tmp_path, database.server, redis)):
            other = Journal(tmp_path / "journal", "gateway-2")
            other.begin(begun(1))
            other.begin(begun(2))
            other.end(begun(1).id, outcome(1))
            other._syncer.stop()
            other._lock.release()  # the kernel does this for a process that is killed
            async with asyncio.timeout(15):
                while len(set(shipped)) < 2:
                    await asyncio.sleep(0.05)

    with redis_server() as redis:
        run(lambda: test(redis))
    assert sorted(shipped) == [begun(1).id, begun(2).id]
