# Generated from _async/connection.py by client/tools/twin.py. Edit that file, and run it again.
"""The one pool to the gateway: sends a call, repeats it where that is safe, and gives its answer."""

from __future__ import annotations

import itertools
import logging
import os
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

import httpx

from tollgate_client import refusals
from tollgate_client.call import Call
from tollgate_client.errors import AnswerError, StatusError, StreamInterruptedError, TollgateError
from tollgate_client.pool import opened
from tollgate_client.settings import Settings

_log = logging.getLogger("tollgate_client")
# Spreads the retries of clients that failed together.
_chance = random.SystemRandom()
_LIMITS = httpx.Limits(max_connections=100, max_keepalive_connections=20)
# Larger than every answer: 2,048 vectors of 3,072 numbers are about 140 MB.
LARGEST_ANSWER = 256 * 2**20
# A refusal is a sentence. The client reads no more of it than this.
LARGEST_REFUSAL = 2**20


@dataclass(frozen=True)
class Whole:
    """An answer that was read to its end."""

    content: bytes = field(repr=False)
    status_code: int
    request_id: str
    answered_by: str


R = TypeVar("R", httpx.Response, Whole)


@dataclass(frozen=True)
class _Pool:
    """`home` is the process that opened it: its sockets serve no other."""

    client: httpx.Client
    home: tuple[int, object]
    turn: threading.Lock = field(default_factory=threading.Lock)


class Connection:
    """The pool opens with the first call."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._pool: _Pool | None = None
        self._opening = threading.Lock()

    def whole(self, call: Call) -> Whole:
        """The answer with its body. A body that is cut is asked for again only if the call is free."""
        return self._repeated(call, self._read)

    def open(self, call: Call) -> httpx.Response:
        """The answer's head, with status 2xx. The caller reads the body and closes the response."""
        return self._repeated(call, self._head)

    def turn(self) -> threading.Lock:
        """A lock: of many callers one fetches something for all."""
        return self._current().turn

    def close(self) -> None:
        pool, self._pool = self._pool, None
        # The sockets of an event loop that has ended, or of the process before a fork, are not ours to close.
        if pool is not None and pool.home == _home():
            pool.client.close()

    def _repeated(self, call: Call, once: Callable[[Call], R | TollgateError]) -> R:
        for attempt in itertools.count(1):
            began = time.monotonic()
            outcome = once(call)
            taken = round((time.monotonic() - began) * 1000)
            if not isinstance(outcome, TollgateError):
                _log.debug("%s %s: %s after %s ms", call.method, call.path, outcome.status_code, taken)
                return outcome
            retries = self.settings.retries
            wait = retries.wait(outcome, attempt, _chance.random(), free=call.free)
            if call.once and isinstance(outcome, StatusError):
                wait = None
            _log.debug("%s %s: %s after %s ms", call.method, call.path, type(outcome).__name__, taken)
            if wait is None:
                raise outcome
            time.sleep(wait)
        raise AssertionError("itertools.count does not end")

    def _head(self, call: Call) -> httpx.Response | TollgateError:
        """One attempt. It returns its error, so that no traceback chains httpx's, which holds the key."""
        settings = self.settings
        headers = settings.headers()
        headers.update(call.headers)
        content = call.encoded()
        if content is not None:
            headers["content-type"] = "application/json"
        client, url, timeout = self._opened(), settings.url(call.path), settings.timeouts(call.seconds)
        request = client.build_request(call.method, url, content=content, headers=headers, timeout=timeout)
        try:
            response = client.send(request, stream=True)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            return refusals.unreachable(error, settings.base_url)
        if response.is_success:
            return response
        text = bytearray()
        until = time.monotonic() + settings.seconds(call.seconds)
        try:
            for piece in response.iter_bytes():
                text += piece
                if len(text) > LARGEST_REFUSAL or time.monotonic() > until:
                    break
        except httpx.HTTPError:
            pass
        finally:
            response.close()
        return refusals.refusal(response.status_code, response.headers, bytes(text), settings.api_key)

    def _read(self, call: Call) -> Whole | TollgateError:
        """One attempt, with its body. Its time is limited as a whole: a gateway may send a byte now and then."""
        settings = self.settings
        until = time.monotonic() + settings.seconds(call.seconds)
        response = self._head(call)
        if isinstance(response, TollgateError):
            return response
        request = refusals.request_id(response.headers)
        content = bytearray()
        failure: TollgateError | None = None
        try:
            for piece in response.iter_bytes():
                content += piece
                if len(content) > LARGEST_ANSWER:
                    failure = AnswerError(f"the answer is larger than {LARGEST_ANSWER} bytes", request_id=request)
                elif time.monotonic() > until:
                    failure = StreamInterruptedError(
                        f"the answer of {settings.base_url} was not complete within the timeout", request_id=request
                    )
                if failure:
                    break
        except httpx.HTTPError as error:
            failure = refusals.interrupted(error, settings.base_url, request)
        finally:
            response.close()
        by = refusals.answered_by(response.headers)
        return failure or Whole(bytes(content), response.status_code, request, by)

    def _opened(self) -> httpx.Client:
        return self._current().client

    def _current(self) -> _Pool:
        with self._opening:
            home = _home()
            if self._pool is None or self._pool.home != home:
                client = opened(httpx.Client, timeout=self.settings.timeouts(), limits=_LIMITS)
                self._pool = _Pool(client, home)
            return self._pool


def _home() -> tuple[int, object]:
    return os.getpid(), None
