"""Chat completion requests → Prompt. Errors have the words of the OpenAI API."""

from __future__ import annotations

from typing import Any

from tollgate.services.provider import dials, tokens
from tollgate.services.provider.api_errors import ApiError
from tollgate.services.provider.checks import is_number, is_whole
from tollgate.services.provider.openai.content import count, missing, text_of, wrong
from tollgate.services.provider.prompt import InputUsage, JsonObject, Prompt, Tool, ToolChoice, ToolResult

ROLES = ("system", "assistant", "user", "function", "tool", "developer")


def model_of(body: JsonObject) -> str:
    model = body.get("model")
    if not isinstance(model, str) or not model:
        raise ApiError(400, "you must provide a model parameter", param="model")
    return model


def read(body: JsonObject, *, dialled: bool = True) -> Prompt:
    model, model_dials = dials.from_model(model_of(body), dialled=dialled)
    _check_limits(body)
    messages = _messages(body)
    total = images = 0
    for place, message in enumerate(messages):
        counted, seen = count(message, f"messages[{place}]")
        total, images = total + counted, images + seen
    tools = _tools(body)
    total += sum(tokens.count_json(tool) for tool in body.get("tools") or [])
    user_text, text_dials = dials.from_text(_last_user_text(messages), dialled=dialled)
    options = body.get("stream_options")
    stop = body.get("stop") or ()
    return Prompt(
        model=model,
        user_text=user_text,
        usage=InputUsage(total),
        model_dials=tuple(model_dials),
        text_dials=tuple(text_dials),
        stream=body.get("stream") is True,
        include_usage=isinstance(options, dict) and options.get("include_usage") is True,
        messages=len(messages),
        images=images,
        tools=tools,
        choice=_choice(body, tools),
        tool_results=_tool_results(messages),
        max_tokens=body.get("max_completion_tokens") or body.get("max_tokens"),
        stop=(stop,) if isinstance(stop, str) else tuple(stop),
        json_schema=_json_schema(body.get("response_format")),
    )


def too_long(total: int, most: int) -> ApiError:
    words = f"This model's maximum context length is {most} tokens. However, your messages resulted in {total} tokens."
    return ApiError(400, words, param="messages", code="context_length_exceeded")


def content_refused() -> ApiError:
    words = "Your request was rejected: it may contain text that is not allowed by our usage policy."
    return ApiError(400, words, code="content_policy_violation")


def _check_limits(body: JsonObject) -> None:
    for name in ("max_tokens", "max_completion_tokens"):
        value = body.get(name)
        if value is not None and not (is_whole(value) and value >= 1):
            raise wrong(name, "an integer >= 1", "integer_below_min_value" if is_whole(value) else "invalid_type")
    if (value := body.get("temperature")) is not None and not (is_number(value) and 0 <= value <= 2):
        raise wrong("temperature", "a number from 0 to 2")
    if body.get("n") not in (None, 1):
        raise wrong("n", "1, the one choice this provider makes", "unsupported_value")
    stop = body.get("stop")
    if stop is not None and not isinstance(stop, str):
        if not (isinstance(stop, list) and all(isinstance(item, str) for item in stop)):
            raise wrong("stop", "a string or an array of strings")
        if len(stop) > 4:
            raise wrong("stop", "an array with at most 4 items", "array_above_max_length")
    if body.get("stream_options") is not None and body.get("stream") is not True:
        words = "The 'stream_options' parameter is only allowed when 'stream' is enabled."
        raise ApiError(400, words, param="stream_options")


def _messages(body: JsonObject) -> list[JsonObject]:
    messages = body.get("messages")
    if messages is None:
        raise missing("messages")
    if not isinstance(messages, list):
        raise wrong("messages", "an array of objects")
    if not messages:
        raise ApiError(
            400,
            "Invalid 'messages': empty array. Expected an array with minimum length 1, but got an empty array instead.",
            param="messages",
            code="empty_array",
        )
    open_calls: set[str] = set()
    for place, message in enumerate(messages):
        where = f"messages[{place}]"
        if not isinstance(message, dict):
            raise wrong(where, "an object")
        if "role" not in message:
            raise missing(f"{where}.role")
        if message["role"] not in ROLES:
            known = ", ".join(f"'{role}'" for role in ROLES)
            words = f"Invalid value: '{message['role']}'. Supported values are: {known}."
            raise ApiError(400, words, param=f"{where}.role", code="invalid_value")
        open_calls = _paired(message, where, open_calls)
    if open_calls:
        raise _unanswered("messages", open_calls)
    return messages


