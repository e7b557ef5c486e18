"""One call of the gateway as a value, and the reading of its answer. Pure: no I/O."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import from_json

from tollgate_client import server_tools
from tollgate_client.errors import AnswerError, ConfigurationError, StreamInterruptedError
from tollgate_client.part import Answer, Part, leniently, leniently_from_json
from tollgate_client.refusals import failed_inside
from tollgate_client.sse import Event, EventReader

A = TypeVar("A", bound=Answer)
P = TypeVar("P", bound=Part)


@dataclass(frozen=True)
class Call:
    """`free` calls cost nothing, so they may be repeated after any failure. `seconds` is their own timeout.

    A call that is asked `once` is not repeated after a refusal: a router has another model for it.
    """

    method: str
    path: str
    body: Mapping[str, Any] | None = field(default=None, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict)
    free: bool = False
    seconds: float | None = None
    once: bool = False

    @property
    def model(self) -> str:
        """The model that is asked; empty for a call without one."""
        return str((self.body or {}).get("model", ""))

    @property
    def offered_tools(self) -> dict[str, int | None]:
        """The tools of the request that the provider runs."""
        return server_tools.offered(self.body or {})

    def encoded(self) -> bytes | None:
        if self.body is None:
            return None
        try:
            return json.dumps(self.body, ensure_ascii=False, allow_nan=False).encode()
        except ValueError:  # a number that is not finite, or half of a character
            pass
        raise ConfigurationError("a request holds JSON values; one of its numbers or texts cannot be written as JSON")


def body(**fields: Any) -> dict[str, Any]:
    """A request's body: fields that are None are left out, and objects of this package become plain JSON."""
    return {name: as_json(value) for name, value in fields.items() if value is not None}


def as_json(value: Any) -> Any:
    if isinstance(value, Part):
        return value.plain()
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json", exclude_none=True)
    if isinstance(value, Mapping):
        return {str(name): as_json(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [as_json(item) for item in value]
    if value is None or isinstance(value, str | int | float | bool):
        return value
    raise ConfigurationError(f"a request holds JSON values; found {type(value).__name__}")


def answer(kind: type[A], text: bytes, request_id: str, asked_model: str = "", *, paid: bool = False) -> A:
    """`text` as an object of `kind`; AnswerError where it is something else.

    A `paid` answer is not lost because a field beside it has a wrong type.
    """
    try:
        parsed = leniently_from_json(kind, text) if paid else kind.model_validate_json(text)
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False, include_context=False)[0]
        place = ".".join(map(str, problem["loc"])) or "the answer"
        wrong = f"this is no answer of the gateway: {place}: {problem['msg']}"
    else:
        parsed.came_with(request_id, asked_model)
        return parsed
    raise AnswerError(wrong, request_id=request_id)


class StreamReader(Generic[P]):
    """The events of one streamed answer as objects of `kind`.

    A stream is over at `data: [DONE]` (chat) or `message_stop` (Messages). An error event raises.
    """

    def __init__(self, kind: type[P], secret: str) -> None:
        self._kind = kind
        self._secret = secret
        self._events = EventReader()
        self.over = False
        self.request_id = self.answered_by = ""

    def feed(self, piece: bytes) -> Iterator[P]:
        for event in self._events.feed(piece):
            if not self.over and (part := self._read(event)) is not None:
                yield part

    def end(self) -> None:
        if not self.over:
            raise StreamInterruptedError("the stream ended before its last event", request_id=self.request_id)

    def _read(self, event: Event) -> P | None:
        if event.data.strip() == b"[DONE]":
            self.over = True
            return None
        try:
            content = from_json(event.data)
        except ValueError:
            content = None
        if not isinstance(content, dict):
            raise AnswerError("an event of the stream is not a JSON object", request_id=self.request_id)
        if event.name == "error" or content.get("type") == "error" or content.get("error"):
            raise failed_inside(content, self.request_id, self._secret)
        self.over = content.get("type") == "message_stop"
        try:
            return leniently(self._kind, content)
        except ValidationError:
            pass
        raise AnswerError("an event of the stream has an unknown form", request_id=self.request_id)
