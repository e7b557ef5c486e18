"""The positions of a chart's parts, in the units of its SVG. The template draws them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

from tollgate.ledger import figures
from tollgate.ledger.month import Month

WIDTH, HEIGHT = 760, 230
LEFT, RIGHT, TOP, BOTTOM = 58, 14, 16, 26
# A limit far above the spend would make every bar tiny, so it is named and not drawn.
OUT_OF_SIGHT = 4


@dataclass(frozen=True)
class Mark:
    """A tick of an axis or a line across: position and label."""

    at: float
    text: str


@dataclass(frozen=True)
class Bar:
    x: float
    y: float
    width: float
    height: float
    over: bool
    text: str


@dataclass(frozen=True)
class Chart:
    """`limit` is drawn; `unseen` is a limit too high to draw. `points` and `ahead` are polylines."""

    ticks: tuple[Mark, ...]
    days: tuple[Mark, ...]
    limit: Mark | None
    unseen: str
    bars: tuple[Bar, ...] = ()
    points: str = ""
    area: str = ""
    ahead: str = ""
    end: Mark | None = None
    end_x: float = 0

    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT
    right: int = WIDTH - RIGHT
    ground: int = HEIGHT - BOTTOM


@dataclass(frozen=True)
class Scale:
    top: Decimal

    def y(self, amount: Decimal) -> float:
        return _round((HEIGHT - BOTTOM) - float(amount / self.top) * (HEIGHT - BOTTOM - TOP))

    def ticks(self) -> tuple[Mark, ...]:
        return tuple(Mark(self.y(self.top * step / 4), figures.limit(self.top * step / 4)) for step in range(5))


def daily(month: Month) -> Chart:
    """One bar for each day, with the daily limit."""
    most = max((totals.spend for totals in month.days.values()), default=Decimal(0))
    seen, unseen = _limit(month.daily_limit, most)
    scale = Scale(_nice(max(most, seen or Decimal(0))))
    slot = _slot(month)
    bars = tuple(
        Bar(
            x=_round(LEFT + number * slot + slot * 0.14),
            y=scale.y(totals.spend),
            width=_round(slot * 0.72),
            height=_round(HEIGHT - BOTTOM - scale.y(totals.spend)),
            over=month.daily_limit is not None and totals.spend > month.daily_limit,
            text=f"{day:%A %-d %B}: {figures.usd(totals.spend)}, {totals.requests:,} requests",
        )
        for number, (day, totals) in enumerate(month.days.items())
        if totals.spend
    )
    return Chart(scale.ticks(), _days(month), _line(scale, seen), unseen, bars=bars)


def cumulative(month: Month) -> Chart:
    """The spend up to the end of each day, the monthly limit, and a projection to the end of the month."""
    spent = month.cumulative
    last = spent[-1] if spent else Decimal(0)
    most = max(last, month.projected or Decimal(0))
    seen, unseen = _limit(month.monthly_limit, most)
    scale = Scale(_nice(max(most, seen or Decimal(0))))
    slot = _slot(month)
    # Today's point is at the current time, not at the end of the day.
    edges = [LEFT + slot * (number + 1) for number in range(len(spent))]
    if month.running and edges:
        edges[-1] = LEFT + slot * _elapsed_days(month)
    line = [(LEFT, scale.y(Decimal(0))), *zip(edges, (scale.y(amount) for amount in spent), strict=True)]
    area = [*line, (line[-1][0], scale.y(Decimal(0)))]
    ahead, end = "", None
    if month.projected is not None:
        ahead = _polyline([line[-1], (WIDTH - RIGHT, scale.y(month.projected))])
        end = Mark(scale.y(month.projected), figures.usd(month.projected))
    return Chart(
        scale.ticks(),
        _days(month),
        _line(scale, seen),
        unseen,
        points=_polyline(line),
        area=_polyline(area),
        ahead=ahead,
        end=end,
        end_x=WIDTH - RIGHT,
    )


def _limit(limit: Decimal | None, most: Decimal) -> tuple[Decimal | None, str]:
    if limit is None:
        return None, ""
    if most and limit > most * OUT_OF_SIGHT:
        return None, figures.limit(limit)
    return limit, ""


def _line(scale: Scale, limit: Decimal | None) -> Mark | None:
    return None if limit is None else Mark(scale.y(limit), f"limit {figures.limit(limit)}")


def _nice(most: Decimal) -> Decimal:
    """The end of the axis: a round number a little above, whose quarters are round too."""
    if most <= 0:
        return Decimal(1)
    power = Decimal(10) ** most.adjusted()
    steps = (Decimal(step) for step in ("1", "1.2", "1.6", "2", "2.4", "3", "4", "5", "6", "8", "10", "12"))
    return next(step * power for step in steps if step * power >= most * Decimal("1.04"))


def _slot(month: Month) -> float:
    return (WIDTH - LEFT - RIGHT) / (month.window.until - month.window.since).days


def _days(month: Month) -> tuple[Mark, ...]:
    slot = _slot(month)

    def shown(day: date) -> bool:
        return day.day == 1 or day.day % 5 == 0

    return tuple(
        Mark(_round(LEFT + slot * (number + 0.5)), str(day.day))
        for number, day in enumerate(month.window.days())
        if shown(day)
    )


def _elapsed_days(month: Month) -> float:
    now: datetime = month.now
    return (now - month.window.begins).total_seconds() / 86_400


def _polyline(points: list[tuple[float, float]]) -> str:
    return " ".join(f"{_round(x)},{_round(y)}" for x, y in points)


def _round(number: float) -> float:
    return round(number, 1)
