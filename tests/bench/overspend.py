"""How much passes beyond a limit when everything comes at once: part of `make bench-tenants`, or run alone.

Three LiteLLM replicas, PostgreSQL and Redis, as a deployment configures them; 64 clients that ask the replicas in turn
without pause. Prints a Markdown table for docs/performance.md; figures are of one run.

    python -m tests.bench.overspend
"""

from __future__ import annotations

import sys
import tempfile
import threading
import time
import uuid
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.contract.litellm.gateway import Gateway, running_gateway
from tests.support import plain

REPLICAS, CLIENTS = 3, 64
CALLS = 100
# 2 tokens in at 1 and 50 out at 5 USD per million: what the embedded provider's answer costs, streamed or not.
COST = (2 * 1 + 50 * 5) / 1_000_000
BODY = {"model": "test-model", "max_tokens": 50, "messages": [{"role": "user", "content": "hello"}]}


@dataclass(frozen=True)
class Run:
    """How many requests passed, of how many, in how many seconds, and what the ledger has booked."""

    name: str
    fits: int
    statuses: Counter[int]
    seconds: float

    @property
    def row(self) -> str:
        passed = self.statuses[200]
        cells = (self.name, self.fits, passed, f"{passed - self.fits:+d}", self.statuses.total(), f"{self.seconds:.0f}")
        return f"| {' | '.join(str(cell) for cell in cells)} |"


def tenant(gateway: Gateway, team: dict[str, Any], limits: dict[str, Any] | None = None) -> str:
    name, key = f"bench-{uuid.uuid4().hex[:8]}", f"sk-{uuid.uuid4().hex}"
    metadata = {"limits": limits or {}}
    admin = plain.Client(headers={"Authorization": f"Bearer {gateway.master_key.reveal()}"}, timeout=60)
    with admin:
        for path, fields in (
            ("/team/new", {"team_id": name, "metadata": metadata, "models": ["test-model"], **team}),
            ("/key/generate", {"key": key, "team_id": name, "models": ["all-team-models"]}),
        ):
            admin.post(gateway.url + path, json=fields).raise_for_status()
    return key


def storm(name: str, gateway: Gateway, key: str, fits: int, seconds: float) -> Run:
    """CLIENTS clients that ask for `seconds`, each beginning at another replica."""
    began, seen, lock = time.monotonic(), Counter[int](), threading.Lock()
    headers = {"x-api-key": key}

    def ask(number: int) -> None:
        with plain.Client(headers=headers, timeout=120, trust_env=False) as client:
            while time.monotonic() - began < seconds:
                number += 1
                answer = client.post(f"{gateway.urls[number % REPLICAS]}/v1/messages", json=BODY)
                with lock:
                    seen[answer.status_code] += 1

    with ThreadPoolExecutor(CLIENTS) as clients:
        for done in [clients.submit(ask, number) for number in range(CLIENTS)]:
            done.result()
    return Run(name, fits, seen, time.monotonic() - began)


def main() -> int:
    with (
        tempfile.TemporaryDirectory() as scratch,
        running_gateway(Path(scratch), replicas=REPLICAS) as gateway,
    ):
        budget = CALLS * COST
        model = {"per_model": {"test-model": {"1d": budget}}}
        storm("warm", gateway, tenant(gateway, {}), 0, 15)
        runs = [
            storm(
                "monthly budget of a tenant",
                gateway,
                tenant(gateway, {}, {"monthly_limit": budget}),
                CALLS,
                20,
            ),
            storm("daily budget of a tenant", gateway, tenant(gateway, {}, {"daily_limit": budget}), CALLS, 20),
            storm("daily budget of one model", gateway, tenant(gateway, {}, model), CALLS, 20),
            # A little less than a minute, so that no second window begins.
            storm("60 requests per minute", gateway, tenant(gateway, {}, {"requests_per_minute": 60}), 60, 50),
            storm("60 requests per hour", gateway, tenant(gateway, {}, {"requests_per_hour": 60}), 60, 10),
        ]
        away = sum(log(gateway, number).count("Redis is away") for number in range(1, REPLICAS + 1))
    sys.stdout.write(table(runs))
    sys.stdout.write(f"\nRedis was taken for away {away} times.\n")
    return 0


def log(gateway: Gateway, number: int) -> str:
    out, err = gateway.containers[f"litellm-{number}"].get_logs()
    return (out + err).decode()


def table(runs: list[Run]) -> str:
    lines = [
        f"{REPLICAS} replicas, {CLIENTS} clients at once, {time.strftime('%Y-%m-%d')}; one run each.",
        "",
        "| limit | worth, calls | passed | over | requests | seconds |",
        "|---|---:|---:|---:|---:|---:|",
        *(run.row for run in runs),
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
