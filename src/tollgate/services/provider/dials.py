"""Dials: settings in a request that make this provider slow, verbose, faulty or silent. Three places, one grammar.

    x-tollgate-dial: latency=0.5; tps=20        a header
    model: test-model+tps=20+tokens=300         after the model's name
    [[tokens=300 tps=20]]                       in the last user message; it passes through any gateway

Dials are separated by spaces, `;` or `+`. If two places set the same dial, the header wins over the message, and the
message over the model name. A bad dial is a 400 that names it and lists the known dials (README.md has the table).

Only a provider that was started for tests obeys them. For others they are plain text in the prompt or the name.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from tollgate.services.provider.api_errors import KIND_OF_STATUS, ApiError

HEADER = "x-tollgate-dial"
MAX_SECONDS = 3600.0
MAX_TOKENS = 100_000
MAX_TPS = 100_000.0


@dataclass(frozen=True)
class Gap:
    """Silence of `seconds` after `after` tokens."""

    after: int
    seconds: float


@dataclass(frozen=True)
class Fault:
    """An error event after `after` tokens, with the meaning of `status`."""

    after: int
    status: int


@dataclass(frozen=True)
class Dials:
    """Seconds, tokens per second, tokens; None is not set. `hang` and `drop` at 0 act before the first byte."""

    latency: float = 0.0
    tps: float | None = None
    tokens: int | None = None
    status: int | None = None
    retry_after: int | None = None
    drop: int | None = None
    hang: int | None = None
    error: Fault | None = None
    gap: Gap | None = None
    roles: str | None = None
    context: int | None = None
    refuse: str | None = None
    safeguard: str | None = None


class BadDialError(ValueError):
    """The message says what value was expected."""


def _seconds(text: str) -> float:
    return _number(text, "seconds", 0.0, MAX_SECONDS)


def _number(text: str, unit: str, least: float, most: float) -> float:
    if not re.fullmatch(r"\d{1,9}(\.\d{1,9})?", text) or not least <= float(text) <= most:
        raise BadDialError(f"expected {unit} from {least:g} to {most:g}")
    return float(text)


def _whole(text: str, unit: str, least: int, most: int) -> int:
    if not re.fullmatch(r"\d{1,9}", text) or not least <= int(text) <= most:
        raise BadDialError(f"expected a whole number of {unit} from {least} to {most}")
    return int(text)


def _status(text: str) -> int:
    if not re.fullmatch(r"\d{3}", text) or int(text) not in KIND_OF_STATUS:
        raise BadDialError(f"expected one of {', '.join(map(str, KIND_OF_STATUS))}")
    return int(text)


def _after(text: str) -> int:
    """`after:N`; empty is `after:0`."""
    if not text:
        return 0
    word, _, tokens = text.partition(":")
    if word != "after":
        raise BadDialError("expected after:TOKENS")
    return _whole(tokens, "tokens", 0, MAX_TOKENS)


def _gap(text: str) -> Gap:
    place, _, seconds = text.rpartition(":")
    if not place:
        raise BadDialError("expected after:TOKENS:SECONDS")
    return Gap(_after(place), _seconds(seconds))


def _fault(text: str) -> Fault:
    """`after:N` (a 500) or `after:N:STATUS`."""
    place, status = (text, "500") if text.count(":") < 2 else text.rsplit(":", 1)
    return Fault(_after(place), _status(status))


def _word(*expected: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        if text not in expected:
            raise BadDialError(f"expected {' or '.join(expected)}")
        return text

    return read


# Each dial's field in Dials and its reader.
KNOWN: dict[str, tuple[str, Callable[[str], object]]] = {
    "latency": ("latency", _seconds),
    "tps": ("tps", lambda text: _number(text, "tokens a second", 0.1, MAX_TPS)),
    "tokens": ("tokens", lambda text: _whole(text, "tokens", 1, MAX_TOKENS)),
    "status": ("status", _status),
    "retry-after": ("retry_after", lambda text: _whole(text, "seconds", 0, 86_400)),
    "drop": ("drop", _after),
    "hang": ("hang", _after),
    "error": ("error", _fault),
    "gap": ("gap", _gap),
    "roles": ("roles", _word("strict")),
    "context": ("context", lambda text: _whole(text, "tokens", 1, MAX_TOKENS)),
    "refuse": ("refuse", _word("content")),
    "safeguard": ("safeguard", _word("flagged", "missing")),
}
BARE = frozenset({"drop", "hang", "error"})  # can have no value

_SEPARATOR = re.compile(r"[;+\s]+")
_MARKER = re.compile(r"\[\[([^\[\]\n]{1,400})\]\]")
_SHAPED = re.compile(r"[a-z][a-z-]*=[^=]*")


def split(text: str) -> list[str]:
    return [item for item in _SEPARATOR.split(text) if item]


def parse(*places: Iterable[str]) -> Dials:
    """Dials from lists of items such as `tps=20`; a later list wins over an earlier one. Raises ApiError (400)."""
    values: dict[str, object] = {}
    problems: list[str] = []
    for items in places:
        seen: set[str] = set()
        for item in items:
            name, equals, text = item.partition("=")
            if name in seen:
                problems.append(f"{item!r}: {name} is set twice")
            seen.add(name)
            if name not in KNOWN:
                problems.append(f"{item!r}: there is no such dial")
            elif not text and (equals or name not in BARE):
                problems.append(f"{item!r}: a value is missing")
            else:
                field, read = KNOWN[name]
                try:
                    values[field] = read(text)
                except BadDialError as error:
                    problems.append(f"{item!r}: {error}")
    if "retry_after" in values and "status" not in values:
        problems.append(f"'retry-after={values['retry_after']}': goes with status only")
    if problems:
        raise ApiError(400, f"bad dial {'; '.join(problems)} (known dials: {', '.join(KNOWN)})", code="bad_dial")
    return Dials(**values)  # type: ignore[arg-type]  # each reader returns what its field holds


def is_dial(item: str) -> bool:
    """Whether a word looks like a dial, valid or not: `name=value`, or a dial without a value."""
    return item in BARE or _SHAPED.fullmatch(item) is not None


def from_model(name: str, *, dialled: bool = True) -> tuple[str, list[str]]:
    """`test-model+tps=20` → ("test-model", ["tps=20"]); a name with an ordinary plus stays whole."""
    if not dialled:
        return name, []
    items = name.split("+")
    cut = next((i for i, item in enumerate(items) if i and is_dial(item)), len(items))
    return "+".join(items[:cut]), items[cut:]


def from_text(text: str, *, dialled: bool = True) -> tuple[str, list[str]]:
    """The text without its markers, and their dials. Double brackets around other text stay unchanged."""
    if not dialled:
        return text.strip(), []
    dials: list[str] = []

    def take(match: re.Match[str]) -> str:
        items = split(match[1])
        if not items or not all(map(is_dial, items)):
            return match[0]
        dials.extend(items)
        return ""

    return _MARKER.sub(take, text).strip(), dials
