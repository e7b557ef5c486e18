"""Takes a call's limits and notes it in the journal before it is answered, and books its cost afterwards.

The order is: take from the limits, write that the call was let in, answer, write how it ended, settle the limits. The
end is written before the client has the last byte, so a killed process loses nothing that it answered.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from tollgate.services.gateway.call import Call, RefusedError
from tollgate.services.gateway.catalogue import Model, Target
from tollgate.services.gateway.counted import Counted
from tollgate.services.gateway.exchange import Exchange
from tollgate.services.gateway.ledger import calls
from tollgate.services.gateway.ledger.journal import Journal, JournalUnwritableError
from tollgate.services.gateway.ledger.lost import NOTHING, Lost
from tollgate.services.gateway.ledger.price import MILLION, cost
from tollgate.services.gateway.ledger.usage import Estimate, Usage
from tollgate.services.limits.limiter import Limiter
from tollgate.services.limits.outcome import Admitted, Refused
from tollgate.services.limits.refusals import refusal_of
from tollgate.services.limits.ticket import sign
from tollgate.services.refusals.refusal import Refusal
from tollgate.services.requests import paid_tools
from tollgate.services.requests.longest_answer import longest_answer
from tollgate.services.requests.routes import Api

CLIENT_LEFT = "ClientLeft"
HANDED_OVER = "HandedOver"
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
    # The answers that were given up; and the part of their cost that the limits do not know yet.
    _lost: Lost = NOTHING
    _unsettled: int = 0
    # The answer of the target that is asked, from its 200 on.
    _arriving: Exchange | None = None

    def __post_init__(self) -> None:
        self.model = self.call.model

    def asks(self, model: Model, target: Target) -> None:
        """This target is called now. If it cannot have been reached, its caller sets `asked` back."""
        self.asked, self.model, self.target, self._arriving = True, model, target, None
        to = ledger_target(target, model, "" if model is self.call.model else model.name)
        # The same object for the usual target: the journal asks with every piece of a stream whether it is another.
        self._to = self.begun.target if to == self.begun.target else to

    def began(self, exchange: Exchange) -> None:
        self._arriving = exchange

    def gave_up(self, *, billed: bool = True) -> bool:
        """The answer that had begun is given up. Notes what it cost if the provider has counted it, or if `billed`.

        False if none had begun. An estimate, without the provider's count, is at most what was reserved.
        """
        exchange, self._arriving = self._arriving, None
        if exchange is None or not (billed or exchange.counted):
            return exchange is not None
        usage = exchange.usage()
        if usage.estimated:
            usage = _within_reserved(usage, self.call, exchange.model)
        nano = cost(usage, exchange.model.prices)
        self._lost, self._unsettled = self._lost.also(usage, nano), self._unsettled + nano
        return True

    async def switch(self, model: Model) -> bool:
        """Whether the tenant's budgets allow `model`, which answers instead of the model that was asked for."""
        _, nano = reserved(self.call, model)
        now = datetime.now(UTC)
        spent, self._unsettled = self._unsettled, 0
        outcome = await self.limiter.admit_money(self.held, self.call.caller.rules, model.name, nano, now, spent)
        return not isinstance(outcome, Refused)

    def progress(self, usage: Callable[[], Usage]) -> None:
        lost = self._lost
        so_far = usage if lost is NOTHING else lambda: lost.beside(usage())
        self.journal.progress(self.begun.id, so_far, self._to)

    async def end(self, usage: Usage, status: int, error: str) -> None:
        """Write what the call used, then settle its limits. Runs once; later calls change nothing."""
        if self.settled:
            return
        self.settled = True
        record = self.call.record
        ended = self._write_end(usage, status, error)
        used = ended.outcome.usage
        record.status, record.error, record.usage, record.nano = status, error, used, ended.cost
        if self.target is not None:
            record.target, record.answered_by = self.target.id, self.model.name
        nano = ended.cost - self._lost.nano + self._unsettled
        await self.limiter.settle(self.held, used.prompt + used.output, nano, self.asked)

    def _write_end(self, usage: Usage, status: int, error: str) -> calls.Call:
        lost = None if self._lost is NOTHING else self._lost
        outcome = calls.Outcome(now_ms(), usage, status, error, self.call.record.first_byte, lost)
        return self.journal.end(self.begun.id, outcome, self._to)

    async def unanswered(self, status: int, error: str) -> None:
        """No upstream answered. If one was asked when the client left, it may bill the input, and what it has sent."""
        begun = self.gave_up()
        left = self.asked and error == CLIENT_LEFT and not begun
        read = Estimate(self.call.characters_read(self.model)).usage()
        await self.end(read if left else Usage(), status, error)

    async def hand_over(self, secret: str) -> Counted | None:
        """LiteLLM answers and books the call. The replica gets a ticket with what the call took, signed with `secret`.

        An answer that was given up before is booked here. The limits learn of it from the ledger: the replica settles.
        None if only this process has counted it: then it is given back, and the replica counts alone too.
        """
        if self.settled:
            return None
        self.settled = True
        if self._lost is NOTHING:
            self.journal.hand_over(self.begun.id)
        else:
            self._write_end(Usage(), 0, HANDED_OVER)
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
        characters_in=call.characters_read(),
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


def _within_reserved(usage: Usage, call: Call, model: Model) -> Usage:
    """An estimate from bytes, which can be anything, as what `call` has reserved for `model`."""
    read, most = reserved(call, model)
    usage = replace(usage, input=min(usage.input, read), tools=())
    if not model.prices.output:
        return usage
    left = max(0, most - cost(replace(usage, output=0), model.prices))
    return replace(usage, output=min(usage.output, left * MILLION // model.prices.output))


def ledger_target(target: Target, model: Model, group: str = "") -> calls.Target:
    """`group` is the model's name if it answers instead of the one that was asked for."""
    provider = target.booked_as.partition("/")[0]
    return calls.Target(target.booked_as, provider, target.id, next(iter(target.urls.values())), model.prices, group)


def now_ms() -> int:
    return time.time_ns() // 1_000_000
