"""One request and its answer: the parts that every route needs, for both APIs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field, replace
from typing import Protocol

from tollgate.services.provider import dials, tokens
from tollgate.services.provider.api_errors import ApiError
from tollgate.services.provider.checks import json_object
from tollgate.services.provider.delivery import Delivery, Stream, Whole
from tollgate.services.provider.dials import Dials
from tollgate.services.provider.prompt import JsonObject
from tollgate.services.provider.recorder import Entry
from tollgate.services.provider.sse import Frame


class Api(Protocol):
    """One API's form of errors and its request id header. The modules anthropic.reply and openai.reply implement it."""

    def envelope(self, refusal: ApiError, request_id: str) -> JsonObject: ...

    def error_event(self, refusal: ApiError, request_id: str) -> Frame: ...

    def headers(self, request_id: str) -> dict[str, str]: ...


@dataclass
class Exchange:
    """`reply_id` is unique to this request; `raw` is its body, `headers` its headers with lower-case names."""

    api: Api
    entry: Entry
    headers: dict[str, str]
    raw: bytes
    reply_id: str
    under_test: bool = False
    dials: Dials = field(default_factory=Dials)

    @property
    def request_id(self) -> str:
        return f"req_{self.reply_id}"

    def body(self) -> JsonObject:
        body = json_object(self.raw)
        self.entry.model = body["model"] if isinstance(body.get("model"), str) else None
        self.entry.stream = body.get("stream") is True
        return body

    def dial(self, model: Iterable[str] = (), text: Iterable[str] = ()) -> Dials:
        """Read the dials of this request, only under test. Raises ApiError for a bad dial, and for `status`."""
        if not self.under_test:
            return self.dials
        self.dials = dials.parse(model, text, dials.split(self.headers.get(dials.HEADER, "")))
        unset = asdict(Dials())
        self.entry.dials = {name: value for name, value in asdict(self.dials).items() if value != unset[name]}
        if self.dials.status:
            again = self.dials.retry_after
            raise ApiError.of_status(self.dials.status, {} if again is None else {"retry-after": str(again)})
        return self.dials

    def whole(self, body: JsonObject, *, carries: int = 0) -> Delivery:
        """A JSON answer worth `carries` tokens; a dialled error event becomes an error answer."""
        if self.dials.error:
            raise ApiError.of_status(self.dials.error.status)
        headers = self.api.headers(self.request_id)
        return Whole(self.entry, self.dials, headers, tokens.compact(body).encode(), tokens=carries)

    def stream(self, frames: Iterator[Frame], *, carries: int) -> Delivery:
        fault = self.dials.error
        error = self.api.error_event(ApiError.of_status(fault.status), self.request_id) if fault else None
        headers = self.api.headers(self.request_id)
        return Stream(self.entry, self.dials, headers, frames, tokens=carries, error=error)

    def refused(self, refusal: ApiError) -> Delivery:
        """An error answer. The dials latency, hang and drop apply to it too."""
        body = tokens.compact(self.api.envelope(refusal, self.request_id)).encode()
        headers = {**self.api.headers(self.request_id), **refusal.headers}
        return Whole(self.entry, replace(self.dials, gap=None), headers, body, status=refusal.status)
