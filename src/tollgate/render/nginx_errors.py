"""What nginx itself answers when it refuses a request or finds no replica: statuses, types, wording, retry advice.

The statuses follow what Claude Code and the SDKs do with them (it gives up on a 529 after three tries, on a 502 after
eleven). nginx/snippets/errors.conf.j2 turns the table into JSON in Anthropic's and in OpenAI's shape, so no message may
hold a quote, a backslash, a dollar sign or a line break.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class EdgeError:
    """One answer of nginx's own. `catches` are nginx's codes for it, `status` what the client sees.

    `anthropic_status` where that differs on /v1/messages*. `unread`: the request line could not be parsed. `retry`
    becomes x-should-retry, which Claude Code and both SDKs obey.
    """

    code: str
    status: int
    anthropic_type: str
    openai_type: str
    message: str
    catches: str = ""
    anthropic_status: int = 0
    retry: str = "false"
    retry_after: int = 0
    unread: bool = False


NOT_FOUND = EdgeError(
    "not_found",
    404,
    "not_found_error",
    "invalid_request_error",
    "This gateway has no such route. It serves POST /v1/messages, POST /v1/chat/completions and GET /v1/models; "
    "the base URL must not end in /v1 for Claude Code.",
    catches="404",
)
METHOD_NOT_ALLOWED = EdgeError(
    "method_not_allowed",
    405,
    "invalid_request_error",
    "invalid_request_error",
    "This route does not take this method; the Allow header names the one it takes.",
    catches="405",
)
HEADERS_TOO_LARGE = EdgeError(
    "headers_too_large",
    431,
    "invalid_request_error",
    "invalid_request_error",
    "The request headers are too large: one header may have 16 KiB.",
    catches="494",
)
# In practice: no room in /tmp for the body.
EDGE_FAILED = EdgeError(
    "edge_failed",
    503,
    "overloaded_error",
    "api_error",
    "The gateway could not take the request. Try again; if it lasts, give the request id to whoever runs the gateway.",
    catches="500",
    anthropic_status=529,
    retry="true",
    retry_after=5,
)
BAD_REQUEST = EdgeError(
    "bad_request",
    400,
    "invalid_request_error",
    "invalid_request_error",
    "This is not a well-formed HTTP request.",
    catches="400 501 505",
    unread=True,
)
URI_TOO_LONG = EdgeError(
    "uri_too_long",
    414,
    "invalid_request_error",
    "invalid_request_error",
    "The request line is too long: it may have 16 KiB.",
    catches="414",
    unread=True,
)
UNREACHABLE = EdgeError(
    "gateway_unavailable",
    503,
    "overloaded_error",
    "api_error",
    "No replica of the gateway can be reached. Try again in a few seconds; if it lasts, tell whoever runs the gateway.",
    anthropic_status=529,
    retry_after=5,
)
BROKEN_OFF = EdgeError(
    "replica_lost",
    502,
    "overloaded_error",
    "api_error",
    "The gateway lost the replica that worked on this request before it answered. Try again.",
)
SILENT = EdgeError(
    "gateway_timeout",
    504,
    "timeout_error",
    "timeout_error",
    "The model did not begin to answer within the time the gateway waits. Ask for less at once, or stream the answer.",
)


def body_too_large(max_body_mb: int) -> EdgeError:
    return EdgeError(
        "body_too_large",
        413,
        "request_too_large",
        "invalid_request_error",
        f"The request body is larger than {max_body_mb} MB, the most this gateway takes.",
        catches="413",
    )


def rate_limited(requests_per_second: int) -> EdgeError:
    return EdgeError(
        "rate_limit_exceeded",
        429,
        "rate_limit_error",
        "rate_limit_error",
        f"Too many requests with this key: the gateway takes {requests_per_second} a second from one key. Slow down.",
        catches="429",
        retry="true",
        retry_after=1,
    )


def simple(max_body_mb: int, requests_per_second: int) -> tuple[EdgeError, ...]:
    """Those that are one status and one text, whatever happened to the replicas."""
    return (
        NOT_FOUND,
        METHOD_NOT_ALLOWED,
        body_too_large(max_body_mb),
        rate_limited(requests_per_second),
        HEADERS_TOO_LARGE,
        EDGE_FAILED,
        BAD_REQUEST,
        URI_TOO_LONG,
    )
