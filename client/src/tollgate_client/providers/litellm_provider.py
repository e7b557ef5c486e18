"""The same provider under the name of its own module."""

from tollgate_client._async.provider import LiteLLMProvider

__all__ = ["LiteLLMProvider"]
