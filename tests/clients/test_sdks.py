"""The official SDKs and LangChain: each feature, on both routes, for each kind of upstream.

tests/contract/provider tests the SDKs against the embedded provider itself. It also runs through the gateway.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anthropic
import openai
import pytest

from tests.contract.provider.cases import PNG
from tests.stack.requests import WEATHER
from tests.support.claude_code import packages
from tests.support.stack import Stack

# Anthropic's API, the embedded provider's own, and a server that speaks OpenAI's only.
MODELS = ("claude-sonnet-5-5", "test-model", "chat-only")
ADDRESS = "https://images.example/red.png"
both_routes = pytest.mark.on_both_routes
every_model = pytest.mark.parametrize("model", MODELS)


@pytest.fixture(scope="module")
def claude(stack: Stack) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=stack.url, auth_token=stack.key("developer"), max_retries=0) as client:
        yield client


@pytest.fixture(scope="module")
def gpt(stack: Stack) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{stack.url}/v1", api_key=stack.key("developer"), max_retries=0) as client:
        yield client


def said(message: anthropic.types.Message) -> str:
    return "".join(block.text for block in message.content if block.type == "text")


def ask(client: anthropic.Anthropic, model: str, content: Any, **more: Any) -> anthropic.types.Message:
    messages = [{"role": "user", "content": content}]
    return client.messages.create(model=model, max_tokens=400, messages=messages, **more)  # type: ignore[arg-type]


@both_routes
@every_model
class TestMessages:
    def test_chat(self, claude: anthropic.Anthropic, model: str) -> None:
        answer = ask(claude, model, "Say hello.")
        assert "You asked: “Say hello.”" in said(answer)
        assert answer.model == model
        assert answer.stop_reason == "end_turn"

    def test_streaming(self, claude: anthropic.Anthropic, model: str) -> None:
        question = [{"role": "user", "content": "Say hello."}]
        with claude.messages.stream(model=model, max_tokens=400, messages=question) as stream:  # type: ignore[arg-type]
            pieces = list(stream.text_stream)
            whole = stream.get_final_message()
        assert len(pieces) > 5
        assert "".join(pieces) == said(whole)
        assert whole.usage.output_tokens > 0

    def test_tools(self, claude: anthropic.Anthropic, model: str) -> None:
        tool = {"name": "get_weather", "description": "Weather of a city", "input_schema": WEATHER}
        asked = {"role": "user", "content": 'use get_weather {"city": "Paris"}'}
        called = ask(claude, model, asked["content"], tools=[tool])
        assert called.stop_reason == "tool_use"
        use = next(block for block in called.content if block.type == "tool_use")
        assert use.input == {"city": "Paris"}
        result = {"type": "tool_result", "tool_use_id": use.id, "content": "rain"}
        turns: Any = [
            asked,
            {"role": "assistant", "content": [block.model_dump(mode="json") for block in called.content]},
            {"role": "user", "content": [result]},
        ]
        told = claude.messages.create(model=model, max_tokens=400, messages=turns, tools=[tool])  # type: ignore[list-item]
        assert "The tool get_weather answered: “rain”" in said(told)

    @pytest.mark.parametrize("kind", ["base64", "url"])
    def test_vision(self, claude: anthropic.Anthropic, model: str, kind: str) -> None:
        source = {"type": "url", "url": ADDRESS}
        if kind == "base64":
            source = {"type": "base64", "media_type": "image/png", "data": PNG}
        answer = ask(claude, model, [{"type": "image", "source": source}, {"type": "text", "text": "What is it?"}])
        assert "1 image" in said(answer)

    def test_a_system_prompt(self, claude: anthropic.Anthropic, model: str) -> None:
        """It is counted among the input, and is not taken for the question."""
        plain, told = (ask(claude, model, "Say hello.", **more) for more in ({}, {"system": "Be brief. " * 20}))
        assert told.usage.input_tokens > plain.usage.input_tokens + 20
        assert "You asked: “Say hello.”" in said(told)


@both_routes
@every_model
class TestChatCompletions:
    def test_chat(self, gpt: openai.OpenAI, model: str) -> None:
        answer = gpt.chat.completions.create(model=model, messages=[{"role": "user", "content": "Say hello."}])
        assert "You asked: “Say hello.”" in (answer.choices[0].message.content or "")
        assert answer.choices[0].finish_reason == "stop"

    def test_streaming(self, gpt: openai.OpenAI, model: str) -> None:
        chunks = list(
            gpt.chat.completions.create(
                model=model,
                messages=[{"role": "user", "content": "Say hello."}],
                stream=True,
                stream_options={"include_usage": True},
            )
        )
        pieces = [
            chunk.choices[0].delta.content for chunk in chunks if chunk.choices and chunk.choices[0].delta.content
        ]
        assert len(pieces) > 5
        assert "You asked: “Say hello.”" in "".join(pieces)
        assert any(chunk.usage and chunk.usage.completion_tokens for chunk in chunks)

    def test_tools(self, gpt: openai.OpenAI, model: str) -> None:
        tool: Any = {"type": "function", "function": {"name": "get_weather", "parameters": WEATHER}}
        asked: Any = {"role": "user", "content": 'use get_weather {"city": "Paris"}'}
        called = gpt.chat.completions.create(model=model, messages=[asked], tools=[tool]).choices[0]
        assert called.finish_reason == "tool_calls"
        call: Any = called.message.tool_calls[0]  # type: ignore[index]
        assert json.loads(call.function.arguments) == {"city": "Paris"}
        turns: Any = [
            asked,
            called.message.model_dump(exclude_none=True),
            {"role": "tool", "tool_call_id": call.id, "content": "rain"},
        ]
        told = gpt.chat.completions.create(model=model, messages=turns, tools=[tool])
        assert "answered: “rain”" in (told.choices[0].message.content or "")

    @pytest.mark.parametrize("kind", ["base64", "url"])
    def test_vision(self, gpt: openai.OpenAI, model: str, kind: str) -> None:
        url = ADDRESS if kind == "url" else f"data:image/png;base64,{PNG}"
        image: Any = {"type": "image_url", "image_url": {"url": url}}
        content: Any = [image, {"type": "text", "text": "What is it?"}]
        answer = gpt.chat.completions.create(model=model, messages=[{"role": "user", "content": content}])
        assert "1 image" in (answer.choices[0].message.content or "")

    def test_a_system_prompt(self, gpt: openai.OpenAI, model: str) -> None:
        question: Any = {"role": "user", "content": "Say hello."}
        system: Any = {"role": "system", "content": "Be brief. " * 20}
        plain, told = (
            gpt.chat.completions.create(model=model, messages=turns) for turns in ([question], [system, question])
        )
        assert told.usage.prompt_tokens > plain.usage.prompt_tokens + 20  # type: ignore[union-attr]
        assert "You asked: “Say hello.”" in (told.choices[0].message.content or "")


LANGCHAIN = """
import sys
from langchain_core.tools import tool

