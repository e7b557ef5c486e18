"""What this process knows of one request while it is answered: the one thing the ASGI layer and the hooks share.

The layer (replica/refusals.py) makes an Ongoing for each request and puts it where LiteLLM's callbacks find it; they
write down what they learn, and the layer words the refusal and gives back what the request held.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from tollgate.services.hooks.refusal import Refusal


@dataclass
class Ongoing:
    """`caller` is LiteLLM's UserAPIKeyAuth, `error` the exception it refused or failed with."""

    caller: Any = None
    error: Exception | None = None
    # The model as the client named it.
    model: str = ""
    # Set where the words are known already; the layer then looks no further.
    refusal: Refusal | None = None
    # Seconds until LiteLLM's own limit of a minute reopens.
    reopens_in: int | None = None
    # Past LiteLLM's authentication. What is refused before is about the key, what fails later is not.
    admitted: bool = False
    # Gives back what the request holds; `refund` says that it counts for nothing.
    settle: Callable[[bool], Awaitable[None]] | None = None

    # Counter of money -> what was put on it for this request, until somebody knows what it really cost.
    reserved: dict[str, float] = field(default_factory=dict)

    async def finish(self, refund: bool = False) -> None:
        """Once, before the client can see that the answer has ended: its next request may follow at once."""
        settle, self.settle = self.settle, None
        if settle is not None:
            await settle(refund)


CURRENT: ContextVar[Ongoing] = ContextVar("tollgate_ongoing")
