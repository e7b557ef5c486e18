"""The state of one running request. Only this is shared by the ASGI layer and the hooks.

The layer (replica/refusals.py) creates an Ongoing for each request and puts it into CURRENT. LiteLLM's callbacks write
into it. The layer then writes the refusal and gives back what the request held.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from logging import LogRecord
from typing import Any

from tollgate.services.hooks.held import Held
from tollgate.services.refusals.refusal import Refusal


@dataclass
class Ongoing:
    """`caller` is LiteLLM's UserAPIKeyAuth. `error` is the exception that LiteLLM raised."""

    caller: Any = None
    error: Exception | None = None
    # The model's name from the request.
    model: str = ""
    # Set if a hook refused the request; the layer then sends this.
    refusal: Refusal | None = None
    # Seconds until LiteLLM's own limit per minute reopens, for a key that was made by hand.
    reopens_in: int | None = None
    # True after LiteLLM's authentication. Refusals before it concern the key; later failures do not.
    admitted: bool = False
    # The header of a gateway process that has let the request in (limits/ticket.py). Nobody has checked it yet.
    ticket: str = field(default="", repr=False)
    # Holds what the request took from its limits; None if nothing was asked.
    held: Held | None = None
    # LiteLLM's errors that wait for the answer (replica/refused_log.py); None once it has begun.
    errors: list[LogRecord] | None = field(default_factory=list, repr=False)
    # True if LiteLLM has no limit of its own for this caller, so that it need not count the call.
    counted_by_us: bool = False
    # Whether the prices of a model that answers instead cover all that the request asks for (hooks/paid_tools.py).
    has_prices: Callable[[str], bool] | None = None
    # Whether the caller's budgets allow a model that answers instead.
    may_pay: Callable[[str], Awaitable[bool]] | None = None

    @property
    def taken_over(self) -> bool:
        """Whether this replica settles what a gateway process let in."""
        return self.held is not None and self.held.handed_over

    async def answered(self) -> None:
        """Before the client sees the end of the answer: its next request can follow immediately."""
        if self.held is not None:
            await self.held.answered()

    async def refused(self, counts: bool) -> None:
        """The client gets an error. `counts` is True if a provider was asked."""
        if self.held is not None:
            await self.held.refused(counts)


CURRENT: ContextVar[Ongoing] = ContextVar("tollgate_ongoing")
