"""When backups are taken: five fields as cron has them, in UTC."""

from __future__ import annotations

from datetime import datetime

from cronsim import CronSim, CronSimError

OFF = ("", "off")


def checked(value: str) -> str:
    """The schedule as it is written in .env, empty for none; ValueError for what is no schedule."""
    value = " ".join(value.split())
    if value in OFF:
        return ""
    try:
        next(CronSim(value, datetime(2026, 1, 1)))
    except (CronSimError, StopIteration):
        hint = "as in crontab, in UTC; for one run a night: 17 2 * * *"
        raise ValueError(f"expected minute, hour, day, month and weekday, found {value[:60]!r}\n{hint}") from None
    return value


def following(schedule: str, moment: datetime) -> datetime:
    """The first run after a moment, which is in UTC."""
    return next(CronSim(schedule, moment))
