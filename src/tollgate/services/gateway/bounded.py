"""Parses what an upstream sends, up to a number of values. It can be hostile, as a client can.

20 MB of empty lists are half a gigabyte as objects. Tool arguments are JSON in a string of the answer: the count of the
answer does not see them, so they are counted when they are parsed.
"""

from __future__ import annotations

from typing import Any

import orjson

from tollgate.services.gateway.convert.upstream_error import UpstreamFailedError
from tollgate.services.requests.bounds import too_many_values

# 5,000 tokens with the probabilities of 20 alternatives each. As objects a million values need some 70 MB.
VALUES = 1_000_000


def loads(text: bytes | str) -> Any:
    """As orjson.loads. Raises UpstreamFailedError for more values. A text with fewer letters cannot have more."""
    if len(text) > VALUES and too_many_values(_bytes(text), VALUES):
        raise UpstreamFailedError("too_large")
    return orjson.loads(text)


def _bytes(text: bytes | str) -> bytes:
    return text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass")
