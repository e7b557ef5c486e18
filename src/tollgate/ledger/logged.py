"""Single requests as the ledger's log has them, from the answer to queries.REQUEST."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from tollgate.ledger import rows

INTERRUPTED = "Interrupted"


@dataclass(frozen=True)
class Logged:
    """One row. `route` is direct for what a gateway process booked, litellm otherwise. `model` is the name that was
    asked for; in a row of LiteLLM's it is the fallback that answered, if one did. Times are UTC.
    `first_byte` is None if nothing was sent. `tokens_in` contains cached tokens. `error` is the class of a failure.
    """

    id: str
    request_id: str
    tenant: str
    key: str
    model: str
    answered_by: str
    route: str
    started: datetime
    ended: datetime
    first_byte: datetime | None
    tokens_in: int
    tokens_out: int
    usd: Decimal
    failed: bool
    status: str
    error: str

    @property
    def interrupted(self) -> bool:
        return self.error == INTERRUPTED


def logged(answer: rows.Json) -> tuple[Logged, ...]:
    """The oldest first."""
    return tuple(sorted(map(_logged, answer["requests"]), key=lambda row: row.started))


def _logged(row: rows.Json) -> Logged:
    started, ended, first = (rows.moment(row[name]) for name in ("started", "ended", "first_byte"))
    assert started is not None, "the log has no row without a start"  # noqa: S101
    assert ended is not None, "the log has no row without an end"  # noqa: S101
    return Logged(
        id=rows.clean(row["id"]),
        request_id=rows.clean(row["request_id"]),
        tenant=rows.clean(row["tenant"]),
        key=rows.name_in_alias(row["alias"]),
        model=rows.clean(row["model"]),
        answered_by=rows.clean(row["answered_by"]),
        route="direct" if row["route"] == "direct" else "litellm",
        started=started,
        ended=ended,
        first_byte=first,
        tokens_in=int(row["tokens_in"] or 0),
        tokens_out=int(row["tokens_out"] or 0),
        usd=Decimal(str(row["usd"] or 0)),
        failed=row["status"] == "failure",
        status=rows.clean(row["error_code"]),
        error=rows.clean(row["error_class"]),
    )
