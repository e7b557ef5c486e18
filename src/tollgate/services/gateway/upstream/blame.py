"""Whose fault a refusal with 401, 402, 403 or 404 is: the request's, or that of the gateway's account or configuration.

A tenant can repeat a request that a provider refuses. Every tenant shares the targets. So a target may rest only if no
request can have caused the refusal. An error that is read wrongly costs its own client a clear sentence, and nobody
else a target.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

import orjson

STATUSES = frozenset({401, 402, 403, 404})
# OpenRouter refuses flagged input with a 403, and says 402 where a shorter answer would be paid.
_FLAGGED = re.compile(
    r"\bmoderation\b|content.?(?:filter|policy)|\b(?:input|prompt|content|message|request)s?\b.{0,20}\bflagged\b", re.I
)
_FLAGGED_FIELDS = frozenset({"flagged_input", "reasons"})
_TOO_DEAR = re.compile(r"can only afford|fewer max_tokens", re.IGNORECASE)
# OpenRouter's 404 has three meanings: "No endpoints found for NAME", "… that support image input", "… matching your
# data policy".
_LACKS_A_FEATURE = re.compile(r"no endpoints found that\b", re.IGNORECASE)
_DATA_POLICY = re.compile(r"no endpoints \w{1,20} matching your\b.{0,60}\bdata policy", re.IGNORECASE)
_MODEL = re.compile(
    r"\bmodels?\b|\bdeployments?\b|no endpoints found for\b|invalid url|unexpected endpoint", re.IGNORECASE
)
# Frameworks say so of an unknown path. A name in front of it may stand in the request.
_NOTHING_HERE = re.compile(r"(?:404 )?(?:(?:file|page|resource|route) )?not[ _]found\.?", re.IGNORECASE)
_ANTHROPICS = re.compile(rb'\s*\{\s*"type"\s*:\s*"error"')


class Whose(Enum):
    REQUEST = auto()
    ACCOUNT = auto()
    MODEL = auto()


@dataclass(frozen=True)
class Blame:
    """`rests`: the target may rest. `final`: another target would say the same."""

    whose: Whose
    rests: bool = False
    final: bool = False


def of(status: int, body: bytes, answer: Any, words: str) -> Blame:
    """`status` is one of STATUSES, `answer` the parsed `body` or None, `words` its message."""
    if status == 404:
        return _missing(body, answer, words)
    if status == 403 and (_FLAGGED.search(words) or _names_what_is_flagged(answer)):
        # Another account must not get what one provider has flagged.
        return Blame(Whose.REQUEST, final=True)
    return Blame(Whose.ACCOUNT, rests=not (status == 402 and _TOO_DEAR.search(words)))


def _missing(body: bytes, answer: Any, words: str) -> Blame:
    """Another target may have the file, or a provider for the feature, so nothing here is final."""
    if answer is None:
        # A page of the server, not of the API: the address is wrong. An error that was cut off is no page.
        return Blame(Whose.MODEL, rests=not body.lstrip().startswith((b"{", b"[")))
    if _LACKS_A_FEATURE.search(words):
        return Blame(Whose.REQUEST)
    if _DATA_POLICY.search(words):
        return Blame(Whose.ACCOUNT)
    nothing_here = bool(_NOTHING_HERE.fullmatch(words)) and not in_anthropics_shape(body)
    if nothing_here or not words or _MODEL.search(words):
        error = answer.get("error") if isinstance(answer, dict) else None
        return Blame(Whose.MODEL, rests=nothing_here and not isinstance(error, dict))
    return Blame(Whose.REQUEST)


def in_anthropics_shape(body: bytes) -> bool:
    """Whether it is an error that a Messages API wrote. The error may be cut off."""
    try:
        answer = orjson.loads(body)
    except orjson.JSONDecodeError:
        return bool(_ANTHROPICS.match(body))
    error = answer.get("error") if isinstance(answer, dict) and answer.get("type") == "error" else None
    return isinstance(error, dict) and isinstance(error.get("type"), str)


def _names_what_is_flagged(answer: Any) -> bool:
    error = answer.get("error") if isinstance(answer, dict) else None
    metadata = error.get("metadata") if isinstance(error, dict) else None
    return isinstance(metadata, dict) and not _FLAGGED_FIELDS.isdisjoint(metadata)
