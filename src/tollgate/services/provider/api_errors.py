"""The provider's errors. Each API module puts them into its own envelope."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Kind = Literal[
    "invalid_request",
    "authentication",
    "billing",
    "permission",
    "not_found",
    "timeout",
    "too_large",
    "rate_limit",
    "server",
    "overloaded",
]

# Statuses that a dial can set, with their meaning: those of a real provider, and of a proxy before it.
KIND_OF_STATUS: dict[int, Kind] = {
    400: "invalid_request",
    401: "authentication",
    402: "billing",
    403: "permission",
    404: "not_found",
    408: "timeout",
    413: "too_large",
    422: "invalid_request",
    429: "rate_limit",
    500: "server",
    502: "server",
    503: "overloaded",
    504: "timeout",
    529: "overloaded",
}


@dataclass(eq=False)  # not frozen, because Python sets an exception's traceback
class ApiError(Exception):
    """An HTTP error answer. If `message` is empty, the API's usual message for this kind is sent.

    `param` and `code` appear only in OpenAI's envelope; `headers` are added to the answer.
    """

    status: int
    message: str = ""
    kind: Kind = "invalid_request"
    param: str | None = None
    code: str | None = None
    headers: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of_status(cls, status: int, headers: dict[str, str] | None = None) -> ApiError:
        return cls(status, kind=KIND_OF_STATUS[status], headers=headers or {})
