"""Bodies that hide a second field, are deep, packed or large: the upstream gets what was checked, or nothing."""

from __future__ import annotations

import asyncio
import gzip
import io
import json
import zlib
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.support.scripted_upstream import JSON, Answer, upstream, whole_chat, whole_message
from tests.unit.services.gateway.process import (
    KEY,
    Process,
    catalogue,
    chat,
    messages,
    model,
    process,
    run,
)
from tollgate.services.requests.bounds import Bounds

WHOLE, WHOLE_CHAT = Answer([whole_message()], headers=JSON), Answer([whole_chat()], headers=JSON)
CHAT = "/v1/chat/completions"


async def sent(gateway: Process, raw: bytes, **headers: str) -> int:
    answer = await gateway.ask(data=io.BytesIO(raw), headers={"content-type": "application/json", **headers})
    return answer.status


RAW = b'{"model":"sonnet","messages":[{"role":"user","content":"hi"}],%s}'


@pytest.mark.parametrize(
    ("fields", "arrives"),
    [
        (b'"max_tokens":100000,"max_tokens":5', {"max_tokens": 5}),
        (b'"service_tier":"priority","service_tier":"auto","max_tokens":5', {"service_tier": "auto"}),
        (b'"max_tokens":5,"fallbacks":["opus"]', {"fallbacks": None}),
        (b'"max_tokens":5,"\\u0066allbacks":["opus"]', {"fallbacks": None}),
        (b'"max_tokens":5,"model":"opus","model":"sonnet"', {"model": "one-upstream"}),
        (
            b'"max_tokens":5,"new_field":{"of":["next","week",null,1.0]}',
            {"new_field": {"of": ["next", "week", None, 1]}},
        ),
    ],
)
def test_the_upstream_gets_what_was_checked(tmp_path: Path, fields: bytes, arrives: dict[str, Any]) -> None:
    async def test() -> None:
        async with upstream(WHOLE) as one, process(tmp_path, catalogue(model(messages(one)))) as gateway:
            assert await sent(gateway, RAW % fields) == 200
            pairs = json.loads(one.asked[0].text, object_pairs_hook=list)
            names = [name for name, _ in pairs]
            assert len(names) == len(set(names))
            assert {name: one.asked[0].body.get(name) for name in arrives} == arrives

    run(test)


def test_more_output_than_the_model_writes_is_lowered_in_every_field(tmp_path: Path) -> None:
    async def test() -> None:
        async with upstream(WHOLE_CHAT) as one:
            served = catalogue(model(chat(one), max_output_tokens=100))
            async with process(tmp_path, served) as gateway:
                await gateway.ask(CHAT, max_tokens=5000, n_predict=9000, max_completion_tokens=50)
                asked = one.asked[0].body
                assert (asked["max_tokens"], asked["n_predict"], asked["max_completion_tokens"]) == (100, 100, 50)

    run(test)


@pytest.mark.parametrize(("raw", "status"), [(b"\\ud800", 400), (b"\\ud83d\\udc1f", 200)])
def test_half_a_surrogate_pair_is_refused_and_a_whole_one_passes(tmp_path: Path, raw: bytes, status: int) -> None:
    async def test() -> None:
        async with upstream(WHOLE) as one, process(tmp_path, catalogue(model(messages(one)))) as gateway:
            assert await sent(gateway, RAW % (b'"max_tokens":5,"system":"' + raw + b'"')) == status

    run(test)


def test_numbers_that_orjson_cannot_write_pass(tmp_path: Path) -> None:
    """NaN makes the guard use the tolerant parser, which keeps whole numbers above 64 bits."""

    async def test() -> None:
        async with upstream(WHOLE) as one, process(tmp_path, catalogue(model(messages(one)))) as gateway:
            assert await sent(gateway, RAW % b'"max_tokens":5,"x":[NaN,123456789012345678901234567890]') == 200
            assert one.asked[0].body["x"][1] == 123456789012345678901234567890

    run(test)


def test_json_that_is_deep_or_has_very_many_values_is_a_400(tmp_path: Path) -> None:
    async def test() -> None:
        async with upstream(WHOLE) as one, process(tmp_path, catalogue(model(messages(one)))) as gateway:
            deep = b'"max_tokens":5,"x":' + b"[" * 5000 + b"]" * 5000
            many = b'"max_tokens":5,"x":[' + b"{}," * 200_001 + b"{}]"
            assert [await sent(gateway, RAW % fields) for fields in (deep, many)] == [400, 400]
            assert not one.asked

    run(test)


def test_compressed_bodies_are_read_and_bombs_are_not(tmp_path: Path) -> None:
    async def test() -> None:
        async with (
            upstream(WHOLE) as one,
            process(tmp_path, catalogue(model(messages(one))), bounds=Bounds(body=100_000)) as gateway,
        ):
            plain = RAW % b'"max_tokens":5'
            for kind, packed in (("gzip", gzip.compress(plain)), ("deflate", zlib.compress(plain))):
                assert await sent(gateway, packed, **{"content-encoding": kind}) == 200
            bomb = gzip.compress(b" " * 50_000_000)
            assert await sent(gateway, bomb, **{"content-encoding": "gzip"}) == 413
            assert await sent(gateway, plain, **{"content-encoding": "zstd"}) == 415
            assert await sent(gateway, plain, **{"content-encoding": "gzip"}) == 415
            assert len(one.asked) == 2 and one.asked[0].body["model"] == "one-upstream"

    run(test)


def test_a_stranger_is_refused_before_the_body_is_read(tmp_path: Path) -> None:
    async def test() -> None:
        async with process(tmp_path, catalogue()) as gateway:
            host, port = gateway.url.removeprefix("http://").split(":")
            reader, writer = await asyncio.open_connection(host, int(port))
            writer.write(
                b"POST /v1/messages HTTP/1.1\r\nhost: x\r\nx-api-key: sk-no\r\ncontent-length: 90000000\r\n\r\n{"
            )
            async with asyncio.timeout(3):
                assert b" 401 " in await reader.readline()
            writer.close()
            assert not gateway.booked()

    run(test)


@pytest.mark.parametrize("other", ["Bearer sk-ant-oat01-abc", "Bearer null", "Bearer ", "Basic eDp5", ""])
def test_a_foreign_authorization_does_not_hide_the_key(tmp_path: Path, other: str) -> None:
    async def test() -> None:
        async with upstream(WHOLE) as one, process(tmp_path, catalogue(model(messages(one)))) as gateway:
            assert (await gateway.ask(headers={"authorization": other})).status == 200
            swapped = {"authorization": f"Bearer {KEY}", "x-api-key": other or "null"}
            assert (await gateway.ask(headers=swapped)).status == 200
            assert not [asked for asked in one.asked if KEY in str(asked.headers) or "oat01" in str(asked.headers)]

    run(test)


@pytest.mark.parametrize("size", [1024, 40 * 1024 * 1024])
def test_a_body_has_a_size(tmp_path: Path, size: int) -> None:
    async def test() -> None:
        async with upstream(WHOLE) as one, process(tmp_path, catalogue(model(messages(one)))) as gateway:
            raw = RAW % (b'"max_tokens":5,"system":"' + b"x" * size + b'"')
            try:
                status = await sent(gateway, raw)
            except aiohttp.ClientOSError:
                status = 413  # the gateway answered and closed while we still sent
            assert status == (200 if size == 1024 else 413)

    run(test)
