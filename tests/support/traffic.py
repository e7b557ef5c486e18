"""Steady traffic against a gateway: half the clients stream, half ask for whole answers; every failure is kept.

A failure is what a user would notice: a status that is not 200, a broken connection, a stream without its end.
"""

from __future__ import annotations

import itertools
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import httpx

from tests.support import plain

TOKENS_PER_SECOND = 4
# One on each route, if the direct route is on.
DIRECT_ROUTE, LITELLMS_ROUTE = ("test-model",), ("by-litellm",)
BOTH_ROUTES = DIRECT_ROUTE + LITELLMS_ROUTE


@dataclass
class Traffic:
    """`clients` at once; streams take between `shortest` and `longest` seconds, each client another length.

    Two clients at a time take the next of `models`, one with streams and one without.
    """

    url: str
    key: str
    clients: int = 16
    shortest: float = 3
    longest: float = 9
    # Whom the clients trust.
    verify: ssl.SSLContext = plain.NOBODY
    models: tuple[str, ...] = BOTH_ROUTES
    failures: list[str] = field(default_factory=list)
    answers: int = 0
    streams: int = 0
    # Streams whose client has had an event and waits for more: what a careless change cuts.
    flowing: int = 0

    def __post_init__(self) -> None:
        self._ended = threading.Event()
        self._guard = threading.Lock()

    @contextmanager
    def running(self) -> Iterator[Traffic]:
        """Traffic for as long as the block lasts; at its end every stream that began is read to its end."""
        threads = [threading.Thread(target=self._client, args=(number,)) for number in range(self.clients)]
        for thread in threads:
            thread.start()
        try:
            yield self
        finally:
            self._ended.set()
            for thread in threads:
                thread.join()

    def _client(self, number: int) -> None:
        headers = {"Authorization": f"Bearer {self.key}", "anthropic-version": "2023-06-01"}
        with plain.Client(base_url=self.url, headers=headers, timeout=90, trust_env=False, verify=self.verify) as http:
            for turn in itertools.count():
                if self._ended.is_set():
                    return
                self._turn(http, number, turn)
                # One client asks about once a second; nginx allows a key 50 requests a second.
                self._ended.wait(1.0)

    def _turn(self, http: httpx.Client, number: int, turn: int) -> None:
        streams = number % 2 == 0
        try:
            model = self.models[number // 2 % len(self.models)]
            problem = self._stream(http, model, number + turn) if streams else self._whole(http, model)
        except httpx.HTTPError as error:
            problem = f"{type(error).__name__}: {error}"
        with self._guard:
            if problem:
                self.failures.append(f"client {number}, turn {turn}: {problem}")
            elif streams:
                self.streams += 1
            else:
                self.answers += 1

    def _whole(self, http: httpx.Client, model: str) -> str:
        answer = http.post("/v1/messages", json=_body(model, "[[tokens=4]] Say hello.", stream=False))
        return "" if answer.status_code == 200 else f"HTTP {answer.status_code}: {answer.text[:200]}"

    def _stream(self, http: httpx.Client, model: str, seed: int) -> str:
        seconds = self.shortest + (self.longest - self.shortest) * (seed % 8) / 7
        tokens = round(seconds * TOKENS_PER_SECOND)
        body = _body(model, f"[[tokens={tokens} tps={TOKENS_PER_SECOND}]] Tell a story.", stream=True)
        with http.stream("POST", "/v1/messages", json=body) as answer:
            if answer.status_code != 200:
                return f"HTTP {answer.status_code}: {answer.read().decode()[:200]}"
            events = list(self._events(answer))
        if "error" in events or not events or events[-1] != "message_stop":
            return f"a stream of {seconds:.0f} s ended with {events[-1:] or 'nothing'} after {len(events)} events"
        return ""

    def _events(self, answer: httpx.Response) -> Iterator[str]:
        flows = False
        try:
            for line in answer.iter_lines():
                if line.startswith("event: "):
                    yield line.removeprefix("event: ")
                    self._count_flowing(0 if flows else 1)
                    flows = True
        finally:
            self._count_flowing(-1 if flows else 0)

    def _count_flowing(self, change: int) -> None:
        with self._guard:
            self.flowing += change


def _body(model: str, text: str, *, stream: bool) -> dict[str, object]:
    return {
        "model": model,
        "max_tokens": 1000,
        "stream": stream,
        "messages": [{"role": "user", "content": text}],
    }
