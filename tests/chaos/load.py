"""Clients that ask all the time, half of them for streams, and note how each request went, when, and what it cost."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import httpx

from tests.support import plain

CLIENTS = 12
# Most of a client's time, so that how much is asked, and with it how much a fault can lose, is hardly the machine's.
PAUSE_S = 0.8
# A client's own patience; above what any fault here should cost.
PATIENCE_S = 90.0
# Whole answers and streams that take so much longer than the slowest before the fault are noticed.
SLOW_S = 5.0
WELL, CUT, ERROR_EVENT = "200", "cut", "error event"
# test-model's price in config/gateway.yaml, USD a token.
PRICE = {"input_tokens": Decimal("0.000001"), "output_tokens": Decimal("0.000005")}
# The provider records bodies; by this word the clients' own are told from health checks.
MARK = "chaos"


@dataclass(frozen=True)
class Asked:
    """One request: when it began (monotonic seconds), how long it took, and its status or what became of it."""

    stream: bool
    began: float
    seconds: float
    outcome: str
    cost: Decimal = Decimal(0)

    @property
    def ended(self) -> float:
        return self.began + self.seconds

    def noticed(self, normal: dict[bool, float]) -> bool:
        return self.outcome != WELL or self.seconds > SLOW_S + normal[self.stream]


@dataclass
class Load:
    """Steady traffic through the public port. `dials` is what the provider is told to do from now on."""

    url: str
    key: str
    dials: str = ""
    asked: list[Asked] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._ended = threading.Event()

    @contextmanager
    def running(self) -> Iterator[Load]:
        threads = [threading.Thread(target=self._client, args=(number,)) for number in range(CLIENTS)]
        for thread in threads:
            thread.start()
        try:
            yield self
        finally:
            self._ended.set()
            for thread in threads:
                thread.join()

    def _client(self, number: int) -> None:
        # Not all in step.
        self._ended.wait(PAUSE_S * number / CLIENTS)
        with client() as http:
            while not self._ended.wait(PAUSE_S):
                self.asked.append(ask(http, self.url, self.key, stream=number % 2 == 0, dials=self.dials))


def client() -> httpx.Client:
    """A connection of its own for each request: what one met must not decide the next one's."""
    return plain.Client(timeout=PATIENCE_S, trust_env=False, limits=httpx.Limits(max_keepalive_connections=0))


def body(*, stream: bool, dials: str = "") -> dict[str, Any]:
    wish = "tokens=24 tps=8" if stream else "tokens=4"
    text = f"[[{wish} {dials}]] {MARK}: say hello."
    return {
        "model": "test-model",
        "max_tokens": 64,
        "stream": stream,
        "messages": [{"role": "user", "content": text}],
    }


def ask(http: httpx.Client, url: str, key: str, *, stream: bool = False, dials: str = "") -> Asked:
    began, cost = time.monotonic(), Decimal(0)
    headers = {"Authorization": f"Bearer {key}", "anthropic-version": "2023-06-01"}
    try:
        with http.stream(
            "POST", f"{url}/v1/messages", json=body(stream=stream, dials=dials), headers=headers
        ) as answer:
            outcome = str(answer.status_code)
            if answer.status_code == 200 and stream:
                outcome, cost = read_stream(answer)
            elif answer.status_code == 200:
                cost = price(json.loads(answer.read())["usage"])
    except httpx.HTTPError as error:
        outcome = type(error).__name__
    return Asked(stream, began, time.monotonic() - began, outcome, cost)


def read_stream(answer: httpx.Response) -> tuple[str, Decimal]:
    """The outcome of a stream that had begun, and its cost if it ended normally."""
    name, usage = "", {}
    try:
        for line in answer.iter_lines():
            if line.startswith("event: "):
                name = line.removeprefix("event: ")
            elif line.startswith("data: ") and name in ("message_start", "message_delta"):
                event = json.loads(line.removeprefix("data: "))
                usage |= (event.get("message") or event).get("usage") or {}
            if name == "error":
                return ERROR_EVENT, Decimal(0)
    except httpx.HTTPError:
        return CUT, Decimal(0)
    return (WELL, price(usage)) if name == "message_stop" else (CUT, Decimal(0))


def price(usage: dict[str, Any]) -> Decimal:
    return sum((PRICE[name] * int(usage.get(name) or 0) for name in PRICE), Decimal(0))


@dataclass(frozen=True)
class Seen:
    """How clients noticed one fault. `noticed_for`: from its beginning to the beginning of the last request that
    failed or was slow; `slowest` in seconds."""

    whole: int
    streams: int
    failed_whole: Counter[str]
    failed_streams: Counter[str]
    slow: int
    noticed_for: float
    slowest: float

    @classmethod
    def of(cls, asked: Sequence[Asked], began: float) -> Seen:
        normal = slowest_before(asked, began)
        during = [one for one in asked if one.ended >= began]
        noticed = [one for one in during if one.noticed(normal)]
        return cls(
            whole=sum(1 for one in during if not one.stream),
            streams=sum(1 for one in during if one.stream),
            failed_whole=Counter(one.outcome for one in noticed if one.outcome != WELL and not one.stream),
            failed_streams=Counter(one.outcome for one in noticed if one.outcome != WELL and one.stream),
            slow=sum(1 for one in noticed if one.outcome == WELL),
            noticed_for=max((max(one.began - began, 0.0) for one in noticed), default=0.0),
            slowest=max((one.seconds for one in during), default=0.0),
        )

    def cells(self) -> list[str]:
        return [
            f"{self.whole} + {self.streams}",
            words(self.failed_whole),
            words(self.failed_streams),
            str(self.slow),
            f"{self.noticed_for:.0f}",
            f"{self.slowest:.1f}",
        ]


def slowest_before(asked: Sequence[Asked], began: float) -> dict[bool, float]:
    """The slowest stream and the slowest other request before the fault, in seconds, with this machine's other load."""
    return {
        stream: max((one.seconds for one in asked if one.ended < began and one.stream is stream), default=0.0)
        for stream in (False, True)
    }


def words(outcomes: Counter[str]) -> str:
    return ", ".join(f"{count} of {outcome}" for outcome, count in sorted(outcomes.items())) or "none"
