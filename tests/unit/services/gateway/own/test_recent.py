"""The last refusals of a tenant: shared by all processes, bounded, and without a word of a client or a provider."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.support.scripted_upstream import Answer, upstream
from tests.unit.services.gateway.own.books import Books
from tests.unit.services.gateway.own.serving import look, serving
from tests.unit.services.gateway.process import KEY, caller, catalogue, messages, model, process, run
from tollgate.services.gateway.own import recent as module
from tollgate.services.gateway.own.recent import Recent, sentence
from tollgate.services.gateway.record import Record
from tollgate.services.limits.resp import Redis
from tollgate.services.refusals import door
from tollgate.services.refusals.refusal import Refusal

SECRET = "the client's own words"
ACME = caller()
BETA = replace(caller(), tenant="beta", space="tollgate:{beta}:")


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "GATHER_S", 0.01)


def with_two(address: str, test: Callable[[Recent, Recent, Redis], Awaitable[None]]) -> None:
    """Two processes of one gateway."""

    async def go() -> None:
        client = Redis(address)
        await client.command("FLUSHALL")
        clients = [Redis(address), Redis(address)]
        one, other = (Recent(client, {"sonnet"}) for client in clients)
        await test(one, other, client)
        await one.close()
        await other.close()
        for each in (client, *clients):
            each.close()

    run(go)


def record(number: int, **more: Any) -> Record:
    return Record(request_id=f"id-{number}", model="sonnet", status=429, **more)


def test_every_process_shows_those_of_all_and_only_of_the_tenant(redis: str) -> None:
    async def test(one: Recent, other: Recent, client: Redis) -> None:
        one.note(ACME, record(1), door.no_room())
        other.note(BETA, record(2), door.no_room())
        other.note(ACME, record(3), door.no_room())
        for each in (one, other):
            async with asyncio.timeout(10):
                while {entry["request_id"] for entry in await each.read(ACME)} != {"id-1", "id-3"}:
                    await asyncio.sleep(0.01)
        assert [entry["request_id"] for entry in await one.read(BETA)] == ["id-2"]

    with_two(redis, test)


def test_a_storm_keeps_the_newest_in_one_list_that_expires(redis: str) -> None:
    async def test(one: Recent, other: Recent, client: Redis) -> None:
        for number in range(500):
            one.note(ACME, record(number), door.no_room())
        await one.close()
        kept = await other.read(ACME)
        assert [entry["request_id"] for entry in kept] == [f"id-{number}" for number in range(499, 479, -1)]
        name, all_of_them = sorted(await client.command("KEYS", "*"), key=lambda name: "everybody" in name)
        assert all_of_them.startswith(module.REFUSED)
        assert await client.command("LLEN", all_of_them) == module.MOST_OF_ALL
        assert await client.command("LLEN", name) == module.MOST
        assert 0 < await client.command("TTL", name) <= module.KEEP_S
        assert "acme" not in name and KEY not in name

    with_two(redis, test)


def test_a_storm_of_refusals_hides_no_failure_from_the_operator(redis: str) -> None:
    async def test(one: Recent, other: Recent, client: Redis) -> None:
        one.note(BETA, replace(record(7), status=503), door.no_room())
        one.note(BETA, replace(record(8), status=424), door.no_room())
        one.broke_off(BETA, replace(record(9), status=200, error="TimeoutError"))
        for number in range(100, 600):
            one.note(ACME, record(number), door.no_room())
        await one.close()
        found = await other.read_all()
        failures = {entry["request_id"]: entry["tenant"] for entry in found if entry["failed"]}
        assert failures == {"id-7": "beta", "id-8": "beta", "id-9": "beta"}
        refusals = [entry["request_id"] for entry in found if not entry["failed"]]
        assert len(refusals) == module.MOST_OF_ALL and "id-599" in refusals and "id-499" not in refusals
        assert [entry["request_id"] for entry in await other.read(BETA)] == ["id-8", "id-7"]

    with_two(redis, test)


@pytest.mark.parametrize(
    ("refusal", "words"),
    [
        (door.no_room(), door.no_room().message),
        (door.malformed(SECRET), module.OTHERS["invalid_request"]),
        (door.model_not_allowed("acme", SECRET), module.OTHERS["model_not_allowed"]),
        (Refusal(400, "invalid_request_error", "context_length", SECRET, counts=True), "status 429"),
        (Refusal(418, "teapot", "overloaded", SECRET, counts=True), "status 429"),
        (None, "LiteLLM or its provider"),
    ],
)
def test_a_sentence_quotes_no_client_and_no_provider(refusal: Refusal | None, words: str) -> None:
    told = sentence(429, refusal)
    assert words in told and SECRET not in told


def test_without_redis_each_process_shows_its_own(tmp_path: Path) -> None:
    async def test() -> None:
        recent = Recent(Redis("127.0.0.1:9"), {"sonnet"})
        for number in range(100):
            recent.note(ACME, record(number), door.no_room())
        await recent.close()
        kept = await recent.read(ACME)
        assert [entry["request_id"] for entry in kept] == [f"id-{number}" for number in range(99, 79, -1)]
        assert await recent.read(BETA) == []

    run(test)


def test_refusals_of_a_process_appear_in_its_usage(books: Books, redis: str, tmp_path: Path) -> None:
    """Of the guard, of a limit, of a provider; not of the usage itself; a model only if the catalogue has it."""
    books.team(limits={"requests_per_hour": 1})
    books.key("default", at=ACME.token)

    async def test() -> None:
        client = Redis(redis)
        await client.command("FLUSHALL")
        async with serving(books, tmp_path, redis) as gateway:
            assert (await gateway.ask(model=SECRET)).status == 403
            assert (await gateway.ask()).status == 200
            sent = await gateway.ask(headers={"x-request-id": "the-limit"})
            assert (await look(gateway, "sk-nobody-0123456789")).status == 401
            told = (await look(gateway)).json["refusals"]
            last = told[0]
            assert [entry["code"] for entry in told] == ["requests_per_hour", "model_not_allowed"]
            assert (last["status"], last["request_id"], last["model"]) == (429, "the-limit", "sonnet")
            assert (last["sentence"], last["key"]) == (sent.json["error"]["message"], "default")
            assert last["at"][:10] == f"{datetime.now(UTC):%Y-%m-%d}"
            assert told[1]["model"] is None and SECRET not in str(told)
        client.close()

    run(test)


def test_another_keys_refusal_does_not_name_it(books: Books, redis: str, tmp_path: Path) -> None:
    books.team()
    books.key("default", at=ACME.token)

    async def test() -> None:
        client = Redis(redis)
        await client.command("FLUSHALL")
        async with serving(books, tmp_path, redis) as gateway:
            assert (await gateway.ask(model=SECRET)).status == 403
            own = (await look(gateway)).json["refusals"]
        async with serving(
            books, tmp_path, redis, metadata={"managed_by": "tollgate", "name": "ci"}, key_alias="acme/ci/1"
        ) as gateway:
            others = (await look(gateway)).json["refusals"]
        assert [entry["key"] for entry in own] == ["default"]
        assert [entry["key"] for entry in others] == [None]
        client.close()

    run(test)


def test_what_litellm_refused_is_there_without_its_words(redis: str, tmp_path: Path) -> None:
    async def test() -> None:
        client = Redis(redis)
        await client.command("FLUSHALL")
        async with (
            upstream(Answer([b"{}"])) as one,
            process(tmp_path, catalogue(model(messages(one), reason="route")), redis=redis) as gateway,
        ):
            gateway.litellm.answers(Answer([SECRET.encode()], 418))
            assert (await gateway.ask()).status == 418
            other = Recent(client, {"sonnet"})
            async with asyncio.timeout(10):
                while not (kept := await other.read(caller())):
                    await asyncio.sleep(0.01)
            assert (kept[0]["status"], kept[0]["code"]) == (418, "other_route") and SECRET not in str(kept)
        client.close()

    run(test)
