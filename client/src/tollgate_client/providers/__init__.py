"""`from tollgate_client.providers import LiteLLMProvider`, as programs for such providers expect it."""

from tollgate_client._async.provider import LiteLLMProvider

__all__ = ["LiteLLMProvider"]
