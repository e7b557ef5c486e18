"""The callback that notes what a refusal needs: the caller, and the error that LiteLLM raised.

It changes nothing and needs no Redis and no database, so `make basic` loads it too.
"""

from __future__ import annotations

from typing import Any

from litellm.integrations.custom_logger import CustomLogger

from tollgate.services.hooks.ongoing import CURRENT


class CallerHook(CustomLogger):  # type: ignore[misc]  # LiteLLM is not installed when types are checked
    """First in `callbacks`. If a later callback refuses the request, it is already marked as authenticated."""

    async def async_pre_call_hook(
        self, user_api_key_dict: Any, cache: Any, data: dict[str, Any], call_type: str
    ) -> None:
        ongoing = CURRENT.get(None)
        if ongoing is not None:
            ongoing.caller, ongoing.admitted, ongoing.model = user_api_key_dict, True, str(data.get("model", ""))

    async def async_post_call_failure_hook(
        self,
        request_data: dict[str, Any],
        original_exception: Exception,
        user_api_key_dict: Any,
        traceback_str: str | None = None,
    ) -> None:
        ongoing = CURRENT.get(None)
        if ongoing is not None:
            ongoing.caller, ongoing.error = user_api_key_dict, original_exception
            ongoing.model = ongoing.model or str(request_data.get("model", ""))


handler = CallerHook()
