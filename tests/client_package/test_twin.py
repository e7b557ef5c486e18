"""The synchronous half is what client/tools/twin.py writes, and does the same."""

from __future__ import annotations

import ast
import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from tests.client_package.gateway import KEY, Front
from tollgate_client import ChatMessage
from tollgate_client.errors import MaxCostError, RefusedKeyError, StreamInterruptedError
from tollgate_client.sync import HeuristicRouter, LiteLLMProvider, Router

CLIENT = Path(__file__).resolve().parents[2] / "client"
HELLO = [ChatMessage(role="user", content="Say hello.")]


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    found = importlib.util.spec_from_file_location("twin", CLIENT / "tools" / "twin.py")
    assert found is not None and found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


def test_the_committed_files_are_what_the_tool_writes(tool: ModuleType) -> None:
    twins: dict[Path, str] = tool.twins()
    committed = {file: file.read_text() for file in (CLIENT / "src" / "tollgate_client" / "_sync").glob("*.py")}
    assert len(twins) > 3
    assert committed == twins, "run: make twin"


def test_nothing_asynchronous_is_left(tool: ModuleType) -> None:
    for file, content in tool.twins().items():
        asynchronous = (ast.AsyncFunctionDef, ast.AsyncFor, ast.AsyncWith, ast.Await)
        assert [node for node in ast.walk(ast.parse(content)) if isinstance(node, asynchronous)] == [], file
        assert "async" not in content.partition("\n")[2].replace("_async", ""), file


def test_twin_a_name_inside_a_text_stays(tool: ModuleType) -> None:
    made = tool.synchronous('async def f() -> str:\n    return await g("await aclose")\n')
    assert made == 'def f() -> str:\n    return g("await aclose")\n'


def test_it_answers_streams_and_routes(gateway: Front) -> None:
    with LiteLLMProvider(gateway.url, KEY) as provider:
        whole = provider.chat_completion(HELLO, "test-model")
        stream = provider.stream_chat_completion(HELLO, "test-model")
        assert "".join(chunk.text for chunk in stream) == whole.text
        assert stream.usage == whole.usage and provider.cost_of(whole) > 0
        assert provider.messages_create(HELLO, "test-model", 100).text == whole.text
        assert provider.usage().tenant == "acme" and provider.health_check()
        router = Router({"gateway": provider}, "cost_optimized")
        assert router.route_request(HELLO).route.model == "small-model"
        assert HeuristicRouter({"gateway": provider}).select_model(HELLO).model == "small-model"
        with pytest.raises(MaxCostError):
            router.route_request(HELLO, max_cost="0.000000001")


def test_it_stops_early_fails_and_refuses_as_the_other_does(gateway: Front) -> None:
    with LiteLLMProvider(gateway.url, KEY) as provider:
        slow = [ChatMessage(role="user", content="hello [[tokens=400 tps=20]]")]
        for _ in provider.stream_chat_completion(slow, "test-model"):
            break
        broken = [ChatMessage(role="user", content="hello [[error=after:2]]")]
        with pytest.raises(StreamInterruptedError):
            list(provider.stream_chat_completion(broken, "test-model"))
    with LiteLLMProvider(gateway.url, "sk-wrong") as stranger, pytest.raises(RefusedKeyError):
        stranger.chat_completion(HELLO, "test-model")
