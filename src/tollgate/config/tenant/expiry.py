"""When a key expires, as an aware datetime: a date (the key's last day, in UTC) or an RFC 3339 time."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from pydantic import BeforeValidator, WithJsonSchema

from tollgate.errors import Mistake

_DATE = re.compile(r"\d{4}-\d\d-\d\d")
_TIME = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,6})?([Zz]|[+-]\d\d:\d\d)")
_YEARS = range(2000, 2100)  # well within the range of dates and database columns
_HINT = "as in 2027-01-31 (UTC, that day included) or 2027-01-31T18:00:00Z"


def _parse(value: Any) -> Any:
    if isinstance(value, datetime):
        return value
    if not isinstance(value, str):
        raise Mistake(f"expected a date or a time with its zone, not {type(value).__name__}", _HINT)
    text = value.strip()
    try:
        if _DATE.fullmatch(text):
            moment = datetime.fromisoformat(text).replace(tzinfo=UTC)
            day = timedelta(days=1)
        elif _TIME.fullmatch(text):
            moment = datetime.fromisoformat(text.upper().replace("Z", "+00:00"))
            day = timedelta()
        else:
            raise ValueError
        if moment.year not in _YEARS:
            raise ValueError
    except ValueError:
        raise Mistake(f"expected a date or a time with its zone, found {value[:60]!a}", _HINT) from None
    return moment.astimezone(UTC) + day


Expiry = Annotated[
    datetime,
    BeforeValidator(_parse),
    WithJsonSchema(
        {"type": "string", "pattern": r"^\d{4}-\d\d-\d\d([Tt ]\d\d:\d\d:\d\d(\.\d{1,6})?([Zz]|[+-]\d\d:\d\d))?$"}
    ),
]
