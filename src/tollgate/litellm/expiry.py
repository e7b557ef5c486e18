"""Expiry of keys. Tenant files give a time; LiteLLM accepts a duration and stores a time.

LiteLLM counts the duration from the arrival of the request, so times are compared by the minute. A time in the past is
`EXPIRED` on both sides.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from tollgate.litellm.state import EXPIRED

_FORM = "%Y-%m-%dT%H:%MZ"
NEVER = "-1"  # /key/update clears the expiry for this value, and for null


def wanted(at: datetime, now: datetime) -> str:
    """The time in a file, rounded down to the minute, so that the key never lives longer than the file says."""
    minute = at.astimezone(UTC).replace(second=0, microsecond=0)
    return EXPIRED if minute <= now else minute.strftime(_FORM)


def observed(at: str | datetime | None, now: datetime) -> str | None:
    """LiteLLM's time, rounded to the nearest minute. Its times without a zone are UTC."""
    if at is None or at == "":
        return None
    moment = datetime.fromisoformat(at) if isinstance(at, str) else at
    moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    return EXPIRED if moment <= now else (moment + timedelta(seconds=30)).strftime(_FORM)


def duration(expires: str | None, now: datetime) -> str:
    """The `duration` to send for `expires`; `0s` ends the key immediately."""
    if expires is None:
        return NEVER
    if expires == EXPIRED:
        return "0s"
    until = datetime.strptime(expires, _FORM).replace(tzinfo=UTC) - now
    return f"{max(0, round(until.total_seconds()))}s"
