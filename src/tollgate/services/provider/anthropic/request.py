"""Messages requests → Prompt. Errors have the words of the Anthropic API."""

from __future__ import annotations

from typing import Any, Literal

from tollgate.services.provider import dials, tokens
from tollgate.services.provider.anthropic import safeguards
from tollgate.services.provider.anthropic.content import Counter, bad, blocks, text_of
from tollgate.services.provider.api_errors import ApiError
from tollgate.services.provider.checks import is_number, is_whole
from tollgate.services.provider.prompt import JsonObject, Prompt, Tool, ToolChoice, ToolResult


def read(body: JsonObject, *, counting: bool = False, dialled: bool = True) -> Prompt:
    """The prompt of a Messages request, or with `counting` of a count_tokens request. Raises ApiError."""
    if not isinstance(body.get("model"), str) or not body["model"]:
        raise bad("model", "Field required" if "model" not in body else "Input should be a valid string")
    if not counting:
        _check_max_tokens(body)
    _check_limits(body)
    messages = _messages(body)
    counter = Counter()
    tools = _tools(body, counter)
    counter.content(body.get("system") or "", "system")
    names: dict[str, str] = {}
    for place, message in enumerate(messages):
        if message["role"] == "assistant":
            counter.turn_begins()
        counter.content(message["content"], f"messages.{place}.content")
        _check_tool_results(messages, place, names)
    model, model_dials = dials.from_model(body["model"], dialled=dialled)
    user_text, text_dials = dials.from_text(_last_user_text(messages), dialled=dialled)
    return Prompt(
        model=model,
        user_text=user_text,
        usage=counter.usage(),
        model_dials=tuple(model_dials),
        text_dials=tuple(text_dials),
        stream=body.get("stream") is True,
        messages=len(messages),
        images=counter.images,
        tools=tools,
        choice=_choice(body.get("tool_choice"), tools),
        tool_results=_tool_results(messages, names),
        max_tokens=body.get("max_tokens"),
        stop=tuple(body.get("stop_sequences") or ()),
        json_schema=_json_schema(body),
        thinking=_thinking(body, counting),
        system_roles=any(message["role"] == "system" for message in messages),
        safeguards=safeguards.read(body),
    )


def _check_max_tokens(body: JsonObject) -> None:
    if "max_tokens" not in body:
        raise bad("max_tokens")
    if not is_whole(body["max_tokens"]):
        raise bad("max_tokens", "Input should be a valid integer")
    if body["max_tokens"] < 1:
        raise bad("max_tokens", "Input should be greater than or equal to 1")


def _check_limits(body: JsonObject) -> None:
    for name in ("temperature", "top_p"):
        if (value := body.get(name)) is not None and not (is_number(value) and 0 <= value <= 1):
            raise bad(name, "Input should be a number from 0 to 1")
    stops = body.get("stop_sequences")
    if stops is not None and not (isinstance(stops, list) and all(isinstance(stop, str) for stop in stops)):
        raise bad("stop_sequences", "Input should be a valid list of strings")
    if any(not stop.strip() for stop in stops or ()):
        raise bad("stop_sequences", "each stop sequence must contain non-whitespace")
    if not isinstance(body.get("stream", False), bool):
        raise bad("stream", "Input should be a valid boolean")


def system_role_refused() -> ApiError:
    return bad(
        "messages",
        'Unexpected role "system". The Messages API accepts a top-level `system` parameter, not "system" as an input '
        "message role.",
    )


def too_long(count: int, most: int) -> ApiError:
    """Claude Code looks for these words, and then compacts the conversation."""
    return ApiError(400, f"prompt is too long: {count} tokens > {most} maximum")


def _messages(body: JsonObject) -> list[JsonObject]:
    messages = body.get("messages")
    if messages is None:
        raise bad("messages")
    if not isinstance(messages, list):
        raise bad("messages", "Input should be a valid list")
    if not messages:
        raise bad("messages", "at least one message is required")
    for place, message in enumerate(messages):
        where = f"messages.{place}"
        if not isinstance(message, dict):
            raise bad(where, "Input should be a valid dictionary")
        role = message.get("role")
        # The newer API accepts a system message after the first message; Claude Code sends them.
        if role == "system" and place == 0:
            raise system_role_refused()
        if role not in ("user", "assistant", "system"):
            raise bad(f"{where}.role", "Field required" if role is None else "Input should be 'user' or 'assistant'")
        if "content" not in message:
            raise bad(f"{where}.content")
        if not message["content"] and not (role == "assistant" and place == len(messages) - 1):
            raise bad(where, "all messages must have non-empty content except for the optional final assistant message")
    return messages


