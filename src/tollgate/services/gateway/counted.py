"""A call that the limits have let in and that a replica answers. One of the two settles it.

| what happens | who settles |
|---|---|
| the replica answers, and its answer says that it took the call over | the replica, when LiteLLM has booked the call |
| the client leaves before the answer began | the replica; if it never got the request, the lease ends after 30 s |
| the replica dies while it answers | nobody: the lease ends after 30 s, and the ledger has the cost |
| no replica takes the call over: none is there, or the guard or LiteLLM's authentication refuses it | this process |
"""

from __future__ import annotations

from dataclasses import dataclass, field

from tollgate.services.limits.limiter import Limiter
from tollgate.services.limits.outcome import Admitted


@dataclass
class Counted:
    """The first of these methods ends it here; later ones change nothing.

    `asked`: a provider was asked before, so the request counts.
    """

    limiter: Limiter
    admitted: Admitted
    ticket: str = field(repr=False)
    asked: bool

    async def answered(self, *, taken_over: bool) -> None:
        """Before the client has anything of the answer: its next request can follow immediately."""
        if taken_over:
            self.taken_over()
        else:
            await self.given_back()

    def taken_over(self) -> None:
        self.limiter.forget(self.admitted)

    async def given_back(self) -> None:
        await self.limiter.settle(self.admitted, 0, 0, self.asked)
