"""Short words for calls at counters."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from tollgate.services.limits.counters import Call, Real, Take
from tollgate.services.limits.rule import MONEY, PARALLEL, REQUESTS, TENANT, TOKENS, Holder, Rule

TAG = "tollgate:{test}:"
HOLDER = Holder(TENANT, "acme", "acme")
WINDOWS = {REQUESTS: "hour", TOKENS: "minute", PARALLEL: "", MONEY: "day"}
NOTHING = Real(0, 0, False)


def take(kind: str, limit: int, add: int = 1, name: str = "", ttl: int = 60, tag: str = TAG) -> Take:
    rule = Rule(HOLDER, kind, limit, WINDOWS[kind], tenant=tag, prefix=f"{tag}{kind}:")
    return Take(rule, f"{tag}{kind}:{name}", limit, add, ttl)


def call(name: str, *takes: Take, tag: str = TAG) -> Call:
    return Call(name, tag, takes)


def used(tokens: int = 0, nano: int = 0, counts: bool = True) -> Real:
    return Real(tokens, nano, counts)


def run(test: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(test)
