"""Safeguards: checks that a client asks the server for, and this provider's answers.

In auto mode Claude Code asks whether a tool call is dangerous. Its request has

    "safeguards": [{"type": "dangerous_tool_use", "classifier_context": {…}}]

and it reads `safeguard_results` in a whole message, and in the `delta` of a stream's `message_delta`:

    [{"type": "dangerous_tool_use",
      "status": {"type": "available", "tool_uses": {"toolu_1": {"type": "evaluated", "outcome": "not_flagged"}}}}]

This provider judges nothing: every call is harmless, unless a test's dial says otherwise. The context has paths of the
user's home directory. The provider does not use it and does not log it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from tollgate.services.provider.anthropic.content import bad
from tollgate.services.provider.prompt import JsonObject

DANGEROUS_TOOL_USE = "dangerous_tool_use"
_HARMLESS = {"type": "evaluated", "outcome": "not_flagged"}
_DANGEROUS = {"type": "evaluated", "outcome": "flagged", "explanation": "Flagged by the dial of a test"}


@dataclass(frozen=True)
class Safeguards:
    """The `kinds` that a request asks for, in its order. `flagged`: every tool call is dangerous."""

    kinds: tuple[str, ...] = ()
    flagged: bool = False

    def fields(self, calls: Iterable[str]) -> JsonObject:
        """The field of an answer with tool calls of these ids. Nothing if the request asks for no safeguard."""
        if not self.kinds:
            return {}
        outcomes = dict.fromkeys(calls, _DANGEROUS if self.flagged else _HARMLESS)
        return {"safeguard_results": [{"type": kind, "status": _status(kind, outcomes)} for kind in self.kinds]}


def read(body: JsonObject) -> tuple[str, ...]:
    """The kinds of safeguards that a request asks for. Raises ApiError; Claude Code then asks without them."""
    asked = body.get("safeguards")
    if asked is None:
        return ()
    if not isinstance(asked, list):
        raise bad("safeguards", "Input should be a valid list")
    kinds = []
    for place, safeguard in enumerate(asked):
        where = f"safeguards.{place}"
        if not isinstance(safeguard, dict):
            raise bad(where, "Input should be a valid dictionary")
        kind = safeguard.get("type")
        if not isinstance(kind, str):
            raise bad(f"{where}.type", "Field required" if kind is None else "Input should be a valid string")
        kinds.append(kind)
    return tuple(kinds)


def _status(kind: str, outcomes: JsonObject) -> JsonObject:
    if kind != DANGEROUS_TOOL_USE:
        return {"type": "unsupported"}
    return {"type": "available", "tool_uses": outcomes}
