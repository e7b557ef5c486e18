"""Short questions over HTTP to services of the internal network: Prometheus, nginx, LiteLLM.

Nothing that they answer is believed: an answer has a size and a time limit, and the callers check every value.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import aiohttp
import orjson

CONNECT_S = 2.0
ANSWER_S = 6.0
MOST_BYTES = 4 * 1024 * 1024
_LETTERS = 300


class NoAnswerError(Exception):
    """The service did not answer in time, or not as expected. Its text is a sentence of ours."""


class Inner:
    """One session for all questions. It follows no redirect and uses no proxy."""

    def __init__(self) -> None:
        timeout = aiohttp.ClientTimeout(total=ANSWER_S, sock_connect=CONNECT_S)
        self._session = aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar(), timeout=timeout)

    async def close(self) -> None:
        await self._session.close()

    async def text(self, who: str, url: str, query: Mapping[str, str] | None = None, status: int = 200) -> bytes:
        """The body of an answer with `status`. `who` is the service's name in sentences. Raises NoAnswerError."""
        try:
            async with self._session.get(url, params=query, allow_redirects=False) as answer:
                body = await answer.content.read(MOST_BYTES + 1)
                while len(body) <= MOST_BYTES and (piece := await answer.content.read(MOST_BYTES)):
                    body += piece
        except TimeoutError:
            raise NoAnswerError(f"{who} did not answer within {ANSWER_S:.0f} s.") from None
        except (aiohttp.ClientError, OSError, ValueError):
            raise NoAnswerError(f"{who} cannot be reached.") from None
        if len(body) > MOST_BYTES:
            raise NoAnswerError(f"{who} answered with more than {MOST_BYTES // 1024**2} MB.")
        if answer.status != status:
            raise NoAnswerError(f"{who} answered with status {answer.status}.")
        return body

    async def json(self, who: str, url: str, query: Mapping[str, str] | None = None) -> dict[str, Any]:
        """The object of an answer. Raises NoAnswerError."""
        try:
            content = orjson.loads(await self.text(who, url, query))
        except orjson.JSONDecodeError:
            content = None
        if not isinstance(content, dict):
            raise NoAnswerError(f"{who} did not answer with a JSON object.")
        return content


def words(value: Any, letters: int = _LETTERS) -> str:
    """A text that is safe to show: one line, without control characters, not endless. Empty if it is no text."""
    text = value if isinstance(value, str) else ""
    cut = text[:letters] + ("…" if len(text) > letters else "")
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in cut)
