"""Messages requests for the tests of the converter, and what becomes of them."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from tests.support.chat_requests import problems
from tollgate.services.gateway.convert.options import Options
from tollgate.services.gateway.convert.refusal import CannotConvertError
from tollgate.services.gateway.convert.request import to_chat

PLAIN = Options()
FULL = Options(
    max_tokens_field="max_completion_tokens",
    system_role="developer",
    reasoning="reasoning_effort",
    documents=True,
    document_urls=True,
    top_k=True,
)
HI = [{"role": "user", "content": "hi"}]
PNG = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}}
PNG_PART = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
PDF = {
    "type": "document",
    "title": "a.pdf",
    "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBE"},
}
LS = {"name": "ls", "input_schema": {"type": "object", "properties": {}}}


def text(words: str, **more: Any) -> dict[str, Any]:
    return {"type": "text", "text": words, **more}


def use(call: str = "t1", name: str = "ls", **given: Any) -> dict[str, Any]:
    return {"type": "tool_use", "id": call, "name": name, "input": given}


def result(call: str = "t1", content: Any = "done", **more: Any) -> dict[str, Any]:
    return {"type": "tool_result", "tool_use_id": call, "content": content, **more}


def body(messages: Any = None, **more: Any) -> dict[str, Any]:
    return {"model": "claude", "max_tokens": 100, "messages": HI if messages is None else messages, **more}


def chat(messages: Any = None, options: Options = PLAIN, **more: Any) -> dict[str, Any]:
    given = body(messages, **more)
    before = copy.deepcopy(given)
    converted = to_chat(given, model="up", options=options)
    assert given == before, "the request was changed"
    assert problems(converted) == []
    return converted


def refused(messages: Any = None, options: Options = PLAIN, **more: Any) -> CannotConvertError:
    with pytest.raises(CannotConvertError) as caught:
        to_chat(body(messages, **more), model="up", options=options)
    assert caught.value.sentence.startswith(caught.value.field) or "model" in caught.value.sentence
    return caught.value
