"""One server-sent event with its number of tokens, which delivery needs for its pace and its count."""

from __future__ import annotations

from dataclasses import dataclass

from tollgate.services.provider import tokens


@dataclass(frozen=True)
class Frame:
    data: bytes
    tokens: int = 0


def frame(payload: object, *, event: str = "", carries: int = 0) -> Frame:
    named = f"event: {event}\n" if event else ""
    return Frame(f"{named}data: {tokens.compact(payload)}\n\n".encode(), carries)
