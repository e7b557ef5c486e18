"""A Messages server that is not Anthropic's gets a request without what only Anthropic accepts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support.scripted_upstream import JSON, Answer, upstream, whole_message
from tests.unit.services.gateway.process import catalogue, messages, model, process, run

WHOLE = Answer([whole_message()], headers=JSON)
BILLING = {"type": "text", "text": "x-anthropic-billing-header: cc_version=2; session=1"}
SENT: dict[str, Any] = {
    "system": [BILLING, {"type": "text", "text": "Be brief."}],
    "messages": [
        {"role": "user", "content": "hello"},
        {"role": "system", "content": "It rains."},
    ],
    "tools": [
        {"name": "look", "input_schema": {"type": "object"}, "defer_loading": True, "eager_input_streaming": True}
    ],
    "metadata": {"user_id": "device_id"},
    "safeguards": {"x": 1},
    "context_management": {"edits": [{"type": "clear_tool_uses_20250919"}]},
    "a_field_of_next_year": True,
    "temperature": 0.5,
}


@pytest.mark.parametrize("as_sent", [False, True], ids=["an imitation", "twin: Anthropic's own"])
def test_what_reaches_a_messages_server(tmp_path: Path, as_sent: bool) -> None:
    async def test() -> None:
        async with (
            upstream(WHOLE) as one,
            process(tmp_path, catalogue(model(messages(one, as_sent=as_sent)))) as gateway,
        ):
            answer = await gateway.ask(headers={"anthropic-beta": "a-beta"}, **SENT)
            assert answer.status == 200, answer.text
            [asked] = one.asked
            got = asked.body
            assert (got["model"], got["max_tokens"], got["temperature"]) == ("one-upstream", 60, 0.5)
            assert ("anthropic-beta" in asked.headers) is as_sent
            if as_sent:
                assert {name: got[name] for name in SENT} == SENT
                return
            assert got.keys() == {"model", "max_tokens", "messages", "system", "tools", "temperature"}
            assert got["system"] == [{"type": "text", "text": "Be brief."}]
            assert got["tools"] == [{"name": "look", "input_schema": {"type": "object"}}]
            assert [turn["role"] for turn in got["messages"]] == ["user"]
            assert "<system-reminder>\nIt rains.\n</system-reminder>" in str(got["messages"][0]["content"][-1]["text"])

    run(test)
