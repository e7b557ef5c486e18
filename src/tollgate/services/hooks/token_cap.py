"""The callback that lowers a request for more tokens than its model can answer with, where it would be refused.

Clients ask for what the model can do that they think they are talking to; an alias or a fallback may be another.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from litellm.integrations.custom_logger import CustomLogger

FIELDS = ("max_tokens", "max_completion_tokens")


class TokenCap(CustomLogger):  # type: ignore[misc]  # LiteLLM is not there when types are checked
    """Runs for each target that is tried, so that a fallback has the cap of its own model."""

    async def async_pre_call_deployment_hook(self, kwargs: dict[str, Any], call_type: Any) -> dict[str, Any] | None:
        cap = _cap(kwargs)
        lowered = {name: cap for name in FIELDS if _above(kwargs.get(name), cap)}
        return {**kwargs, **lowered} if lowered else None


def _cap(kwargs: Mapping[str, Any]) -> int | None:
    """What config/gateway.yaml says of the target's model; LiteLLM carries it in one of these, by the route."""
    for place in (kwargs, kwargs.get("litellm_metadata"), kwargs.get("metadata")):
        info = place.get("model_info") if isinstance(place, Mapping) else None
        if isinstance(info, Mapping) and isinstance(info.get("max_output_tokens"), int):
            return int(info["max_output_tokens"])
    return None


def _above(asked: object, cap: int | None) -> bool:
    return cap is not None and isinstance(asked, int) and asked > cap


handler = TokenCap()
