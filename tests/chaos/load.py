"""Clients that ask all the time and note how each request went, and when."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import httpx

CLIENTS = 8
PAUSE_S = 0.3
# A client's own patience; above what any fault here should cost.
PATIENCE_S = 90.0
BODY = {"model": "test-model", "max_tokens": 16, "messages": [{"role": "user", "content": "[[tokens=4]] Say hello."}]}


@dataclass(frozen=True)
class Asked:
    """One request: when it began (monotonic seconds), how long it took, and its status or the error's name."""

    began: float
    seconds: float
    outcome: str

    @property
    def ended(self) -> float:
        return self.began + self.seconds


@dataclass
class Load:
    """Steady whole answers through the public port."""

    url: str
    key: str
    asked: list[Asked] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._ended = threading.Event()

    @contextmanager
    def running(self) -> Iterator[Load]:
        threads = [threading.Thread(target=self._client) for _ in range(CLIENTS)]
        for thread in threads:
            thread.start()
        try:
            yield self
        finally:
            self._ended.set()
            for thread in threads:
                thread.join()

    def _client(self) -> None:
        with httpx.Client(timeout=PATIENCE_S, trust_env=False) as http:
            while not self._ended.wait(PAUSE_S):
                self.asked.append(ask(http, self.url, self.key))


def ask(http: httpx.Client, url: str, key: str) -> Asked:
    began = time.monotonic()
    try:
        answer = http.post(f"{url}/v1/messages", json=BODY, headers={"Authorization": f"Bearer {key}"})
        outcome = str(answer.status_code)
    except httpx.HTTPError as error:
        outcome = type(error).__name__
    return Asked(began, time.monotonic() - began, outcome)


@dataclass(frozen=True)
class Seen:
    """What clients saw of one fault: seconds since it began, or how long the slowest request took."""

    requests: int
    failed: Counter[str]
    slowest: float
    failing_for: float

    @classmethod
    def of(cls, asked: Sequence[Asked], began: float) -> Seen:
        during = [one for one in asked if one.ended >= began]
        bad = [one for one in during if one.outcome != "200"]
        return cls(
            requests=len(during),
            failed=Counter(one.outcome for one in bad),
            slowest=max((one.seconds for one in during), default=0.0),
            failing_for=max((one.ended - began for one in bad), default=0.0),
        )

    def cells(self) -> list[str]:
        failed = ", ".join(f"{count} of {outcome}" for outcome, count in sorted(self.failed.items())) or "none"
        return [str(self.requests), failed, f"{self.failing_for:.0f}" if self.failed else "", f"{self.slowest:.1f}"]
