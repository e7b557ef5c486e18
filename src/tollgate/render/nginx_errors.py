"""nginx's own answers when it refuses a request or finds no replica: statuses, types, wording, retry advice.

The statuses follow what Claude Code and the SDKs do with them (it gives up on a 529 after three tries, on a 502 after
eleven). nginx/snippets/errors.conf.j2 turns the table into JSON in Anthropic's and in OpenAI's shape, so no message may
hold a quote, a backslash, a dollar sign or a line break.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class EdgeError:
    """One of nginx's own answers. `catches` are nginx's codes for it, `status` is for the client.

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
    "This gateway does not have this route. It serves POST /v1/messages, POST /v1/chat/completions and GET /v1/models; "
    "the base URL must not end in /v1 for Claude Code.",
    catches="404",
)
METHOD_NOT_ALLOWED = EdgeError(
    "method_not_allowed",
    405,
    "invalid_request_error",
    "invalid_request_error",
    "This route does not accept this method. The Allow header names the right method.",
    catches="405",
)
HEADERS_TOO_LARGE = EdgeError(
    "headers_too_large",
    431,
    "invalid_request_error",
    "invalid_request_error",
    "The request headers are too large: one header may have at most 16 KiB.",
    catches="494",
)
# An internal fault of nginx. A full /tmp does not cause it, because nginx stores no bodies.
EDGE_FAILED = EdgeError(
    "edge_failed",
    503,
    "overloaded_error",
    "api_error",
    "The gateway could not accept the request. Try again. If it fails again, give the request id to the operator.",
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
    "The request line is too long: it may have at most 16 KiB.",
    catches="414",
    unread=True,
)
GATEWAYS_OFF = EdgeError(
    "gateways_off",
    404,
    "not_found_error",
    "invalid_request_error",
    "This route needs a gateway process. The operator turns it on with GATEWAYS=2 in .env and make deploy.",
)
UNREACHABLE = EdgeError(
    "gateway_unavailable",
    503,
    "overloaded_error",
    "api_error",
    "No replica of the gateway answers. Try again in a few seconds. If it fails again, tell the operator.",
    anthropic_status=529,
    retry_after=5,
)
BROKEN_OFF = EdgeError(
    "replica_lost",
    502,
    "overloaded_error",
    "api_error",
    "The replica that worked on this request stopped before it answered. Try again.",
)
SILENT = EdgeError(
    "gateway_timeout",
    504,
    "timeout_error",
    "timeout_error",
    "The model did not start to answer in time. Ask for a shorter answer, or use streaming.",
)


def body_too_large(max_body_mb: int) -> EdgeError:
    return EdgeError(
        "body_too_large",
        413,
        "request_too_large",
        "invalid_request_error",
        f"The request body is larger than {max_body_mb} MB, the limit of this gateway.",
        catches="413",
    )


def rate_limited(requests_per_second: int) -> EdgeError:
    return EdgeError(
        "rate_limit_exceeded",
        429,
        "rate_limit_error",
        "rate_limit_error",
        f"Too many requests: the gateway accepts {requests_per_second} a second from one key, and fewer without a key.",
        catches="429",
        retry="true",
        retry_after=1,
    )


def simple(max_body_mb: int, requests_per_second: int) -> tuple[EdgeError, ...]:
    """Errors with one status and one text, independent of the replicas."""
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
