"""Makes LiteLLM ask our prices and a tenant's budgets before another model answers instead.

LiteLLM itself asks the key's own budget there. Without this, a tenant whose budget is spent could use a free model
whose fallback costs money. A field that means nothing to the first model could make the answer of the next one cost
more than its price.
"""

from __future__ import annotations

from typing import Any

from tollgate.services.hooks.ongoing import CURRENT


def ask_budgets_for_fallbacks() -> None:
    """Patch LiteLLM. If its check is missing, the replica does not start."""
    from litellm.proxy.auth.fallback_budget import RouterFallbackBudgetCheck

    litellms_own = RouterFallbackBudgetCheck.__call__

    async def both(self: Any, *, model: str, request_kwargs: Any, llm_router: Any) -> bool:
        if not await litellms_own(self, model=model, request_kwargs=request_kwargs, llm_router=llm_router):
            return False
        ongoing = CURRENT.get(None)
        if ongoing is None:
            return True
        # First, because it reserves nothing.
        if ongoing.has_prices is not None and not ongoing.has_prices(model):
            return False
        return ongoing.may_pay is None or await ongoing.may_pay(model)

    RouterFallbackBudgetCheck.__call__ = both