def _tools(body: JsonObject, counter: Counter) -> tuple[Tool, ...]:
    """The tools that the client runs. Tools that a provider runs itself (without a schema) are only counted."""
    offered = body.get("tools") or []
    if not isinstance(offered, list):
        raise bad("tools", "Input should be a valid list")
    tools: list[Tool] = []
    for place, tool in enumerate(offered):
        where = f"tools.{place}"
        if not isinstance(tool, dict) or not isinstance(tool.get("name"), str):
            raise bad(f"{where}.custom.name")
        counter.total += tokens.count_json({k: v for k, v in tool.items() if k != "cache_control"})
        counter.mark(tool)
        if tool.get("type") in (None, "custom"):
            if not isinstance(tool.get("input_schema"), dict):
                raise bad(f"{where}.custom.input_schema")
            tools.append(Tool(tool["name"], tool["input_schema"]))
    if len({tool.name for tool in tools}) < len(tools):
        raise bad("tools", "Tool names must be unique.")
    return tuple(tools)


def _choice(choice: Any, tools: tuple[Tool, ...]) -> ToolChoice:
    if choice is None:
        return ToolChoice()
    kind = choice.get("type") if isinstance(choice, dict) else None
    if kind not in ("auto", "any", "tool", "none"):
        raise bad("tool_choice", "Input tag found using 'type' does not match any of the expected tags")
    if kind in ("any", "tool") and not tools:
        raise bad("", "tool_choice may only be specified while providing tools")
    if kind == "tool" and choice.get("name") not in [tool.name for tool in tools]:
        raise bad("", f"Tool '{choice.get('name')}' not found in provided tools")
    parallel = choice.get("disable_parallel_tool_use") is not True
    return ToolChoice("one" if kind == "tool" else kind, choice.get("name") or "", parallel)


def _json_schema(body: JsonObject) -> JsonObject | None:
    config = body.get("output_config")
    wanted = (config.get("format") if isinstance(config, dict) else None) or body.get("output_format")
    schema = wanted.get("schema") if isinstance(wanted, dict) else None
    return schema if isinstance(schema, dict) else None


def _thinking(body: JsonObject, counting: bool) -> Literal["off", "shown", "hidden"]:
    thinking = body.get("thinking")
    if not isinstance(thinking, dict) or thinking.get("type") == "disabled":
        return "off"
    if thinking.get("type") == "enabled":
        budget = thinking.get("budget_tokens")
        if not isinstance(budget, int):
            raise bad("thinking.enabled.budget_tokens")
        if budget < 1024:
            raise bad("thinking.enabled.budget_tokens", "Input should be greater than or equal to 1024")
        if not counting and budget >= body["max_tokens"]:
            raise bad("", "`max_tokens` must be greater than `thinking.budget_tokens`.")
    elif thinking.get("type") != "adaptive":
        raise bad("thinking", "Input tag found using 'type' does not match any of the expected tags: 'enabled', …")
    return "hidden" if thinking.get("display") == "omitted" else "shown"


def _check_tool_results(messages: list[JsonObject], place: int, names: dict[str, str]) -> None:
    """Every call needs its result in the next message, and every result needs its call. Raises ApiError."""
    message = messages[place]
    asked: set[str] = set()
    if message["role"] == "assistant":
        calls = [block for block in blocks(message["content"]) if block["type"] == "tool_use"]
        names.update((block["id"], block["name"]) for block in calls)
        if place == len(messages) - 1:
            return
        asked = {block["id"] for block in calls}
        answers = _answers(messages[place + 1])
        if missing := sorted(asked - set(answers)):
            raise bad(
                f"messages.{place}",
                f"`tool_use` ids were found without `tool_result` blocks immediately after: {', '.join(missing)}. "
                "Each `tool_use` block must have a corresponding `tool_result` block in the next message.",
            )
        return
    before = messages[place - 1] if place else {"role": "", "content": ""}
    known = {block["id"] for block in blocks(before["content"]) if block.get("type") == "tool_use"}
    for item, block in enumerate(blocks(message["content"])):
        if block["type"] == "tool_result" and block["tool_use_id"] not in known:
            raise bad(
                f"messages.{place}.content.{item}",
                f"unexpected `tool_use_id` found in `tool_result` blocks: {block['tool_use_id']}. Each `tool_result` "
                "block must have a corresponding `tool_use` block in the previous message.",
            )


def _answers(message: Any) -> list[str]:
    return [
        str(block.get("tool_use_id"))
        for block in blocks(message["content"])
        if isinstance(block, dict) and block.get("type") == "tool_result"
    ]


def _last_user_text(messages: list[JsonObject]) -> str:
    """The text of the last user message with text."""
    texts = (text_of(message["content"]) for message in reversed(messages) if message["role"] == "user")
    return next((text for text in texts if text.strip()), "")


def _tool_results(messages: list[JsonObject], names: dict[str, str]) -> tuple[ToolResult, ...]:
    """The results in the last user message, if no assistant message follows it."""
    last = next((message for message in reversed(messages) if message["role"] != "system"), messages[-1])
    if last["role"] != "user":
        return ()
    return tuple(
        ToolResult(names.get(block["tool_use_id"], ""), text_of(block.get("content") or ""))
        for block in blocks(last["content"])
        if block["type"] == "tool_result"
    )
