"""One refusal, as the client is to understand it; replica/envelopes.py puts it into the API's shape."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Refusal:
    """`status` and `kind` follow what Claude Code does with them (docs/refusals.md).

    `code` is the word OpenAI's envelope carries, for programs. `retry` becomes x-should-retry, which Claude Code and
    both SDKs obey. `counts` where a provider was asked; what the gateway itself refuses counts against no limit.
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
    """A client waits and asks again by itself only where the wait is short: Claude Code up to 60 s, while the SDK
    would sleep any time it is told, so a longer one says that asking again is no use."""
    return Refusal(429, "rate_limit_error", code, message, retry=retry_after <= 60, retry_after=retry_after)


def budget_spent(code: str, message: str, retry_after: int, resets_at: int, period: str) -> Refusal:
    """The shape of Anthropic's own gateway: shown at once and verbatim, and never retried."""
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
