"""LiteLLM's counting is left out for calls that only our limits count, and for no others. LiteLLM is a fake."""

from __future__ import annotations

import asyncio
import sys
from types import ModuleType
from typing import Any

import pytest

from tollgate.services.hooks.ongoing import CURRENT, Ongoing
from tollgate.services.replica.counted_once import count_once, unless_ours

calls: list[Any] = []


async def counting(amount: int, budget_reservation: object = None) -> str:
    calls.append((amount, budget_reservation))
    return "counted"


def count(ongoing: Ongoing | None, **more: Any) -> Any:
    calls.clear()

    async def go() -> Any:
        if ongoing is not None:
            CURRENT.set(ongoing)
        return await unless_ours(counting)(3, **more)

    return asyncio.run(go())


def test_a_call_that_only_we_count_is_not_counted_again() -> None:
    assert count(Ongoing(counted_by_us=True)) is None
    assert calls == []


@pytest.mark.parametrize("ongoing", [Ongoing(), None], ids=["another caller", "no request"])
def test_twin_any_other_call_is_counted(ongoing: Ongoing | None) -> None:
    assert count(ongoing) == "counted"
    assert calls == [(3, None)]


def test_a_reservation_is_settled_for_everybody() -> None:
    reserved = {"usd": 1}
    assert count(Ongoing(counted_by_us=True), budget_reservation=reserved) == "counted"
    assert calls == [(3, reserved)]


class Limiter:
    async_log_success_event = counting


def fake(monkeypatch: pytest.MonkeyPatch, missing: str = "") -> Any:
    """LiteLLM with the two modules that are patched."""
    server: Any = ModuleType("litellm.proxy.proxy_server")
    for name in {"increment_spend_counters", "update_cache"} - {missing}:
        setattr(server, name, counting)
    limiter: Any = ModuleType("litellm.proxy.hooks.parallel_request_limiter_v3")
    limiter._PROXY_MaxParallelRequestsHandler_v3 = type("Limiter", (Limiter,), {})
    proxy: Any = ModuleType("litellm.proxy")
    proxy.proxy_server = server
    for module in (ModuleType("litellm"), proxy, server, ModuleType("litellm.proxy.hooks"), limiter):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    return server


def test_three_functions_are_patched(monkeypatch: pytest.MonkeyPatch) -> None:
    server = fake(monkeypatch)
    count_once()
    limiter: Any = sys.modules["litellm.proxy.hooks.parallel_request_limiter_v3"]
    patched = (
        server.increment_spend_counters,
        server.update_cache,
        limiter._PROXY_MaxParallelRequestsHandler_v3.async_log_success_event,
    )
    assert all(function.__wrapped__ is counting for function in patched)


def test_another_litellm_without_a_function_does_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    fake(monkeypatch, missing="update_cache")
    with pytest.raises(AttributeError):
        count_once()
