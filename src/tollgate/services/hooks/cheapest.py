"""The callback behind `cheapest:` in config/gateway.yaml. It replaces that name with the cheapest suitable model.

LiteLLM's own cost-based routing compares targets of one model. It does not check what a model can do, nor what a
tenant may use. After this callback the request is for the chosen model, with its limits, price, fallbacks and ledger
entries. A gateway process chooses with the same code (services/choice).
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from litellm.integrations.custom_logger import CustomLogger
from litellm.proxy._types import ProxyException

from tollgate.services.choice.candidates import Choice, read
from tollgate.services.choice.choose import ANSWERED, MAX_COST, NoModelError, choose
from tollgate.services.hooks.ongoing import CURRENT
from tollgate.services.requests.fields import unpacked
from tollgate.services.requests.routes import api_of

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
        if name not in self._choices:
            name = unpacked(name)
        choice = self._choices.get(name)
        if choice is not None:
            data["model"] = await self._choose(name, choice, data, user_api_key_dict)
            # A name here is not sent to the provider; LiteLLM builds the body again after the callbacks.
            data.setdefault("proxy_server_request", {})[ASKED] = name
        return data

    async def _choose(self, name: str, choice: Choice, data: Mapping[str, Any], caller: Any) -> str:
        allowed = [model for model in choice.models if await _may_use(caller, model.name)]
        try:
            return choose(name, choice, allowed, data, api_of(str(caller.request_route or "")), _max_cost(data))
        except NoModelError as error:
            refusal = error.refusal
            if (ongoing := CURRENT.get(None)) is not None:
                ongoing.refusal = refusal
            raise ProxyException(
                message=refusal.message, type=refusal.kind, param="model", code=refusal.status
            ) from error

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


def _max_cost(data: Mapping[str, Any]) -> str | None:
    headers = (data.get("proxy_server_request") or {}).get("headers") or {}
    return next((str(value) for name, value in headers.items() if name.lower() == MAX_COST), None)


def _configured() -> dict[str, Choice]:
    """The choices by name, from the file in the directory of LiteLLM's own configuration."""
    return read(json.loads(Path(os.environ["CONFIG_FILE_PATH"]).with_name("choices.json").read_text()))


handler = Cheapest(_configured())
