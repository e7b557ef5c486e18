"""The gateway's routes as calls: which path, which body. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tollgate_client.call import Call, body
from tollgate_client.errors import ConfigurationError
from tollgate_client.messages_body import as_messages
from tollgate_client.models import ChatMessage, Tool

Messages = Sequence[ChatMessage | Mapping[str, Any]]
Tools = Sequence[Tool | Mapping[str, Any]]
_ANTHROPIC = {"anthropic-version": "2023-06-01"}

# These calls wait for no model, and a monitor must learn soon that a gateway is silent.
_SHORT = 10.0
MODELS = Call("GET", "/v1/models", free=True, seconds=_SHORT)
USAGE = Call("GET", "/gateway/usage", free=True, seconds=_SHORT)
HEALTH = Call("GET", "/gateway/health", free=True, seconds=_SHORT)


def chat(messages: Messages, model: str, stream: bool, fields: dict[str, Any]) -> Call:
    """Streams ask for the usage in their last chunk, unless you say otherwise."""
    _without_stream(fields, "stream_chat_completion")
    if stream:
        options = fields.get("stream_options") or {}
        if not isinstance(options, Mapping):
            raise ConfigurationError(f"expected stream_options as a mapping, found {type(options).__name__}")
        fields["stream_options"] = {"include_usage": True, **options}
    sent = body(model=model, messages=given(messages), stream=stream or None, **fields)
    return Call("POST", "/v1/chat/completions", sent)


def message(messages: Messages, model: str, max_tokens: int, stream: bool, fields: dict[str, Any]) -> Call:
    _without_stream(fields, "messages_stream")
    sent = body(model=model, max_tokens=max_tokens, messages=given(messages), stream=stream or None, **fields)
    return Call("POST", "/v1/messages", sent, _ANTHROPIC)


def count(messages: Messages, model: str, tools: Tools | None, **fields: Any) -> Call:
    """Chat messages are put into the form of Messages, in which the gateway counts."""
    sent = body(messages=given(messages), tools=None if tools is None else list(tools), **fields)
    return Call("POST", "/v1/messages/count_tokens", {"model": model, **as_messages(sent)}, _ANTHROPIC, free=True)


def embeddings(texts: str | Sequence[str], model: str, **fields: Any) -> Call:
    given = texts if isinstance(texts, str) else list(texts)
    return Call("POST", "/v1/embeddings", body(model=model, input=given, **fields))


def _without_stream(fields: Mapping[str, Any], method: str) -> None:
    if "stream" in fields:
        raise ConfigurationError(f"expected no field stream. hint: call {method}")


def given(messages: Messages) -> list[Any]:
    if isinstance(messages, str | Mapping | ChatMessage):
        raise ConfigurationError(f"expected a list of messages, found {type(messages).__name__}")
    listed = list(messages)
    for message in listed:
        if not isinstance(message, ChatMessage | Mapping):
            raise ConfigurationError(f"expected messages as ChatMessage or mapping, found {type(message).__name__}")
    return listed
