"""One call to an upstream: what is sent, and how it failed if it did."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from tollgate.services.gateway.catalogue import Protocol, Target

Headers = Iterable[tuple[bytes, bytes]]

ANTHROPIC_VERSION = "2023-06-01"
# A client's headers that a Messages upstream gets as they came: version and betas, and what clients say of themselves.
_PASSED = (b"anthropic-", b"x-claude-", b"x-stainless-")
_PASSED_WHOLE = frozenset({b"user-agent", b"x-app"})


class NoAnswerError(Exception):
    """The upstream gave no usable answer. `kind` is a word for metrics: connect, timeout, broken, redirect, too_large.

    `sent` is false if the request certainly did not reach it, so it may be sent again.
    """

    def __init__(self, kind: str, *, sent: bool = True) -> None:
        super().__init__(kind)
        self.kind, self.sent = kind, sent


def headers(target: Target, protocol: Protocol, credential: str, client: Headers) -> dict[str, str]:
    """The headers of the call. The client's own credential is never among them."""
    sent = {"content-type": "application/json", "accept-encoding": "identity"}
    if protocol is Protocol.MESSAGES:
        sent = {**sent, "anthropic-version": ANTHROPIC_VERSION, **_of_client(client, betas=target.as_sent)}
    sent |= _credential(target, credential)
    return {**sent, **{name.lower(): value for name, value in target.headers.items()}}


def _of_client(client: Headers, *, betas: bool) -> dict[str, str]:
    """The client's headers that pass. Several of one name, such as betas, become one list (RFC 9110, section 5.3)."""
    passed: dict[str, str] = {}
    for raw, value in client:
        name = raw.lower()
        if (name.startswith(_PASSED) or name in _PASSED_WHOLE) and (betas or name != b"anthropic-beta"):
            field, text = name.decode("latin-1"), value.decode("latin-1")
            passed[field] = f"{passed[field]}, {text}" if field in passed else text
    return passed


def _credential(target: Target, credential: str) -> Mapping[str, str]:
    # Some servers want a credential and take any. LiteLLM sends this word too.
    given = credential or "none"
    return {"x-api-key": given} if target.anthropic else {"authorization": f"Bearer {given}"}