def _paired(message: JsonObject, where: str, open_calls: set[str]) -> set[str]:
    """The calls without a result after this message. Every call needs its result before a message of another role."""
    if message["role"] == "tool":
        if message.get("tool_call_id") not in list(open_calls):  # a list, because the id can be unhashable
            words = (
                f"Invalid parameter: messages with role 'tool' must be a response to a preceeding message with "
                f"'tool_calls' ({message.get('tool_call_id')!r} is not open)."
            )
            raise ApiError(400, words, param=f"{where}.role")
        return open_calls - {message["tool_call_id"]}
    if open_calls:
        raise _unanswered(where, open_calls)
    calls = message.get("tool_calls") or []
    if not isinstance(calls, list):
        raise wrong(f"{where}.tool_calls", "an array of objects")
    for place, call in enumerate(calls):
        function = call.get("function") if isinstance(call, dict) else None
        if not isinstance(function, dict) or not isinstance(call.get("id"), str):
            raise missing(f"{where}.tool_calls[{place}].function")
        if not isinstance(function.get("name"), str) or not isinstance(function.get("arguments"), str):
            raise wrong(f"{where}.tool_calls[{place}].function", "a name and arguments, both strings")
        open_calls = open_calls | {call["id"]}
    return open_calls


def _unanswered(where: str, calls: set[str]) -> ApiError:
    return ApiError(
        400,
        "An assistant message with 'tool_calls' must be followed by tool messages responding to each 'tool_call_id'. "
        f"The following tool_call_ids did not have response messages: {', '.join(sorted(calls))}",
        param=where,
    )


def _tools(body: JsonObject) -> tuple[Tool, ...]:
    offered = body.get("tools") or []
    if not isinstance(offered, list):
        raise wrong("tools", "an array of objects")
    tools: list[Tool] = []
    for place, tool in enumerate(offered):
        function = tool.get("function") if isinstance(tool, dict) else None
        if not isinstance(function, dict) or not isinstance(function.get("name"), str):
            raise missing(f"tools[{place}].function.name")
        schema = function.get("parameters")
        tools.append(Tool(function["name"], schema if isinstance(schema, dict) else {}))
    return tuple(tools)


def _choice(body: JsonObject, tools: tuple[Tool, ...]) -> ToolChoice:
    choice = body.get("tool_choice") or "auto"
    parallel = body.get("parallel_tool_calls") is not False
    if choice != "auto" and choice != "none" and not tools:
        words = "Invalid value for 'tool_choice': 'tool_choice' is only allowed when 'tools' are specified."
        raise ApiError(400, words, param="tool_choice")
    match choice:
        case "auto" | "none":
            return ToolChoice(choice, parallel=parallel)
        case "required":
            return ToolChoice("any", parallel=parallel)
        case {"type": "function", "function": {"name": str(name)}}:
            if name not in {tool.name for tool in tools}:
                raise ApiError(400, f"Tool choice '{name}' not found in 'tools' parameter.", param="tool_choice")
            return ToolChoice("one", name, parallel)
    raise wrong("tool_choice", "'none', 'auto', 'required' or a function")


def _json_schema(wanted: Any) -> JsonObject | None:
    """The schema of a JSON answer, {} for any object, None for text."""
    match wanted:
        case None | {"type": "text"}:
            return None
        case {"type": "json_object"}:
            return {}
        case {"type": "json_schema", "json_schema": {"name": str(), **rest}}:
            schema = rest.get("schema")
            return schema if isinstance(schema, dict) else {}
    raise wrong("response_format", "type 'text', 'json_object' or 'json_schema' with a name")


def _last_user_text(messages: list[JsonObject]) -> str:
    """The text of the last user message with text."""
    texts = (text_of(message.get("content")) for message in reversed(messages) if message["role"] == "user")
    return next((text for text in texts if text.strip()), "")


def _tool_results(messages: list[JsonObject]) -> tuple[ToolResult, ...]:
    """The results at the end of the request, in order."""
    names = {call["id"]: call["function"]["name"] for message in messages for call in message.get("tool_calls") or []}
    ending: list[ToolResult] = []
    for message in reversed(messages):
        if message["role"] != "tool":
            break
        ending.append(ToolResult(names[message["tool_call_id"]], text_of(message.get("content"))))
    return tuple(reversed(ending))
