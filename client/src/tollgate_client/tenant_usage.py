"""The gateway's answer about the key's own tenant: money, rates, days. Money is exact, in `currency`."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated

from pydantic import AfterValidator, Field

from tollgate_client.part import Answer, Part


def _in_utc(moment: datetime) -> datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


# A time without a zone is in UTC.
Moment = Annotated[datetime, AfterValidator(_in_utc)]


class Money(Part):
    """One budget: of the tenant, this key or one model, by day, week or month."""

    window: str
    scope: str
    model: str | None = None
    limit: Decimal | None = None
    spent: Decimal = Decimal(0)
    left: Decimal | None = None
    resets_at: Moment | None = None


class Rate(Part):
    """One limit of requests, tokens or requests at once. `used` and `left` are None while nobody counts."""

    what: str
    window: str | None = None
    scope: str = ""
    model: str | None = None
    limit: int | None = None
    used: int | None = None
    left: int | None = None
    resets_at: Moment | None = None


class Day(Part):
    """One day in UTC."""

    day: str
    spent: Decimal = Decimal(0)
    requests: int = 0
    failed: int = 0
    input_tokens: int = 0
    output_tokens: int = 0


class TenantUsage(Answer):
    """Of the tenant of your key; no key sees another tenant."""

    tenant: str
    key: str | None = None
    key_expires_at: Moment | None = None
    at: Moment | None = None
    currency: str = "USD"
    money: list[Money] = Field(default_factory=list)
    rates: list[Rate] = Field(default_factory=list)
    days: list[Day] = Field(default_factory=list)

    def exhausted(self, model: str, now: datetime) -> str:
        """The first limit that leaves nothing for `model` at `now`; empty without one."""
        money = (("money", limit.model, limit.left, limit.resets_at) for limit in self.money)
        rates = ((limit.what, limit.model, limit.left, limit.resets_at) for limit in self.rates)
        for what, whose, left, ends in (*money, *rates):
            if whose in (None, model) and left is not None and left <= 0 and ends and ends > now:
                return f"no {what} left until {ends.isoformat()}"
        return ""
