"""The callback that lowers `max_tokens` to the model's maximum. Otherwise the provider would refuse the request.

A client asks for the maximum of the model that it knows, but an alias or a fallback can be another model.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from litellm.integrations.custom_logger import CustomLogger

FIELDS = ("max_tokens", "max_completion_tokens")


class TokenCap(CustomLogger):  # type: ignore[misc]  # LiteLLM is not installed when types are checked
    """It runs for each target that LiteLLM tries, so each fallback gets its own model's maximum."""

    async def async_pre_call_deployment_hook(self, kwargs: dict[str, Any], call_type: Any) -> dict[str, Any] | None:
        cap = _cap(kwargs)
        lowered = {name: cap for name in FIELDS if _above(kwargs.get(name), cap)}
        return {**kwargs, **lowered} if lowered else None


def _cap(kwargs: Mapping[str, Any]) -> int | None:
    """The maximum of the target's model from config/gateway.yaml. LiteLLM keeps it in one of three places."""
    for place in (kwargs, kwargs.get("litellm_metadata"), kwargs.get("metadata")):
        info = place.get("model_info") if isinstance(place, Mapping) else None
        if isinstance(info, Mapping) and isinstance(info.get("max_output_tokens"), int):
            return int(info["max_output_tokens"])
    return None


def _above(asked: object, cap: int | None) -> bool:
    return cap is not None and isinstance(asked, int) and asked > cap


handler = TokenCap()
