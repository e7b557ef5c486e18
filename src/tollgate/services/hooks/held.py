"""Holds what one request has taken from its tenant's limits, from its admission until LiteLLM has booked it.

An answer ends twice. The client has its last byte: then the slot is free, because the client's next request can follow
at once. A moment later LiteLLM knows the tokens and the cost: then they replace what was reserved. The second end
never comes for an answer that LiteLLM does not book. BOOKED_WITHIN_S later the estimate of the input stays counted,
and money is what the ledger has.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from tollgate.services.limits.limiter import Limiter
from tollgate.services.limits.outcome import Admitted

BOOKED_WITHIN_S = 60.0


@dataclass
class Held:
    """`tokens` is the estimate of the input. `handed_over`: a gateway process let the request in."""

    limiter: Limiter
    admitted: Admitted
    tokens: int
    handed_over: bool = False
    booked_within: float = BOOKED_WITHIN_S
    _waiting: asyncio.Task[None] | None = field(default=None, repr=False)

    async def answered(self) -> None:
        """The client has its answer, or has left."""
        if self.admitted.settled or self._waiting is not None:
            return
        self._waiting = asyncio.create_task(self._unless_booked())
        await self.limiter.free(self.admitted)

    async def booked(self, tokens: int, nano: int) -> None:
        """LiteLLM knows what the answer used. Nothing after the first time changes anything."""
        self._stop_waiting()
        await self.limiter.settle(self.admitted, tokens, nano, True)

    async def refused(self, counts: bool) -> None:
        """Nobody answered. `counts` is True if a provider was asked: then the request counts, and costs nothing."""
        self._stop_waiting()
        await self.limiter.settle(self.admitted, 0, 0, counts)

    async def _unless_booked(self) -> None:
        await asyncio.sleep(self.booked_within)
        await self.limiter.settle(self.admitted, self.tokens, 0, True)

    def _stop_waiting(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
