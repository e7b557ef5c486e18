"""One refusal, independent of the API; envelopes.py puts it into an API's form."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Refusal:
    """`status` and `kind` are chosen for the reaction of Claude Code (docs/refusals.md).

    Some clients get another number for a `status` (envelopes.py).

    `code` is for programs, in OpenAI's envelope. `retry` becomes x-should-retry, which Claude Code and both SDKs obey.
    `counts` is True if a provider got the request; refusals of the gateway itself count against no limit.
    """

    status: int
    kind: str
    code: str
    message: str
    retry: bool = False
    retry_after: int | None = None
    counts: bool = False
    headers: tuple[tuple[str, str], ...] = field(default=())


def rate_limited(code: str, message: str, retry_after: int) -> Refusal:
    """`retry_after` is in seconds. `retry` is True up to 60 s, because Claude Code waits no longer.

    The SDKs would wait any time, so a longer wait must tell them not to retry.
    """
    return Refusal(429, "rate_limit_error", code, message, retry=retry_after <= 60, retry_after=retry_after)


def budget_spent(code: str, message: str, retry_after: int, resets_at: int, period: str) -> Refusal:
    """The form of Anthropic's own gateway. Claude Code shows the message unchanged and does not retry."""
    unified = "anthropic-ratelimit-unified"
    headers = (
        (f"{unified}-status", "rejected"),
        (f"{unified}-reset", str(resets_at)),
        (f"{unified}-overage-reset", str(resets_at)),
        (f"{unified}-overage-utilization", "1"),
        (f"{unified}-overage-surpassed-threshold", "1"),
        (f"{unified}-overage-period", period),
        (f"{unified}-overage-disabled-reason", "org_spend_cap_reached"),
    )
    return Refusal(429, "billing_error", code, message, retry_after=retry_after, headers=headers)
