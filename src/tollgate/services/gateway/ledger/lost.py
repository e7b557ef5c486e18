"""Answers that the gateway gave up: too large, broken off, silent, unreadable. Their providers may bill them.

One call can lose several such answers, each at the prices of its own target.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from tollgate.services.gateway.ledger.usage import Usage


@dataclass(frozen=True, slots=True)
class Lost:
    """`nano` is the cost in nano-dollars."""

    usage: Usage = field(default_factory=Usage)
    nano: int = 0

    def also(self, usage: Usage, nano: int) -> Lost:
        return Lost(self.beside(usage), self.nano + nano)

    def beside(self, usage: Usage) -> Usage:
        """`usage` and what was lost, as one usage."""
        lost = self.usage
        return Usage(
            usage.input + lost.input,
            usage.output + lost.output,
            usage.cache_read + lost.cache_read,
            usage.cache_write_5m + lost.cache_write_5m,
            usage.cache_write_1h + lost.cache_write_1h,
            usage.reasoning + lost.reasoning,
            usage.estimated or lost.estimated,
            usage.tools + lost.tools,
        )


NOTHING = Lost()
