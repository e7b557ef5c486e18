"""Calls as the rows of LiteLLM's tables, before they are summed. No prompt, no answer, no key is in them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from tollgate.services.gateway.ledger.calls import Call
from tollgate.services.gateway.ledger.lines import dumps

# LiteLLM's name for each call type in its daily tables. It has no name for a call of Messages.
ENDPOINTS = {"acompletion": "/chat/completions", "aembedding": "/embeddings", "atext_completion": "/completions"}
# Columns of 32 bits.
LARGEST = 2**31 - 1
_EPOCH = datetime(1970, 1, 1)


def batch(calls: Iterable[Call]) -> str:
    """The parameter of the statements: one JSON text for all calls."""
    return dumps([row(call) for call in calls]).decode()


def row(call: Call) -> dict[str, Any]:
    """One call, with the names that `statements.BATCH` reads. Times are UTC without a zone, as LiteLLM has them."""
    begun, outcome, target = call.begun, call.outcome, call.begun.target
    usage = outcome.usage
    duration = max(0, outcome.ended - begun.started)
    prompt, completion = min(usage.prompt, LARGEST), min(usage.output, LARGEST)
    return {
        "request_id": begun.id,
        "call_type": begun.call_type,
        "endpoint": ENDPOINTS.get(begun.call_type, ""),
        "api_key": begun.key,
        "team_id": begun.team or None,
        "user_id": begun.user or None,
        "organization_id": begun.organization or None,
        "tags": list(dict.fromkeys(tag for tag in begun.tags if tag)),
        "nano": call.cost,
        "prompt": prompt,
        "completion": completion,
        "cache_read": min(usage.cache_read, LARGEST),
        "cache_write": min(usage.cache_write, LARGEST),
        "started": _moment(begun.started),
        "ended": _moment(begun.started + duration),
        "first_byte": _moment(outcome.first_byte or begun.started + duration),
        "duration": min(duration, LARGEST),
        "day": _moment(begun.started)[:10],
        "model": target.model,
        "model_id": target.id,
        "model_group": target.group or begun.model,
        "provider": target.provider,
        "api_base": target.api_base,
        "session_id": begun.session or None,
        "address": begun.address or None,
        "status": "failure" if call.failed else "success",
        "error_code": outcome.status if call.failed and 100 <= outcome.status <= 599 else 0,
        "metadata": metadata(call),
    }


def metadata(call: Call) -> dict[str, Any]:
    """The fields that LiteLLM's pages and ours read, and how the call was booked."""
    begun, outcome, usage = call.begun, call.outcome, call.outcome.usage
    cache = {"cache_read_input_tokens": usage.cache_read, "cache_creation_input_tokens": usage.cache_write}
    fields: dict[str, Any] = {
        "status": "failure" if call.failed else "success",
        "user_api_key": begun.key,
        "user_api_key_alias": begun.key_alias or None,
        "user_api_key_team_id": begun.team or None,
        "user_api_key_user_id": begun.user or None,
        "user_api_key_org_id": begun.organization or None,
        "usage_object": {
            "prompt_tokens": usage.prompt,
            "completion_tokens": usage.output,
            "total_tokens": usage.prompt + usage.output,
            **cache,
            "completion_tokens_details": {"reasoning_tokens": usage.reasoning},
        },
        "additional_usage_values": cache,
        "tollgate": {"route": "direct", "nano_usd": call.cost, "estimated": usage.estimated},
    }
    if usage.tools:
        # As LiteLLM has it in the usage of an answer of Anthropic's.
        fields["usage_object"]["server_tool_use"] = {f"{tool.name}_requests": tool.uses for tool in usage.tools}
    if begun.target.group:
        fields["tollgate"]["asked"] = begun.model
    if begun.request:
        fields["tollgate"]["request_id"] = begun.request
    if call.failed:
        code = f"{outcome.status}" if outcome.status else ""
        fields["error_information"] = {"error_code": code, "error_class": outcome.error}
    return fields


def _moment(milliseconds: int) -> str:
    return (_EPOCH + timedelta(milliseconds=milliseconds)).isoformat(timespec="milliseconds")
