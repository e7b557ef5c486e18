"""The LiteLLM callback that rewrites a Messages request for its upstream.

It runs after LiteLLM has chosen a deployment, so it runs again for a fallback from Claude to another model. Anthropic
gets the client's request unchanged (verbatim.py). An upstream with another API, or a server that imitates Anthropic's
API, gets a request that it accepts (services/requests/chat_shape.py). LiteLLM itself handles Claude on Bedrock, Vertex
and Azure.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import litellm
from litellm.constants import DEFAULT_CHAT_COMPLETION_PARAM_VALUES
from litellm.integrations.custom_logger import CustomLogger
from litellm.llms.anthropic.pass_through.messages.handler import _native_messages_config
from litellm.llms.anthropic.pass_through.messages.transformation import AnthropicMessagesConfig
from litellm.llms.anthropic.pass_through.messages.utils import anthropic_messages_optional_param_keys
from litellm.llms.custom_httpx.http_handler import AsyncHTTPHandler, get_async_httpx_client
from litellm.llms.openai_like.messages.transformation import OpenAILikeAnthropicMessagesConfig
from litellm.types.utils import CallTypes, LlmProviders, is_litellm_owned_kwarg

from tollgate.services.hooks import verbatim
from tollgate.services.requests import chat_shape

MESSAGES = (CallTypes.anthropic_messages, CallTypes.aanthropic_messages)
ANTHROPIC = anthropic_messages_optional_param_keys() | {"model", "messages"}


class RestoringClient(AsyncHTTPHandler):  # type: ignore[misc]  # LiteLLM has types only in its own image
    """LiteLLM's pooled client, which also puts fields back into the body. LiteLLM accepts a client for each call."""

    def __init__(self, back: Mapping[str, Any]) -> None:
        # The parent's __init__ is not called, because it would open a connection pool for each request.
        self.pooled = get_async_httpx_client(llm_provider=LlmProviders.ANTHROPIC)
        self.client = self.pooled.client
        self.back = back

    def __del__(self) -> None:
        """Nothing to close: the connections belong to the shared pool."""

    async def post(self, url: str, data: Any = None, **more: Any) -> Any:
        return await self.pooled.post(url=url, data=verbatim.restored(data, self.back), **more)


class UpstreamShape(CustomLogger):  # type: ignore[misc]
    async def async_pre_call_deployment_hook(
        self, kwargs: dict[str, Any], call_type: CallTypes | None
    ) -> dict[str, Any] | None:
        if call_type not in MESSAGES:
            return None
        request = kwargs.get("proxy_server_request") or {}
        sent, headers = request.get("body") or {}, request.get("headers") or {}
        provider, config = _upstream(kwargs)
        info = kwargs.get("model_info") or {}
        opted_in = type(config) is OpenAILikeAnthropicMessagesConfig
        if type(config) is AnthropicMessagesConfig or (opted_in and info.get("cache_control_ttl") is True):
            return _as_sent(kwargs, sent, headers, provider, trust=opted_in)
        if config is None or opted_in:
            return chat_shape.for_others(kwargs, sent=sent, known=_known, provider=provider)
        return None


def _upstream(kwargs: Mapping[str, Any]) -> tuple[str, Any]:
    """The provider, and LiteLLM's configuration for its Messages API; None if LiteLLM translates to another API."""
    model, provider, _, _ = litellm.get_llm_provider(
        model=kwargs["model"],
        custom_llm_provider=kwargs.get("custom_llm_provider"),
        api_base=kwargs.get("api_base"),
    )
    return provider, _native_messages_config(model, provider, kwargs.get("model_info"))


def _litellms_own(name: str) -> bool:
    """Whether LiteLLM reads this field and does not send it: its own options, and OpenAI's that Anthropic lacks."""
    own = is_litellm_owned_kwarg(name) or name in DEFAULT_CHAT_COMPLETION_PARAM_VALUES or name == "extra_body"
    return own and name not in ANTHROPIC


def _known(name: str) -> bool:
    return name in ANTHROPIC or _litellms_own(name)


def _as_sent(
    kwargs: dict[str, Any], sent: Mapping[str, Any], headers: Mapping[str, str], provider: str, *, trust: bool
) -> dict[str, Any]:
    dropped = {*filter(_litellms_own, sent), *(kwargs.get("additional_drop_params") or ())}
    back = verbatim.missing(sent, ANTHROPIC, dropped=dropped, trust=trust)
    shaped = {**kwargs, "client": RestoringClient(back)} if back else dict(kwargs)
    if trust and (own := verbatim.headers(headers)):
        # LiteLLM sends these headers only to providers of Claude that it knows. The operator declared this one.
        scoped = kwargs.get("provider_specific_header") or []
        scoped = list(scoped) if isinstance(scoped, (list, tuple)) else [scoped]
        shaped["provider_specific_header"] = [*scoped, {"custom_llm_provider": provider, "extra_headers": own}]
    return shaped


upstream_shape = UpstreamShape()
