"""The request of one call to one target, in a protocol that the target speaks."""

from __future__ import annotations

import logging
from typing import Any

from tollgate.services.gateway import body
from tollgate.services.gateway.call import Call, HandOverError
from tollgate.services.gateway.catalogue import Model, Protocol, Target
from tollgate.services.gateway.convert import request as chat_request
from tollgate.services.gateway.convert.refusal import CannotConvertError
from tollgate.services.gateway.faults import where
from tollgate.services.gateway.metrics import REQUEST
from tollgate.services.gateway.upstream import failure
from tollgate.services.gateway.upstream.failure import Failure
from tollgate.services.refusals.door import malformed
from tollgate.services.requests import chat_shape
from tollgate.services.requests.fields import OUTPUT

log = logging.getLogger("tollgate.gateway.outgoing")

# The fields of a Messages request that describe the answer. Every server with that API knows them.
OF_MESSAGES = frozenset(
    (
        *("model", "messages", "system", "max_tokens", "tools", "tool_choice", "thinking", "output_config"),
        *("output_format", "stop_sequences", "temperature", "top_p", "top_k", "stream"),
    )
)


class FailedError(Exception):
    """This target did not answer."""

    def __init__(self, failed: Failure) -> None:
        super().__init__(failed.kind)
        self.failure = failed


def protocol_for(call: Call, target: Target) -> Protocol | None:
    """The protocol to call this target with: the client's own if it can; chat for Messages; nothing else."""
    if call.protocol in target.urls:
        return call.protocol
    return Protocol.CHAT if call.anthropic and Protocol.CHAT in target.urls else None


def request_body(call: Call, model: Model, target: Target, speaks: Protocol) -> bytes:
    parsed = _lowered(call.parsed, model)
    if speaks is not call.protocol:
        return body.encoded(_converted(call, parsed, target))
    if speaks is Protocol.MESSAGES:
        parsed = body.without_our_thinking(call.body, parsed)
        return body.with_model(parsed if target.as_sent else _for_others(parsed), target.model)
    if call.streams:
        options = parsed.get("stream_options")
        parsed = {**parsed, "stream_options": {**(options if isinstance(options, dict) else {}), "include_usage": True}}
    return body.with_model(parsed, target.model)


def _for_others(parsed: dict[str, Any]) -> dict[str, Any]:
    """A Messages request without what only Anthropic accepts. No server but Anthropic shortens conversations by itself;
    clearing old results here would move the cached prefix (convert/request.py)."""
    shaped = chat_shape.for_others(parsed, sent=parsed, known=OF_MESSAGES.__contains__, provider="")
    shaped.pop("context_management", None)
    return shaped


def _converted(call: Call, parsed: dict[str, Any], target: Target) -> dict[str, Any]:
    try:
        return chat_request.to_chat(parsed, model=target.model, options=target.chat)
    except CannotConvertError as error:
        if error.final:
            raise FailedError(failure.unfit(error.reason, malformed(error.sentence))) from error
        raise HandOverError(error.reason) from error
    except Exception as error:  # a fault of ours; LiteLLM has a converter of its own
        raise not_converted(call, REQUEST, error) from error


def _lowered(parsed: dict[str, Any], model: Model) -> dict[str, Any]:
    """A request for more output than the model writes is lowered to that, as config/gateway.yaml promises."""
    most = model.max_output_tokens
    over = [name for name in OUTPUT if most and (parsed.get(name) or 0) > most]
    return {**parsed, **dict.fromkeys(over, most)} if over else parsed


def not_converted(call: Call, part: str, error: Exception) -> HandOverError:
    """The converter itself failed, which is a fault of ours: LiteLLM answers, and an alert tells the operator."""
    log.error("request %s: the converter failed: %s", call.request_id, where(error))
    return HandOverError(part)
