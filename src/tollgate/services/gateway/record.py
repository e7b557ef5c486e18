"""The record of one request: its line in the log, and the figures that metrics count of it.

The line names ids and figures only. A key, a prompt or an answer never comes here.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import orjson

from tollgate.services.gateway.caller import Caller
from tollgate.services.gateway.ledger.price import usd
from tollgate.services.gateway.ledger.usage import Usage
from tollgate.services.refusals import envelopes
from tollgate.services.refusals.refusal import Refusal
from tollgate.services.requests.asgi import Message

log = logging.getLogger("tollgate.gateway.calls")

# COUNT: a target counts the tokens of a request. OWN: the gateway process answers itself, without a model.
DIRECT, COUNT, LITELLM, OWN = "direct", "count", "litellm", "own"
# Where JsonLines finds the fields of a line.
FIELDS = "fields"
# The longest name in a line. Somebody who makes a key by hand in LiteLLM can give it any name.
_LETTERS = 200


@dataclass(slots=True)
class Record:
    """`model` and `answered_by` are names of the catalogue. `code` is why it was refused, `error` how it broke off.

    `status` is what the client saw, 499 if it left. `refused_as` is the status of our own refusal, 0 without one: some
    clients see another number (envelopes.py). `reason` is why LiteLLM answered. `first_byte` is in milliseconds since
    1970. Tokens and cost are only known of the direct route; LiteLLM books what it answers. `call_id` names the call in
    the journal and the ledger; it is empty if the limits did not let it in. `sentence` is why it was refused, without a
    word of a client or a provider.

    `waited_s` is the time until the first byte that upstreams or LiteLLM took, `own_s` the rest of it: the time that
    this process took itself. It begins when the guard has read the whole body.
    """

    request_id: str = ""
    call_id: str = ""
    tenant: str = ""
    key: str = ""
    model: str = ""
    route: str = DIRECT
    reason: str = ""
    target: str = ""
    answered_by: str = ""
    status: int = 0
    refused_as: int = 0
    code: str = ""
    sentence: str = ""
    error: str = ""
    usage: Usage = field(default_factory=Usage)
    nano: int = 0
    began: float = field(default_factory=time.time)
    first_byte: int | None = None
    waited_s: float = 0.0
    own_s: float | None = None
    _clock: float = field(default_factory=time.perf_counter, repr=False)

    @classmethod
    def of(cls, scope: Message, caller: Caller | None) -> Record:
        return cls(
            request_id=envelopes.request_id(scope),
            tenant=caller.tenant if caller is not None else "",
            key="operator" if caller is not None and caller.operator else caller.key_name if caller is not None else "",
        )

    @property
    def whole_s(self) -> float:
        """Since it began."""
        return time.perf_counter() - self._clock

    @property
    def meant(self) -> int:
        """The status, the same for every client."""
        return self.refused_as or self.status

    def first_byte_now(self) -> None:
        if self.first_byte is None:
            self.first_byte = int(time.time() * 1000)
            self.own_s = max(0.0, time.perf_counter() - self._clock - self.waited_s)

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Around each wait for an upstream or for LiteLLM."""
        began = time.perf_counter()
        try:
            yield
        finally:
            self.waited_s += time.perf_counter() - began

    @property
    def first_byte_s(self) -> float | None:
        return None if self.first_byte is None else max(0.0, self.first_byte / 1000 - self.began)

    def hand_over(self, reason: str) -> None:
        self.route, self.reason, self.status, self.error = LITELLM, reason, 0, ""

    def refused(self, refusal: Refusal, scope: Message) -> None:
        self.code, self.error = refusal.code, ""
        self.status, self.refused_as = envelopes.status(refusal, scope), refusal.status

    def write(self) -> None:
        if log.isEnabledFor(logging.INFO):
            # As `log.info` makes it, without its search for the line of code.
            entry = logging.LogRecord(log.name, logging.INFO, __file__, 0, "call", None, None)
            setattr(entry, FIELDS, self.line())
            log.handle(entry)

    def line(self) -> dict[str, Any]:
        """Without what is empty."""
        first = self.first_byte_s
        fields = {
            "request_id": self.request_id,
            "call_id": self.call_id,
            "tenant": self.tenant[:_LETTERS],
            "key": self.key[:_LETTERS],
            "model": self.model,
            "route": self.route,
            "reason": self.reason,
            "target": self.target,
            "status": self.status,
            "code": self.code,
            "sentence": self.sentence,
            "error": self.error,
        }
        line: dict[str, Any] = {name: value for name, value in fields.items() if value}
        if self.answered_by:
            line |= {"answered_by": self.answered_by, "tokens": tokens(self.usage), "cost_usd": f"{usd(self.nano):f}"}
        if first is not None:
            line["first_byte_ms"] = round(first * 1000)
        line["duration_ms"] = max(0, round((time.time() - self.began) * 1000))
        return line


def tokens(usage: Usage) -> dict[str, int]:
    """By kind, without the kinds that were not used. Reasoning is part of the output."""
    kinds = {
        "input": usage.input,
        "output": usage.output,
        "cache_read": usage.cache_read,
        "cache_write": usage.cache_write,
        "reasoning": usage.reasoning,
    }
    return {kind: count for kind, count in kinds.items() if count}


class JsonLines(logging.Formatter):
    """One JSON object a line, as the replicas log."""

    def __init__(self) -> None:
        super().__init__()
        self._second, self._time = 0, ""

    def format(self, record: logging.LogRecord) -> str:
        line = {"message": record.getMessage(), "level": record.levelname, "timestamp": self.formatTime(record)}
        line |= getattr(record, FIELDS, {})
        if record.exc_info:
            line["stacktrace"] = self.formatException(record.exc_info)
        try:
            return orjson.dumps(line).decode()
        except TypeError:  # half of a surrogate pair
            return json.dumps(line)

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: N802  logging's name
        """As logging writes it, with the second written once for all its lines."""
        second = int(record.created)
        if second != self._second:
            self._second, self._time = second, time.strftime(self.default_time_format, time.localtime(second))
        return f"{self._time},{int(record.msecs):03d}"
