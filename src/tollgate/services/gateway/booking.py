"""Takes a call's limits and notes it in the journal before it is answered, and books its cost afterwards.

The order is: take from the limits, write that the call was let in, answer, write how it ended, settle the limits. The
end is written before the client has the last byte, so a killed process loses nothing that it answered.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from tollgate.services.gateway.call import Call, RefusedError
from tollgate.services.gateway.catalogue import Model, Target
from tollgate.services.gateway.counted import Counted
from tollgate.services.gateway.ledger import calls
from tollgate.services.gateway.ledger.journal import Journal, JournalUnwritableError
from tollgate.services.gateway.ledger.price import cost
from tollgate.services.gateway.ledger.usage import Usage
from tollgate.services.limits.limiter import Limiter
from tollgate.services.limits.outcome import Admitted, Refused
from tollgate.services.limits.refusals import refusal_of
from tollgate.services.limits.ticket import sign
from tollgate.services.refusals.refusal import Refusal
from tollgate.services.requests import paid_tools
from tollgate.services.requests.longest_answer import longest_answer
from tollgate.services.requests.routes import Api

CLIENT_LEFT = "ClientLeft"
# LiteLLM's words for the two APIs, which its own pages group by.
_CALL_TYPES = {True: "anthropic_messages", False: "acompletion"}


@dataclass
class Booked:
    """A call that was let in. Exactly one of `end` and `hand_over` ends it."""

    call: Call
    limiter: Limiter
    journal: Journal
    begun: calls.Begun
    held: Admitted
    # A provider was asked. Then the request counts, even if it failed.
    asked: bool = False
    settled: bool = False
    # The target that was asked last, and how the ledger knows it.
    model: Model = field(init=False)
    target: Target | None = None
    _to: calls.Target | None = None

    def __post_init__(self) -> None:
        self.model = self.call.model

    def asks(self, model: Model, target: Target) -> None:
        """This target is called now. If it cannot have been reached, its caller sets `asked` back."""
        self.asked, self.model, self.target = True, model, target
        to = ledger_target(target, model, "" if model is self.call.model else model.name)
        # The same object for the usual target: the journal asks with every piece of a stream whether it is another.
        self._to = self.begun.target if to == self.begun.target else to

    async def switch(self, model: Model) -> bool:
        """Whether the tenant's budgets allow `model`, which answers instead of the model that was asked for."""
        _, nano = reserved(self.call, model)
        now = datetime.now(UTC)
        outcome = await self.limiter.admit_money(self.held, self.call.caller.rules, model.name, nano, now)
        return not isinstance(outcome, Refused)

    def progress(self, usage: Callable[[], Usage]) -> None:
        self.journal.progress(self.begun.id, usage, self._to)

    async def end(self, usage: Usage, status: int, error: str) -> None:
        """Write what the call used, then settle its limits. Runs once; later calls change nothing."""
        if self.settled:
            return
        self.settled = True
        record = self.call.record
        outcome = calls.Outcome(now_ms(), usage, status, error, record.first_byte)
        ended = self.journal.end(self.begun.id, outcome, self._to)
        record.status, record.error, record.usage, record.nano = status, error, usage, ended.cost
        if self.target is not None:
            record.target, record.answered_by = self.target.id, self.model.name
        await self.limiter.settle(self.held, usage.prompt + usage.output, ended.cost, self.asked)

    async def unanswered(self, status: int, error: str) -> None:
        """No upstream answered. If one was asked when the client left, it may bill the input."""
        left = self.asked and error == CLIENT_LEFT
        await self.end(self.begun.estimate if left else Usage(), status, error)

    async def hand_over(self, secret: str) -> Counted | None:
        """LiteLLM answers and books the call. The replica gets a ticket with what the call took, signed with `secret`.

        None if only this process has counted it: then it is given back, and the replica counts alone too.
        """
        if self.settled:
            return None
        self.settled = True
        self.journal.hand_over(self.begun.id)
        taken = await self.limiter.hand_on(self.held)
        if taken is None:
            return None
        ticket = sign(secret, taken, self.call.caller.token, self.call.model.name, time.time())
        return Counted(self.limiter, self.held, ticket, self.asked)


async def admit(limiter: Limiter, journal: Journal, call: Call) -> Booked:
    """Take from every limit or from none, then note the call. Raises RefusedError."""
    tokens, nano = reserved(call, call.model)
    now = datetime.now(UTC)
    held = await limiter.admit(call.caller.rules, call.id, call.model.name, tokens, nano, now)
    if isinstance(held, Refused):
        raise RefusedError(refusal_of(held, now, call.caller.owner))
    begun = calls.Begun(
        id=call.id,
        started=int(call.began * 1000),
        key=call.caller.token,
        team=call.caller.tenant,
        model=call.name,
        call_type=_CALL_TYPES[call.anthropic],
        target=ledger_target(call.model.targets[0], call.model),
        characters_in=len(call.body),
        key_alias=call.caller.key_alias,
        user=call.caller.user,
        request=call.request_id,
    )
    try:
        journal.begin(begun)
    except JournalUnwritableError as error:
        await limiter.settle(held, 0, 0, False)
        raise RefusedError(unwritable()) from error
    call.record.call_id = call.id
    return Booked(call, limiter, journal, begun, held)


def unwritable() -> Refusal:
    message = "The gateway cannot write down what this request would cost at the moment. Try again."
    return Refusal(529, "overloaded_error", "gateway_unavailable", message, retry=True, retry_after=5)


def reserved(call: Call, model: Model) -> tuple[int, int]:
    """The tokens of the input as estimated, and what the call costs at most, in nano-dollars."""
    read = call.input_tokens
    longest = longest_answer(call.parsed, Api(call.protocol.value))
    written = longest.together(model.max_output_tokens)
    tools = paid_tools.most(call.parsed, model.tool_prices or {})
    return read, cost(Usage(input=read, output=written), model.prices) + tools


def ledger_target(target: Target, model: Model, group: str = "") -> calls.Target:
    """`group` is the model's name if it answers instead of the one that was asked for."""
    provider = target.booked_as.partition("/")[0]
    return calls.Target(target.booked_as, provider, target.id, next(iter(target.urls.values())), model.prices, group)


def now_ms() -> int:
    return time.time_ns() // 1_000_000
