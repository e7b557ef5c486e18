"""The callback behind `cheapest:` in config/gateway.yaml. It replaces that name with the cheapest suitable model.

LiteLLM's own cost-based routing compares targets of one model. It does not check what a model can do, nor what a
tenant may use. After this callback the request is for the chosen model, with its limits, price, fallbacks and ledger
entries.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from litellm.integrations.custom_logger import CustomLogger
from litellm.proxy._types import ProxyException

from tollgate.services.hooks.choice import Candidate, Choice, cheapest, needs, read, unable

# With this header a client can lower `max_cost` for a request, but not raise it.
MAX_COST = "x-tollgate-max-cost"
# The response header with the model that answered.
ANSWERED = "x-tollgate-model"
ASKED = "tollgate_asked"


class Cheapest(CustomLogger):  # type: ignore[misc]  # LiteLLM is not installed when types are checked
    """It runs before the callbacks that count, so they count for the model that answers."""

    def __init__(self, choices: Mapping[str, Choice]) -> None:
        super().__init__()
        self._choices = choices

    async def async_pre_call_hook(
        self, user_api_key_dict: Any, cache: Any, data: dict[str, Any], call_type: str
    ) -> dict[str, Any]:
        name = str(data.get("model"))
        choice = self._choices.get(name)
        if choice is not None:
            data["model"] = await self._choose(name, choice, data, user_api_key_dict)
            # A name here is not sent to the provider; LiteLLM builds the body again after the callbacks.
            data.setdefault("proxy_server_request", {})[ASKED] = name
        return data

    async def _choose(self, name: str, choice: Choice, data: Mapping[str, Any], caller: Any) -> str:
        allowed = [model for model in choice.models if await _may_use(caller, model.name)]
        if not allowed:
            message = f"{name}: this key may not use any of its models"
            raise ProxyException(message=message, type="permission_error", param="model", code=403)
        wanted = needs(data)
        able = cheapest(allowed, wanted)
        if not able:
            reasons = ", ".join(f"{model.name} {unable(model, wanted)}" for model in allowed)
            raise _refused(f"{name}: no model can handle this request (about {wanted.prompt} tokens): {reasons}")
        price, model = able[0]
        limit = _limit(choice, data)
        if limit is not None and price > limit:
            raise _refused(_too_expensive(name, model, price, limit))
        return model.name

    async def async_post_call_response_headers_hook(
        self,
        data: dict[str, Any],
        user_api_key_dict: Any,
        response: Any,
        request_headers: dict[str, str] | None = None,
        litellm_call_info: dict[str, Any] | None = None,
    ) -> dict[str, str] | None:
        if ASKED not in (data.get("proxy_server_request") or {}):
            return None
        # Targets are named <model>:<provider>. After a fallback, the target belongs to another model.
        target = str((litellm_call_info or {}).get("model_id") or "")
        return {ANSWERED: target.rpartition(":")[0] or str(data.get("model"))}


async def _may_use(caller: Any, model: str) -> bool:
    """LiteLLM's own check, which it also uses for fallbacks: key, team and their access groups."""
    from litellm.proxy.auth.fallback_model_access import is_model_authorized_for_token
    from litellm.proxy.proxy_server import llm_router  # set after the server has read its configuration

    return bool(await is_model_authorized_for_token(model=model, valid_token=caller, llm_router=llm_router))


def _limit(choice: Choice, data: Mapping[str, Any]) -> Decimal | None:
    headers = (data.get("proxy_server_request") or {}).get("headers") or {}
    sent = next((value for name, value in headers.items() if name.lower() == MAX_COST), None)
    if sent is None:
        return choice.max_cost
    try:
        asked = Decimal(str(sent))
    except InvalidOperation:
        asked = Decimal("NaN")
    if not asked.is_finite() or asked <= 0:
        raise _refused(f"{MAX_COST}: expected an amount in USD, such as 0.05")
    return asked if choice.max_cost is None else min(asked, choice.max_cost)


def _too_expensive(name: str, model: Candidate, price: Decimal, limit: Decimal) -> str:
    return (
        f"{name}: this request could cost ${price:.4f} with {model.name}, the cheapest suitable model, but the limit "
        f"is ${limit.normalize():f}; ask for fewer max_tokens, or name a model"
    )


def _refused(message: str) -> ProxyException:
    return ProxyException(message=message, type="invalid_request_error", param="model", code=400)


def _configured() -> dict[str, Choice]:
    """The choices by name, from the file in the directory of LiteLLM's own configuration."""
    return read(Path(os.environ["CONFIG_FILE_PATH"]).with_name("choices.json").read_text())


handler = Cheapest(_configured())
