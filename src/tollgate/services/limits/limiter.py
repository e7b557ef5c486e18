"""Lets a request in or refuses it, and settles it when it has ended.

    limiter = Limiter(RedisCounters(Redis("redis:6379", password)), ledger)
    outcome = await limiter.admit(rules, request_id, model, reserve_tokens, reserve_nano, now)
    if isinstance(outcome, Refused):
        return refusal_of(outcome, now, ask)
    ...                                    # if another, paid model answers: await limiter.admit_money(...)
    await limiter.settle(outcome, tokens, nano, counts)

`reserve_tokens` is what the request certainly uses: the estimate of its input. A request whose estimate is larger than
the whole limit of a minute is refused for good. `reserve_nano` is the most that it can cost: the estimate of its input
and the largest output it asks for, each times its price. 0 means that the model is free: then no budget is asked.

`request_id` is the gateway's own. Letting the same id in twice counts once, so a client must not choose it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime
from hashlib import blake2b

from tollgate.services.limits.clock import Clock
from tollgate.services.limits.counters import LET_IN, Answer, Call, Counters, FullError, Real, Take, Used
from tollgate.services.limits.figures import Figures
from tollgate.services.limits.outcome import REACHED, RESERVED, TOO_LARGE, UNCOUNTED, Admitted, Refused
from tollgate.services.limits.rule import MONEY, REQUESTS, TOKENS, Rule, money_of, of_model
from tollgate.services.limits.shared_counters import AWAY_S, RENEW_S, SharedCounters
from tollgate.services.limits.spent import Ledger, Spent

# The most that one request can be said to have used. A counter of Redis holds 9,000 times as much.
MOST = 10**15
# A request tries this many times to seed unknown budgets. Then it goes on without them.
_ROUNDS = 3


class Limiter:
    def __init__(self, shared: Counters, ledger: Ledger, *, renew_every: float = RENEW_S, away: float = AWAY_S) -> None:
        self.figures = Figures()
        self._counters = SharedCounters(shared, self.figures, renew_every=renew_every, away=away)
        self._spent = Spent(ledger, away=away)
        self._clock = Clock()
        self._comparing: set[asyncio.Task[None]] = set()

    async def admit(
        self,
        rules: Sequence[Rule],
        request_id: str,
        model: str,
        reserve_tokens: int,
        reserve_nano: int,
        now: datetime,
    ) -> Admitted | Refused:
        """Takes from every limit or from none. `model` is the name in the catalogue of the model that answers."""
        chosen = of_model(rules, model, reserve_nano > 0)
        for rule in chosen:
            if rule.kind == TOKENS and reserve_tokens > rule.amount:
                return Refused(rule, TOO_LARGE, wanted=reserve_tokens)
        admitted = Admitted(request_id)
        windows = self._clock.at(now)
        amounts = {TOKENS: max(0, reserve_tokens), MONEY: _bounded(reserve_nano)}
        takes = tuple(
            Take(rule, rule.prefix + windows[rule.window].label, rule.amount, amount, windows[rule.window].ttl)
            for rule in chosen
            for amount in (amounts.get(rule.kind, 1),)
        )
        return await self._take(admitted, takes, now)

    async def admit_money(
        self, admitted: Admitted, rules: Sequence[Rule], model: str, reserve_nano: int, now: datetime, spent: int = 0
    ) -> Admitted | Refused:
        """Asks the budgets again because `model` answers instead. Requests and tokens are not taken again.

        `spent` is the cost of the models before it. The request's own earlier reservation is never a reason to refuse
        it. The caller settles the request also if this refuses.
        """
        admitted.costs[-1] += _bounded(spent)
        windows = self._clock.at(now)
        takes = []
        for rule in money_of(rules, model) if reserve_nano > 0 else ():
            inside = windows[rule.window]
            key = rule.prefix + inside.label
            own = admitted.reserved(key)
            takes.append(Take(rule, key, rule.amount + own, max(0, _bounded(reserve_nano) - own), inside.ttl))
        return await self._take(admitted, tuple(takes), now)

    async def settle(self, admitted: Admitted, tokens: int, nano: int, counts: bool) -> None:
        """Replaces what was reserved by what was used. `nano` is the cost of the model that answered.

        `counts` is False if no provider was asked: the request then counts for nothing. A second time changes nothing.
        """
        if admitted.settled:
            return
        admitted.settled = True
        admitted.costs[-1] += _bounded(nano)
        settlements = [
            self._counters.settle(call, Real(_bounded(tokens), cost, counts))
            for call, cost in zip(admitted.calls, admitted.costs, strict=True)
        ]
        if len(settlements) == 1:
            await settlements[0]  # if the client leaves now, the counters settle it later
        else:
            await asyncio.shield(asyncio.gather(*settlements))

    async def free(self, admitted: Admitted) -> None:
        """Gives back the slots of a request that has ended, and keeps the rest until `settle`."""
        for call in admitted.calls:
            await self._counters.free(call)

    async def hand_on(self, admitted: Admitted) -> Call | None:
        """The call that another process takes over (`take_over`) and settles. This one renews its lease until `forget`.

        None if only this process counted the request, or nothing: then it is given back here, and counts for nothing.
        """
        first, *others = admitted.calls
        if not self._counters.is_shared(first):
            await self.settle(admitted, 0, 0, False)
            return None
        try:
            for call, cost in zip(others, admitted.costs[1:], strict=True):
                await self._counters.settle(call, Real(0, cost, True))
        except asyncio.CancelledError:
            self.forget(admitted)  # the client left: its lease ends
            raise
        admitted.calls, admitted.costs = [first], admitted.costs[:1]
        return first

    def forget(self, admitted: Admitted) -> None:
        """Another process has taken the request over."""
        admitted.settled = True
        for call in admitted.calls:
            self._counters.forget(call)

    def take_over(self, call: Call) -> Admitted:
        """A request that another process let in. This one settles it."""
        self._counters.take_over(call)
        return Admitted(call.id, [call], [0])

    async def look(self, rules: Sequence[Rule], now: datetime) -> list[Used | None]:
        """The count of each rule in the running window. It takes nothing. None: nobody has counted there yet."""
        windows = self._clock.at(now)
        takes = [Take(rule, rule.prefix + windows[rule.window].label, rule.amount, 0, 0) for rule in rules]
        return list(await self._counters.look(takes)) if takes else []

    async def close(self) -> None:
        for task in self._comparing:
            task.cancel()
        await self._counters.close()

    async def _take(self, admitted: Admitted, takes: tuple[Take, ...], now: datetime) -> Admitted | Refused:
        """Asks the counters. Those of money that nobody knows are seeded from the ledger first, or left out."""
        name = f"{admitted.request}/{len(admitted.calls)}"
        call = Call(_hashed(name), takes[0].rule.tenant if takes else "", takes)
        left = _ROUNDS
        while call.takes:
            left -= 1
            try:
                answer = await self._counters.take(call)
                if not answer.unknown:
                    break
                seeded = await self._seeded(call, answer.unknown, now, last=left <= 0)
                # A new name: if Redis was away, a settlement of the old one waits there.
                call = seeded._replace(id=_hashed(f"{name}/{left}"))
            except FullError:
                self.figures.redis_full += 1
                if money := next((take.rule for take in call.takes if take.rule.kind == MONEY), None):
                    return Refused(money, UNCOUNTED)
                answer = await self._counters.take_alone(call)
                break
        else:
            answer = LET_IN
        if answer.over is not None:
            answer = await self._second_answer(call, answer)
        if answer.over is not None:
            return _refused(call.takes[answer.over], answer)
        admitted.add(call)
        if answer.stale:
            self._compare(call, answer.stale, now)
        return admitted

    async def _second_answer(self, call: Call, refused: Answer) -> Answer:
        """A settlement that was sent before the first question is counted by now (under_way.py). It changes no
        number of requests."""
        if refused.over is None or call.takes[refused.over].rule.kind == REQUESTS:
            return refused
        try:
            answer = await self._counters.take(call)
        except FullError:
            return refused
        return refused if answer.unknown else answer

    async def _seeded(self, call: Call, unknown: Sequence[int], now: datetime, last: bool) -> Call:
        """The call without the budgets that neither Redis nor the ledger knows; `last` gives up on all budgets."""
        takes = [call.takes[index] for index in unknown]
        if last:
            takes = [take for take in call.takes if take.rule.kind == MONEY]
        amounts = {} if last else await self._spent.ask(takes, self._clock.at(now))
        if amounts:
            known = {index: amounts[call.takes[index].key] for index in unknown if call.takes[index].key in amounts}
            await self._counters.seed(call, known)
        missing = {take.key for take in takes} - amounts.keys()
        if missing:
            self.figures.money_unheld += 1
        return call._replace(takes=tuple(take for take in call.takes if take.key not in missing))

    def _compare(self, call: Call, stale: Sequence[int], now: datetime) -> None:
        """Raises counters to what the ledger has, while the request goes on."""

        async def compare() -> None:
            amounts = await self._spent.ask([call.takes[index] for index in stale], windows)
            known = {index: amounts[call.takes[index].key] for index in stale if call.takes[index].key in amounts}
            if known:
                await self._counters.seed(call, known)

        windows = self._clock.at(now)
        task = asyncio.create_task(compare())
        self._comparing.add(task)
        task.add_done_callback(self._comparing.discard)


def _refused(take: Take, answer: Answer) -> Refused:
    """A budget is spent only by what was settled; running requests give their reservations back."""
    rule = take.rule
    only_reserved = rule.kind == MONEY and answer.used < rule.amount
    return Refused(rule, RESERVED if only_reserved else REACHED, answer.used, answer.reserved, take.add)


def _hashed(name: str) -> str:
    return blake2b(name.encode(), digest_size=12).hexdigest()


def _bounded(amount: int) -> int:
    return min(max(0, amount), MOST)
