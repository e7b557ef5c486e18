"""`make bench-overhead`: what a replica adds. The embedded provider asked directly and through LiteLLM and our hooks.

One client, one request after the other, so that nothing waits for anything else; a tenant with limits of every kind, so
that every check runs. nginx is not among it. Prints a Markdown table for docs/performance.md; figures are of one run.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx

from tests.bench.overspend import tenant
from tests.contract.litellm.gateway import running_gateway
from tests.support import plain

WARM, ASKED = 30, 200
CASES: dict[str, tuple[str, bool]] = {
    "a message": ("/v1/messages", False),
    "a message, streamed, to its first byte": ("/v1/messages", True),
    "a chat completion": ("/v1/chat/completions", False),
}
LIMITS = {"requests_per_minute": 10**6, "tokens_per_minute": 10**9, "daily_limit": 10**6, "requests_per_hour": 10**6}
LIMITS |= {"max_parallel_requests": 100, "per_model": {"test-model": {"1mo": 10**6}}}


def milliseconds(client: httpx.Client, path: str, *, stream: bool) -> Iterator[float]:
    for number in range(WARM + ASKED):
        said = [{"role": "user", "content": f"hello {number}"}]
        body: dict[str, Any] = {"model": "test-model", "max_tokens": 50, "messages": said, "stream": stream}
        began = time.perf_counter()
        with client.stream("POST", path, json=body) as answer:
            if answer.status_code != httpx.codes.OK:
                raise AssertionError(answer.read())
            first = time.perf_counter()
            answer.read()
        if number >= WARM:
            yield ((first if stream else time.perf_counter()) - began) * 1000


def main() -> int:
    with tempfile.TemporaryDirectory() as scratch, running_gateway(Path(scratch)) as gateway:
        direct = f"http://127.0.0.1:{gateway.containers['provider'].get_exposed_port(8080)}"
        headers = {"x-api-key": tenant(gateway, {}, LIMITS), "anthropic-version": "2023-06-01"}
        lines = [
            "| request | directly, ms | through a replica, ms | added | added, 95 of 100 |",
            "|---|---:|---:|---:|---:|",
        ]
        for what, (path, stream) in CASES.items():
            found = []
            for url in (direct, gateway.url):
                with plain.Client(base_url=url, headers=headers, timeout=60, trust_env=False) as client:
                    found.append(sorted(milliseconds(client, path, stream=stream)))
            straight, through = (statistics.median(times) for times in found)
            worst, worst_straight = found[1][int(ASKED * 0.95)], found[0][int(ASKED * 0.95)]
            cells = (what, straight, through, through - straight, worst - worst_straight)
            lines.append("| " + " | ".join(f"{cell:.1f}" if isinstance(cell, float) else cell for cell in cells) + " |")
    sys.stdout.write("\n".join(lines) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
