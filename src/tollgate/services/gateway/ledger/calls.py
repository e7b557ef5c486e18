"""A call as the journal knows it: who was let in, to which target it went, how it ended.

Texts are cleaned and cut here, once. So neither the journal nor Postgres meets a NUL, a lone surrogate, or a text that
is too long for an index.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from tollgate.services.gateway.ledger.lost import Lost
from tollgate.services.gateway.ledger.price import FREE, Prices, cost
from tollgate.services.gateway.ledger.usage import Estimate, Usage

MOST_TAGS = 20
# The longest text of each field. The columns of one index together must fit into a page of Postgres.
_OF_BEGUN = {
    "id": 32,
    "key": 200,
    "team": 200,
    "model": 200,
    "call_type": 64,
    "key_alias": 200,
    "user": 200,
    "organization": 200,
    "session": 200,
    "address": 64,
    "request": 128,
}
_OF_TARGET = {"model": 200, "provider": 64, "id": 200, "api_base": 300, "group": 100}
_OF_TAG, _OF_ERROR = 128, 64
_ID = re.compile(r"[0-9a-f]{32}", re.ASCII)
_UNFIT = re.compile("[\x00-\x1f\x7f\ud800-\udfff]")


def clean(text: str, longest: int) -> str:
    """A text that any column takes: without control characters and surrogates, and of a bounded length."""
    if len(text) <= longest and text.isprintable():
        return text
    return _UNFIT.sub("\N{REPLACEMENT CHARACTER}", text[:longest])


@dataclass(frozen=True, slots=True)
class Target:
    """Where a call goes, and its prices at that moment.

    `model` is the target as config/gateway.yaml has it, with the provider's prefix. LiteLLM writes it so, and both
    routes then add to one row. `group` is the name in the catalogue of a model that answers instead of the one that was
    asked for, and empty otherwise. The call counts for that model, as in the limits and on LiteLLM's route.
    """

    model: str
    provider: str
    id: str = ""
    api_base: str = ""
    prices: Prices = FREE
    group: str = ""


@dataclass(frozen=True, slots=True)
class Begun:
    """A call that was let in. `key` is the key's hash, `model` the name that the client asked for.

    `started` is in milliseconds since 1970. `call_type` is LiteLLM's word: anthropic_messages, acompletion, aembedding.
    `request` is nginx's id of the request, which a client can choose; it is for people who look for a request.
    """

    id: str
    started: int
    key: str
    team: str
    model: str
    call_type: str
    target: Target
    characters_in: int = 0
    key_alias: str = ""
    user: str = ""
    organization: str = ""
    session: str = ""
    address: str = ""
    request: str = ""
    tags: tuple[str, ...] = ()

    def check(self) -> None:
        """ValueError for an id that is not ours, and for a key in plain text."""
        if not _ID.fullmatch(self.id):
            raise ValueError("expected a request id of 32 hex digits")
        if self.key.startswith("sk-"):
            raise ValueError("expected the hash of a key, found a key")

    @property
    def estimate(self) -> Usage:
        """The tokens that the call uses at least, as far as we know when we let it in."""
        return Estimate(self.characters_in).usage()


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a call ended. `status` is the HTTP status that the client saw; `error` the class of a failure, or empty.

    `lost`: other answers of the call. Their sum with `usage` is booked.
    """

    ended: int
    usage: Usage
    status: int = 200
    error: str = ""
    first_byte: int | None = None
    lost: Lost | None = None


@dataclass(frozen=True, slots=True)
class Call:
    """A whole call, as it is booked. `cost` is in nano-dollars."""

    begun: Begun
    outcome: Outcome
    cost: int

    @classmethod
    def of(cls, begun: Begun, outcome: Outcome) -> Call:
        nano = cost(outcome.usage, begun.target.prices)
        if lost := outcome.lost:
            outcome, nano = replace(outcome, usage=lost.beside(outcome.usage), lost=None), nano + lost.nano
        return cls(begun, outcome, nano)

    @classmethod
    def interrupted(cls, begun: Begun, usage: Usage, at: int) -> Call:
        """A call that was let in and of which no end is known."""
        return cls.of(begun, Outcome(max(at, begun.started), usage, status=0, error=INTERRUPTED))

    @property
    def failed(self) -> bool:
        return bool(self.outcome.error) or self.outcome.status >= 400


INTERRUPTED = "Interrupted"


def plain_target(target: Target) -> dict[str, Any]:
    """A record as JSON, here and below. `target`, `begun` and `call` read it."""
    return {**_texts(target, _OF_TARGET), "prices": target.prices.plain()}


def plain_begun(begun: Begun) -> dict[str, Any]:
    plain = _texts(begun, _OF_BEGUN)
    plain["started"], plain["characters_in"] = begun.started, begun.characters_in
    plain["target"] = plain_target(begun.target)
    if begun.tags:
        plain["tags"] = [clean(tag, _OF_TAG) for tag in begun.tags[:MOST_TAGS]]
    return plain


def plain_call(call: Call, begun: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """`begun` is its begin as JSON, for a caller that has it."""
    outcome = {
        "ended": call.outcome.ended,
        "usage": call.outcome.usage.plain(),
        "status": call.outcome.status,
        "error": clean(call.outcome.error, _OF_ERROR),
        "first_byte": call.outcome.first_byte,
    }
    if call.outcome.usage.tools:
        outcome["tools"] = call.outcome.usage.plain_tools()
    return {"begun": plain_begun(call.begun) if begun is None else begun, "outcome": outcome, "cost": call.cost}


def _texts(record: Target | Begun, lengths: Mapping[str, int]) -> dict[str, Any]:
    return {name: clean(text, longest) for name, longest in lengths.items() if (text := getattr(record, name))}


def target(content: Mapping[str, Any]) -> Target:
    """Fields of a later version are left out, here and below."""
    prices = Prices(*content["prices"])
    return Target(**{**_BLANK_TARGET, **{name: content[name] for name in _OF_TARGET if name in content}}, prices=prices)


def begun(content: Mapping[str, Any]) -> Begun:
    texts = {name: content[name] for name in _OF_BEGUN if name in content}
    return Begun(
        **{**_BLANK_BEGUN, **texts},
        started=content["started"],
        characters_in=content["characters_in"],
        target=target(content["target"]),
        tags=tuple(content.get("tags", ())),
    )


def call(content: Mapping[str, Any]) -> Call:
    ended = content["outcome"]
    usage = Usage.from_plain(ended["usage"], ended.get("tools", ()))
    outcome = Outcome(ended["ended"], usage, ended["status"], ended["error"], ended["first_byte"])
    return Call(begun(content["begun"]), outcome, content["cost"])


# Texts that are empty are not written.
_BLANK_TARGET: Mapping[str, str] = dict.fromkeys(_OF_TARGET, "")
_BLANK_BEGUN: Mapping[str, str] = dict.fromkeys(_OF_BEGUN, "")
