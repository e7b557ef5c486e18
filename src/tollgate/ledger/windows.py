"""The calendar of budgets: days, weeks from Monday, and months, all in UTC."""

from __future__ import annotations

import calendar
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from tollgate.errors import TollgateError

MONTH_FORM = re.compile(r"\d{4}-\d{2}", re.ASCII)


@dataclass(frozen=True)
class Window:
    """Days from `since` on and before `until`: a budget reopens at midnight UTC of `until`."""

    name: str
    since: date
    until: date

    def __contains__(self, day: date) -> bool:
        return self.since <= day < self.until

    @property
    def begins(self) -> datetime:
        return datetime.combine(self.since, time(), UTC)

    @property
    def reopens(self) -> datetime:
        return datetime.combine(self.until, time(), UTC)

    def days(self) -> Iterator[date]:
        return (self.since + timedelta(days=number) for number in range((self.until - self.since).days))


def day_of(now: datetime) -> Window:
    return Window("today", now.date(), now.date() + timedelta(days=1))


def week_of(now: datetime) -> Window:
    monday = now.date() - timedelta(days=now.weekday())
    return Window("this week", monday, monday + timedelta(days=7))


def month_of(day: date, name: str = "this month") -> Window:
    first = day.replace(day=1)
    return Window(name, first, first + timedelta(days=calendar.monthrange(day.year, day.month)[1]))


def month_before(month: Window) -> Window:
    return month_of(month.since - timedelta(days=1), "the month before")


def parse_month(text: str | None, now: datetime) -> Window:
    """`2026-11` as a window; the current month if nothing is given. TollgateError for anything else."""
    if text is None:
        return month_of(now.date())
    if not MONTH_FORM.fullmatch(text) or not 1 <= int(text[5:]) <= 12 or int(text[:4]) < 2000:
        raise TollgateError(f"expected a month such as {now:%Y-%m}, found {text[:40]!r}", "--month YEAR-MONTH")
    month = month_of(date(int(text[:4]), int(text[5:]), 1), text)
    if month.since > now.date():
        raise TollgateError(f"{text} has not begun yet", f"the current month is {now:%Y-%m}")
    return month
