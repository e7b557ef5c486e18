# Generated from _async/connection.py by client/tools/twin.py. Edit that file, and run it again.
"""The one pool to the gateway: sends a call, repeats it where that is safe, and gives its answer."""

from __future__ import annotations

import itertools
import logging
import random
import threading
import time

import httpx

from tollgate_client import refusals
from tollgate_client.call import Call
from tollgate_client.errors import TollgateError
from tollgate_client.settings import Settings

_log = logging.getLogger("tollgate_client")
# Spreads the retries of clients that failed together.
_chance = random.SystemRandom()
_LIMITS = httpx.Limits(max_connections=100, max_keepalive_connections=20)


class Connection:
    """The pool opens with the first call."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._client: httpx.Client | None = None
        self._opening = threading.Lock()

    def whole(self, call: Call) -> httpx.Response:
        """The answer with its body read. A body that is cut is not asked for again: it is paid."""
        response = self.open(call)
        failure: TollgateError | None = None
        try:
            response.read()
        except httpx.HTTPError as error:
            failure = refusals.interrupted(error, self.settings.base_url, refusals.request_id(response.headers))
        finally:
            response.close()
        if failure:
            raise failure
        return response

    def open(self, call: Call) -> httpx.Response:
        """The answer's head, with status 2xx. The caller reads the body and closes the response."""
        for attempt in itertools.count(1):
            began = time.monotonic()
            outcome = self._once(call)
            taken = round((time.monotonic() - began) * 1000)
            if isinstance(outcome, httpx.Response):
                _log.debug("%s %s: %s after %s ms", call.method, call.path, outcome.status_code, taken)
                return outcome
            wait = self.settings.retries.wait(outcome, attempt, _chance.random(), free=call.free)
            _log.debug("%s %s: %s after %s ms", call.method, call.path, type(outcome).__name__, taken)
            if wait is None:
                raise outcome
            time.sleep(wait)
        raise AssertionError("itertools.count does not end")

    def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            client.close()

    def _once(self, call: Call) -> httpx.Response | TollgateError:
        """One attempt. It returns its error, so that no traceback chains httpx's, which holds the key."""
        settings = self.settings
        headers = {**settings.headers(), **call.headers}
        content = call.encoded()
        if content is not None:
            headers["content-type"] = "application/json"
        client = self._opened()
        request = client.build_request(call.method, settings.url(call.path), content=content, headers=headers)
        try:
            response = client.send(request, stream=True)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            return refusals.unreachable(error, settings.base_url)
        if response.is_success:
            return response
        try:
            text = response.read()
        except httpx.HTTPError:
            text = b""
        finally:
            response.close()
        return refusals.refusal(response.status_code, response.headers, text, settings.api_key)

    def _opened(self) -> httpx.Client:
        with self._opening:
            if self._client is None:
                self._client = httpx.Client(timeout=self.settings.timeouts(), limits=_LIMITS)
            return self._client
