"""The schedule of backups: five fields as in crontab, in UTC."""

from __future__ import annotations

from datetime import datetime

from cronsim import CronSim, CronSimError

from tollgate.errors import Mistake

OFF = ("", "off")


def checked(value: str) -> str:
    """The schedule as in .env, empty for none. ValueError for anything else."""
    value = " ".join(value.split())
    if value in OFF:
        return ""
    try:
        next(CronSim(value, datetime(2026, 1, 1)))
    except (CronSimError, StopIteration):
        hint = "as in crontab, in UTC; every night: 17 2 * * *"
        raise Mistake(f"expected minute, hour, day, month and weekday, found {value[:60]!r}", hint) from None
    return value


def following(schedule: str, moment: datetime) -> datetime:
    """The first run after a moment in UTC."""
    return next(CronSim(schedule, moment))
