"""A Messages request as a chat completion request."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from tollgate.services.gateway.convert import content, conversation, reasoning, schemas, tools, turns
from tollgate.services.gateway.convert.options import Options
from tollgate.services.gateway.convert.refusal import (
    CannotConvertError,
    Json,
    as_list,
    as_name,
    as_object,
    as_text,
    is_count,
    is_number,
    malformed,
    shown,
)

CONVERTED = frozenset(
    (
        *("model", "messages", "system", "max_tokens", "tools", "tool_choice", "thinking", "output_config"),
        *("output_format", "stop_sequences", "temperature", "top_p", "top_k", "stream", "metadata"),
    )
)
# They choose how Anthropic serves, bills, caches, checks or shortens a request; a chat upstream answers the same
# without them. `context_management` is here because clearing old results would move the cached prefix, and nothing
# depends on it: an upstream whose context is full says so, and the client shortens the conversation itself.
HARMLESS = frozenset(
    (
        *("service_tier", "speed", "betas", "safeguards", "cache_control", "context_management", "compaction"),
        *("diagnostics", "fallback_credit_token", "fallbacks", "billing_policy", "user_profile_id", "workspace_id"),
    )
)
# Each with the reason. Without them the answer would not be what the client asked for, and no chat upstream has them.
REFUSED = {
    "container": "it has no containers",
    "mcp_servers": "it does not call MCP servers; connect them in the client",
    "inference_geo": "it promises no region",
    "thread": "it keeps no threads",
}
# Anthropic's own accounting. It differs from session to session and comes first: sent on, no two sessions would share
# a cached prefix (shared by services/requests/chat_shape.py).
BILLING = "x-anthropic-billing-header:"
JSON_WORDS = "Answer with one JSON object and nothing else. It must follow this JSON schema: "


def to_chat(body: Any, *, model: str, options: Options) -> Json:
    """The chat completion request for the upstream model `model`.

    `body` is the parsed JSON of a Messages request and is not changed; the result shares values with it. Size and depth
    of the body are the caller's to bound (services/requests/bounds.py). Messages come last, so the text of the request
    for n turns is the beginning of the text for n + 1.

    Raises CannotConvertError and nothing else, whatever `body` is.
    """
    body = as_object(body, "the body")
    _check_fields(body)
    talk = turns.read(body.get("messages"))
    chat: Json = {"model": model, **_limits(body, options), **_sampling(body, options)}
    chat.update(reasoning.fields(body, options))
    chat.update(_user(body.get("metadata"), options))
    chat.update(tools.fields(body, talk.tools, options))
    answer_form, words = _answer_form(body, options)
    chat.update(answer_form)
    system = [*_system(body.get("system")), *talk.system, *words]
    first = [{"role": options.system_role, "content": content.BETWEEN.join(system)}] if system else []
    chat["messages"] = first + conversation.messages(talk.turns, options)
    return chat


def _check_fields(body: Json) -> None:
    for name, value in body.items():
        if value is None or name in CONVERTED or name in HARMLESS:
            continue
        if name in REFUSED:
            if value not in ([], {}, "", "global"):
                words = f"{name}: this model's server does not support it: {REFUSED[name]}"
                raise CannotConvertError("provider_feature", name, words)
            continue
        field = shown(str(name))
        raise CannotConvertError("unknown_field", field, f"{field}: this field is unknown here", final=False)


def _limits(body: Json, options: Options) -> Json:
    """The bound of the answer, its streaming, and where it stops.

    More stop sequences than the upstream takes are cut; the first ones count.
    """
    if not is_count(body.get("max_tokens")):
        raise malformed("max_tokens", "a whole number from 1")
    limits: Json = {options.max_tokens_field: body["max_tokens"]}
    stream = body.get("stream")
    if stream is not None and not isinstance(stream, bool):
        raise malformed("stream", "true or false")
    if stream:
        limits["stream"] = True
        if options.stream_options:
            limits["stream_options"] = {"include_usage": True}
    stops = body.get("stop_sequences")
    stops = [] if stops is None else as_list(stops, "stop_sequences")
    for place, stop in enumerate(stops):
        as_name(stop, f"stop_sequences.{place}")
    if stops and options.stop_limit > 0:
        limits["stop"] = stops[: options.stop_limit]
    return limits


def _sampling(body: Json, options: Options) -> Json:
    sampling: Json = {}
    for name in ("temperature", "top_p"):
        value = body.get(name)
        if value is not None and not (is_number(value) and 0 <= value <= 1):
            raise malformed(name, "a number from 0 to 1")
        if value is not None and options.sampling:
            sampling[name] = value
    top_k = body.get("top_k")
    if top_k is not None and not (isinstance(top_k, int) and not isinstance(top_k, bool) and top_k >= 0):
        raise malformed("top_k", "a whole number from 0")
    if top_k is not None and options.top_k:
        sampling["top_k"] = top_k
    return sampling


def _user(metadata: Any, options: Options) -> Json:
    """A digest of the user's id: Claude Code's names the device and the session, which are not the upstream's business.

    OpenAI asks for hashed ids itself (https://platform.openai.com/docs/guides/safety-best-practices).
    """
    metadata = {} if metadata is None else as_object(metadata, "metadata")
    user = metadata.get("user_id")
    if user is None:
        return {}
    user = as_text(user, "metadata.user_id")
    if not options.user or not user:
        return {}
    return {"user": hashlib.sha256(user.encode("utf-8", "replace")).hexdigest()}


def _system(system: Any) -> list[str]:
    """The texts of the system prompt without Anthropic's accounting line."""
    if system is None:
        return []
    if isinstance(system, str) and system.startswith(BILLING):
        system = system.partition("\n")[2]
    texts = []
    for item in turns.placed(system, "system"):
        if item.kind != "text":
            raise malformed(item.field, "a text block")
        texts.append(item.block["text"])
    return texts if isinstance(system, str) else [text for text in texts if not text.startswith(BILLING)]


def _answer_form(body: Json, options: Options) -> tuple[Json, list[str]]:
    """`response_format` for an answer in JSON, and words for the system prompt where the upstream needs them.

    DeepSeek's `json_object` demands that the prompt speaks of JSON (https://api-docs.deepseek.com/guides/json_mode).
    """
    config = body.get("output_config")
    wanted = config.get("format") if isinstance(config, dict) else None
    name = "output_config.format" if wanted is not None else "output_format"
    wanted = body.get("output_format") if wanted is None else wanted
    if wanted is None:
        return {}, []
    wanted = as_object(wanted, name)
    if wanted.get("type") != "json_schema":
        raise malformed(f"{name}.type", "'json_schema'")
    schema = as_object(wanted.get("schema"), f"{name}.schema")
    if options.structured == "json_schema":
        named = {"name": "answer", "schema": schema, "strict": schemas.is_strict(schema)}
        return {"response_format": {"type": "json_schema", "json_schema": named}}, []
    try:
        words = [JSON_WORDS + json.dumps(schema, ensure_ascii=False)]
    except (RecursionError, ValueError):
        raise CannotConvertError("too_deep", f"{name}.schema", f"{name}.schema: nested too deep") from None
    return ({"response_format": {"type": "json_object"}} if options.structured == "json_object" else {}), words
