"""How the limiter answers: a request that was let in, or one that was refused."""

from __future__ import annotations

from dataclasses import dataclass, field

from tollgate.services.limits.counters import Call
from tollgate.services.limits.rule import Rule

# Why a request is refused: the limit is reached; the rest of a budget is reserved by running requests; the request
# alone is larger than the limit; Redis has no memory, so that money cannot be counted.
REACHED, RESERVED, TOO_LARGE, UNCOUNTED = "reached", "reserved", "too large", "uncounted"


@dataclass(slots=True)
class Admitted:
    """A request that was let in: one call at the counters, and one more for each model that answered instead.

    `costs` is what the model of each call has cost so far, in nano-dollars.
    """

    request: str
    calls: list[Call] = field(default_factory=list)
    costs: list[int] = field(default_factory=list)
    settled: bool = False

    def add(self, call: Call) -> None:
        self.calls.append(call)
        self.costs.append(0)

    def reserved(self, key: str) -> int:
        return sum(take.add for call in self.calls for take in call.takes if take.key == key)


@dataclass(frozen=True, slots=True)
class Refused:
    """`used` is what was spent or counted, `reserved` what running requests hold of a budget, `wanted` the estimate."""

    rule: Rule
    why: str
    used: int = 0
    reserved: int = 0
    wanted: int = 0
