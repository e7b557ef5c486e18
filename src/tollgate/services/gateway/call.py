"""One request of a client, as the gateway process works on it."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from tollgate.services.gateway.caller import Caller
from tollgate.services.gateway.catalogue import Model, Protocol
from tollgate.services.gateway.counted import Counted
from tollgate.services.gateway.record import Record
from tollgate.services.refusals.refusal import Refusal
from tollgate.services.requests.asgi import Message, Receive, Send
from tollgate.services.requests.estimate import BYTES_PER_TOKEN, input_tokens


@dataclass(frozen=True)
class Call:
    """`id` is ours (32 hex digits): it names the call in the journal and the ledger. `name` is the model as the client
    named it, `model` what it means here. If the client named a `cheapest` choice, `choice` is that name, and `name` the
    chosen model. `body` is the client's JSON, `parsed` the same after the checks."""

    id: str
    scope: Message
    receive: Receive = field(repr=False)
    send: Send = field(repr=False)
    caller: Caller
    protocol: Protocol
    body: bytes = field(repr=False)
    parsed: dict[str, Any] = field(repr=False)
    name: str
    model: Model
    began: float
    record: Record = field(default_factory=Record)
    choice: str = ""

    @cached_property
    def input_tokens(self) -> int:
        """An estimate."""
        return input_tokens(self.parsed)

    def characters_read(self, model: Model | None = None) -> int:
        """The size of the input for the ledger's own count: what the limits reserved, because the body also has the
        letters of pictures. `model` has read no more than its context."""
        most = model.context_tokens if model is not None else None
        return BYTES_PER_TOKEN * (min(self.input_tokens, most) if most else self.input_tokens)

    @property
    def anthropic(self) -> bool:
        return self.protocol is Protocol.MESSAGES

    @property
    def streams(self) -> bool:
        return self.parsed.get("stream") is True

    @property
    def request_id(self) -> str:
        """nginx's, for logs and for the client."""
        return self.record.request_id


class RefusedError(Exception):
    """The client gets `refusal` and nothing else; or `events`, the error of a stream as its upstream sent it."""

    def __init__(self, refusal: Refusal, events: bytes = b"") -> None:
        super().__init__(refusal.code)
        self.refusal, self.events = refusal, events


class HandOverError(Exception):
    """LiteLLM must answer this call. `reason` is a word for metrics. `counted` is what the limits have let in already,
    None if nobody asked them: then the replica does."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.counted: Counted | None = None
