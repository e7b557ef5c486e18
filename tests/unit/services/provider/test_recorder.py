"""The record has a limit of number and bytes, and contains no credentials."""

from __future__ import annotations

import hashlib
import json

import pytest

from tollgate.services.provider.recorder import Entry, Recorder, masked


def record(recorder: Recorder, raw: bytes = b"{}", headers: tuple[tuple[str, str], ...] = ()) -> Entry:
    entry = recorder.open("POST", "/v1/messages", "", headers)
    recorder.body(entry, raw)
    return entry


def test_only_the_newest_are_kept() -> None:
    recorder = Recorder(max_entries=3)
    for _ in range(5):
        record(recorder)
    assert [entry["number"] for entry in recorder.latest(10)] == [3, 4, 5]
    assert [entry["number"] for entry in recorder.latest(2)] == [4, 5]
    assert recorder.latest(0) == []
    assert recorder.seen == 5


def test_bytes_are_limited_for_any_number_of_requests() -> None:
    recorder = Recorder(max_bytes=1000)
    for number in range(20):
        record(recorder, json.dumps({"text": "x" * 300, "number": number}).encode())
    kept = [entry["body"]["number"] for entry in recorder.latest(100)]
    assert kept == [18, 19]


def test_of_a_big_body_only_size_and_hash_are_kept() -> None:
    raw = b'{"a": "' + b"x" * 100 + b'"}'
    entry = record(Recorder(max_body=50), raw)
    assert entry.body is None
    assert (entry.body_bytes, entry.body_sha256) == (len(raw), hashlib.sha256(raw).hexdigest())


@pytest.mark.parametrize("raw", [b"{", b"\xff\x00", b'{"a": NaN}', b"[" * 5000], ids=repr)
def test_a_body_that_is_not_json_is_kept_as_text(raw: bytes) -> None:
    assert record(Recorder(), raw).body == raw.decode("utf-8", "replace")


def test_an_entry_can_be_finished_after_it_was_cleared() -> None:
    recorder = Recorder()
    entry = recorder.open("POST", "/", "", [])
    assert recorder.clear() == 1
    recorder.body(entry, b"{}")
    entry.client_left()
    assert recorder.latest(5) == []


@pytest.mark.parametrize(
    "name",
    ["Authorization", "x-api-key", "api-key", "Cookie", "Proxy-Authorization", "X-Amz-Security-Token", "x-secret"],
)
def test_credentials_are_masked(name: str) -> None:
    entry = record(Recorder(), headers=((name, "Bearer sk-live-1"),))
    ((_, kept),) = entry.headers
    assert "sk-live-1" not in kept
    assert kept == masked("x-api-key", "sk-live-1") != masked("x-api-key", "sk-live-2")


def test_twin_other_headers_are_kept_unchanged() -> None:
    kept = (("anthropic-beta", "a,b"), ("x-claude-code-session-id", "5e55"), ("user-agent", "claude-cli/2"))
    assert tuple(record(Recorder(), headers=kept).headers) == kept
