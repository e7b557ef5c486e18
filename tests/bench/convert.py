"""Measures the converter of the gateway process by hand: `python -m tests.bench.convert`. Nothing is asserted.

One core, no network, in seconds of the processor (the machine may be busy): chunks a second of a stream, by what they
carry and how many come in one read, and the time of a request of Claude Code's size. `--profile` adds where the time
of the text goes.
"""

from __future__ import annotations

import cProfile
import json
import os
import pstats
import sys
import time
from collections.abc import Callable
from typing import Any

import orjson

from tollgate.services.gateway.convert.options import Options
from tollgate.services.gateway.convert.request import to_chat
from tollgate.services.gateway.convert.stream import ChatStream
from tollgate.services.requests.estimate import input_tokens

CHUNKS = 20_000
ROUNDS = 3


def chunk(delta: Any, finish: str | None = None) -> bytes:
    """As long as OpenAI's."""
    head = {"id": "chatcmpl-BxYz1234567890abcdef", "object": "chat.completion.chunk", "created": 1764384000}
    head |= {"model": "gpt-5.2-2025-12-11", "service_tier": "default", "system_fingerprint": "fp_abc123"}
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
    return b"data: %b\n\n" % orjson.dumps({**head, "choices": [choice], "usage": None})


def call(text: str, **function: Any) -> bytes:
    return chunk({"tool_calls": [{"index": 0, "function": {"arguments": text, **function}}]})


def streams() -> dict[str, list[bytes]]:
    text = [chunk({"content": f" wörd{number}"}) for number in range(CHUNKS)]
    return {
        "text, one a read": text,
        "text, twenty a read": [b"".join(text[place : place + 20]) for place in range(0, CHUNKS, 20)],
        "thinking": [chunk({"reasoning_content": " word"})] * CHUNKS,
        "arguments": [call('{"a":"', name="ls"), *[call(" word")] * CHUNKS, call('"}')],
    }


def convert(reads: list[bytes], loads: Callable[[bytes | str], Any]) -> float:
    """Seconds."""
    request = {"thinking": {"type": "adaptive"}}
    stream = ChatStream(request=request, model="m", message_id="msg_1", estimate=1, loads=loads)
    begun = time.process_time()
    for data in reads:
        stream.feed(data)
    stream.feed(chunk({}, "stop"))
    stream.end()
    assert stream.failed is None
    return time.process_time() - begun


def claude_codes_request(turns: int) -> dict[str, Any]:
    tools = [
        {
            "name": f"Tool{number}",
            "description": "d" * 2000,
            "input_schema": {"type": "object", "properties": {"a": {}}},
        }
        for number in range(13)
    ]
    messages: list[Any] = [{"role": "user", "content": "x" * 8000}]
    for number in range(turns):
        use = {"type": "tool_use", "id": f"t{number}", "name": "Tool1", "input": {"path": "x" * 80}}
        messages.append({"role": "assistant", "content": [{"type": "text", "text": "I look."}, use]})
        result = {"type": "tool_result", "tool_use_id": f"t{number}", "content": "x" * 2000}
        messages.append({"role": "user", "content": [result]})
    return {"max_tokens": 9, "system": "s" * 12_000, "tools": tools, "messages": messages}


def fastest(act: Callable[[], Any]) -> float:
    """Seconds."""
    times = []
    for _ in range(ROUNDS):
        begun = time.process_time()
        act()
        times.append(time.process_time() - begun)
    return min(times)


def main() -> None:
    print(f"load of the machine: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    for parser, loads in (("json", json.loads), ("orjson", orjson.loads)):
        for what, reads in streams().items():
            seconds = min(convert(reads, loads) for _ in range(ROUNDS))
            print(f"{parser:7} {what:20} {CHUNKS / seconds:10,.0f} chunks/s")
    alone = [data[6:-2] for data in streams()["text, one a read"]]
    seconds = fastest(lambda: [orjson.loads(data) for data in alone])
    print(f"{'orjson':7} {'parsing alone':20} {CHUNKS / seconds:10,.0f} chunks/s")
    for turns in (10, 200):
        body = claude_codes_request(turns)
        converted = fastest(lambda body=body: to_chat(body, model="m", options=Options()))
        estimated = fastest(lambda body=body: input_tokens(body))
        size = len(orjson.dumps(body)) // 1000
        print(
            f"{size} KB, {turns} calls: converted in {converted * 1000:.2f} ms, estimated in {estimated * 1000:.2f} ms"
        )
    if "--profile" in sys.argv:
        profile = cProfile.Profile()
        profile.runcall(convert, streams()["text, one a read"], orjson.loads)
        pstats.Stats(profile).sort_stats("tottime").print_stats(12)


if __name__ == "__main__":
    main()
