"""Limits the number of unknown keys from one address, because each look-up is a database query."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable

# Several machines of an office can share an address and start with a wrong key at the same time. Five look-ups a
# second cost a replica a few hundredths of a core. After the guessing ends, a new key from the address need not wait.
BURST = 30
PER_SECOND = 5.0
# The number of addresses in memory. The oldest is dropped first.
REMEMBERED = 10_000


class Strangers:
    """A token bucket for each address. Known keys take nothing from it."""

    def __init__(
        self, burst: float = BURST, per_second: float = PER_SECOND, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._burst, self._per_second, self._clock = burst, per_second, clock
        # Address -> tries left, and the time of that value.
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait(self, address: str) -> int:
        """Seconds until this address may try an unknown key again; 0 if it may now."""
        left = self._tries(address)
        return 0 if left >= 1 else max(1, round((1 - left) / self._per_second))

    def failed(self, address: str) -> None:
        """One unknown key came from this address."""
        self._left[address] = (max(0.0, self._tries(address) - 1), self._clock())
        self._left.move_to_end(address)
        if len(self._left) > REMEMBERED:
            self._left.popitem(last=False)

    def _tries(self, address: str) -> float:
        left, written = self._left.get(address, (self._burst, self._clock()))
        return min(self._burst, left + (self._clock() - written) * self._per_second)
