"""Limits on requests: values are counted before JSON is parsed, and the content of strings does not count."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
import tracemalloc
import zlib

import pytest
import zstandard

from tollgate.services.requests.addresses import Strangers
from tollgate.services.requests.bounds import Bounds, has_more_values, too_deep, too_many_values
from tollgate.services.requests.credentials import candidates, carried, with_key
from tollgate.services.requests.encoding import READ, TooLargeError, UnreadableError, decoded, encoding_of
from tollgate.services.requests.room import SMALL, Room

KEY = "sk-acme-0123456789abcdef"


@pytest.mark.parametrize(
    "piece", ["{}", "[]", "0", '""', "null", '{"a":{}}', '"\\\\"', '"\\",[{"'], ids=lambda piece: repr(piece)
)
def test_many_small_values_are_counted(piece: str) -> None:
    few, many = f"[{','.join([piece] * 20)}]".encode(), f"[{','.join([piece] * 2000)}]".encode()
    json.loads(many)
    assert not too_many_values(few, 200)
    assert too_many_values(many, 200)
    assert not has_more_values(json.loads(few), 200)
    assert has_more_values(json.loads(many), 200)


@pytest.mark.parametrize("value", ["x" * 500, 7, [], {}, ["x"] * 200, {"a": {"b": ["," * 500]}}])
def test_few_values_pass_also_when_they_are_parsed(value: object) -> None:
    assert not has_more_values(value, 200)


@pytest.mark.parametrize("text", [",{[" * 5000, '\\"' * 5000, "\\\\" * 5000, "{" * 5000, 'a","b' * 5000])
def test_separators_inside_a_string_do_not_count(text: str) -> None:
    body = json.dumps({"messages": [{"role": "user", "content": text}]}).encode()
    assert not too_many_values(body, 200)


COUNT = """
import resource, sys
from tollgate.services.requests.bounds import too_many_values
piece, times, closed = sys.argv[1].encode(), int(sys.argv[2]), sys.argv[3]
body = b'{"model":"x","a":"' + b"," * 200_001 + piece * (times // len(piece)) + (b'"}' if closed == "closed" else b"")
used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
resource.setrlimit(resource.RLIMIT_DATA, (used + 6 * len(body) + 100_000_000,) * 2)
print(too_many_values(body, 200_000))
"""


@pytest.mark.parametrize("closed", ["closed", "open"])
@pytest.mark.parametrize("piece", ['\\"', "\\\\", "\\n", 'a\\"', '""', "\\", '","', "a"])
def test_no_string_takes_long_or_much_memory(piece: str, closed: str) -> None:
    """A regular expression for strings took hours for a string of escapes without an end, and gigabytes for one with
    it. The time is for a machine that stands still, and the memory for some copies of the body."""
    command = [sys.executable, "-c", COUNT, piece, str(Bounds().body), closed]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr[-500:]
    assert done.stdout.strip() == str(piece in ('""', '","'))


def test_depth_counts_lists_and_objects() -> None:
    value: object = "x"
    for number in range(50):
        value = [value, 1] if number % 2 else {"a": value, "b": [1]}
    assert not too_deep(value, 51)
    assert too_deep(value, 49)
    assert not too_deep("x", 1)


PACK = {"gzip": gzip.compress, "deflate": zlib.compress, "zstd": zstandard.compress}


@pytest.mark.parametrize("encoding", PACK)
def test_a_compressed_body_is_decoded_up_to_the_limit(encoding: str) -> None:
    plain = b'{"model": "m"}' + b" " * 10_000
    packed = PACK[encoding](plain)
    assert encoding in READ
    assert decoded(packed, encoding, 20_000) == decoded(packed, encoding, len(plain)) == plain
    with pytest.raises(TooLargeError):
        decoded(packed, encoding, len(plain) - 1)


@pytest.mark.parametrize("encoding", PACK)
def test_a_body_that_is_not_exactly_one_stream_is_unreadable(encoding: str) -> None:
    """Half of a body, or the first of two, would be another request than the client meant."""
    packed = PACK[encoding](os.urandom(5_000))
    for broken in (packed[:-4], packed[:3], b"", b'{"model": "m"}', packed + b"x", packed + packed):
        with pytest.raises(UnreadableError):
            decoded(broken, encoding, 20_000)


@pytest.mark.parametrize("encoding", PACK)
def test_a_bomb_takes_little_more_memory_than_its_limit(encoding: str) -> None:
    bomb = PACK[encoding](b" " * 100_000_000)
    tracemalloc.start()
    try:
        with pytest.raises(TooLargeError):
            decoded(bomb, encoding, 1_000_000)
        assert tracemalloc.get_traced_memory()[1] < 20_000_000
    finally:
        tracemalloc.stop()


def test_a_zstd_body_cannot_ask_for_a_large_window() -> None:
    wide = zstandard.ZstdCompressionParameters(window_log=27)
    packed = zstandard.ZstdCompressor(compression_params=wide).compress(os.urandom(1000) * 20_000)
    with pytest.raises(UnreadableError, match="memory"):
        decoded(packed, "zstd", 100_000_000)


def test_names_of_encodings() -> None:
    assert [encoding_of(name) for name in ("", "identity", " GZIP ", "x-gzip", "br")] == ["", "", "gzip", "gzip", "br"]


@pytest.mark.parametrize(
    "headers",
    [
        {"authorization": f"Bearer {KEY}"},
        {"Authorization": f"bearer  {KEY} "},
        {"authorization": f"Bearer Bearer {KEY}"},
        {"x-api-key": KEY},
        {"authorization": "Bearer null", "x-api-key": KEY},
        {"authorization": "Bearer ", "x-api-key": KEY},
        {"authorization": "Basic dXNlcjpwYXNz", "x-api-key": KEY},
    ],
)
def test_the_key_can_be_in_either_header(headers: dict[str, str]) -> None:
    sent = [(name.encode(), value.encode()) for name, value in headers.items()]
    assert candidates(sent) == [KEY]
    assert with_key(sent, KEY) == [(b"authorization", f"Bearer {KEY}".encode())]


def test_two_keys_are_tried_in_order_and_malformed_ones_never() -> None:
    two = [(b"x-api-key", b"sk-second-key"), (b"authorization", b"Bearer sk-ant-oat01-first")]
    assert candidates(two) == ["sk-ant-oat01-first", "sk-second-key"]
    for strange in (b"", b"sk-", b"key", b"sk-with space", b"sk-" + b"x" * 300, b"sk-\xff\xfe\xff\xfe\xff"):
        assert candidates([(b"x-api-key", strange)]) == []
    assert carried([(b"api-key", b"x")])
    assert not carried([(b"authorization", b" "), (b"accept", b"*/*")])


def test_an_address_that_guesses_keys_waits_and_others_do_not() -> None:
    now = [0.0]
    strangers = Strangers(burst=3, per_second=0.5, clock=lambda: now[0])
    for _ in range(3):
        assert strangers.wait("10.0.0.1") == 0
        strangers.failed("10.0.0.1")
    assert strangers.wait("10.0.0.1") == 2
    assert strangers.wait("10.0.0.2") == 0
    now[0] = 2.0
    assert strangers.wait("10.0.0.1") == 0
    now[0] = 100.0
    for _ in range(3):
        strangers.failed("10.0.0.1")
    assert strangers.wait("10.0.0.1") > 0, "waiting adds at most the burst"


def test_one_tenant_gets_half_of_the_room_and_small_requests_always_pass() -> None:
    room = Room(total=8 * SMALL)
    assert room.has("a", 0, 4 * SMALL)
    room.take("a", 4 * SMALL)
    assert not room.has("a", SMALL, SMALL)
    assert room.has("a", 0, SMALL), "a small request"
    assert room.has("b", SMALL, 3 * SMALL)
    room.take("b", 4 * SMALL)
    assert not room.has("c", SMALL, SMALL), "full"
    room.give_back("a", 4 * SMALL)
    assert room.has("c", SMALL, SMALL)
    room.give_back("b", 4 * SMALL)
    assert room.taken == 0
