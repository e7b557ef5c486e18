"""When a key ends: LiteLLM takes a length of time and keeps a moment; files say the moment.

Compared by the minute, because the length is counted from when LiteLLM gets the request. A moment that has passed is
`EXPIRED` on both sides.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from tollgate.litellm.state import EXPIRED

_FORM = "%Y-%m-%dT%H:%MZ"
NEVER = "-1"  # what /key/update takes to clear an expiry; null means the same


def wanted(at: datetime, now: datetime) -> str:
    """What a file says, down to the minute so that a key never outlives it."""
    minute = at.astimezone(UTC).replace(second=0, microsecond=0)
    return EXPIRED if minute <= now else minute.strftime(_FORM)


def observed(at: str | datetime | None, now: datetime) -> str | None:
    """What LiteLLM has, to the nearest minute. Its times without a zone are UTC."""
    if at is None or at == "":
        return None
    moment = datetime.fromisoformat(at) if isinstance(at, str) else at
    moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    return EXPIRED if moment <= now else (moment + timedelta(seconds=30)).strftime(_FORM)


def duration(expires: str | None, now: datetime) -> str:
    """The `duration` to send for `expires`; `0s` ends the key at once."""
    if expires is None:
        return NEVER
    if expires == EXPIRED:
        return "0s"
    until = datetime.strptime(expires, _FORM).replace(tzinfo=UTC) - now
    return f"{max(0, round(until.total_seconds()))}s"
