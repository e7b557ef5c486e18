"""The limiter's own numbers, for metrics."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Figures:
    """Numbers for metrics. `redis_away` is 1 while this process counts alone; the others only grow.

    `redis_full` counts requests for which Redis had no memory. `money_unheld` counts requests that passed a budget
    because neither Redis nor the ledger knew what was spent.
    """

    redis_away: int = 0
    redis_full: int = 0
    money_unheld: int = 0
    settlements_dropped: int = 0