url, key, model, which = sys.argv[1:]
if which == "anthropic":
    from langchain_anthropic import ChatAnthropic
    chat = ChatAnthropic(model=model, base_url=url, api_key=key, max_retries=0)
else:
    from langchain_openai import ChatOpenAI
    chat = ChatOpenAI(model=model, base_url=url + "/v1", api_key=key, max_retries=0)

@tool
def get_weather(city: str) -> str:
    "Weather of a city"
    return "rain"

print("SAID", chat.invoke("Say hello.").text)
print("PIECES", len(list(chat.stream("Say hello."))))
print("CALLED", chat.bind_tools([get_weather]).invoke('use get_weather {"city": "Paris"}').tool_calls[0]["args"])
"""


@pytest.mark.parametrize("model", ["claude-sonnet-5-5", "chat-only"])
@pytest.mark.parametrize("which", ["anthropic", "openai"])
def test_langchain(stack: Stack, tmp_path: Path, which: str, model: str) -> None:
    command = [sys.executable, "-W", "ignore", "-c", LANGCHAIN, stack.url, stack.key("developer"), model, which]
    environment = {"PYTHONPATH": str(packages()), "HOME": str(tmp_path)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    said, pieces, called = done.stdout.splitlines()[-3:]
    assert "You asked: “Say hello.”" in said
    assert int(pieces.split()[1]) > 5
    assert called == "CALLED {'city': 'Paris'}"
