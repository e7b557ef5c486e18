"""`GET /v1/models`: what a tenant may use, in the shape that both APIs' clients read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anthropic
import openai
import pytest

from tests.unit.services.gateway.process import KEY, MASTER, Process, Reply, caller, catalogue, model, process, run
from tollgate.services.gateway.caller import Caller
from tollgate.services.requests.fields import packed, unpacked

TOLD = {
    "price": {"unit": "USD per million tokens", "input": "0.25", "output": "1.25"},
    "context_tokens": 200000,
    "max_output_tokens": 64000,
    "capabilities": ["streaming", "tools"],
    "free": False,
    "mode": "chat",
}
LISTED = {
    "claude-sonnet-5-5": {"display_name": "Claude Sonnet 5.5", "description": "The everyday model", "tollgate": TOLD},
    "embedder": {"display_name": "embedder", "tollgate": {**TOLD, "mode": "embedding", "capabilities": []}},
    "big": {
        "display_name": "big (Claude Sonnet 5.5)",
        "description": "The everyday model",
        "tollgate": {**TOLD, "fallbacks": ["claude-sonnet-5-5", "embedder"]},
    },
    "auto": {"display_name": "auto", "description": "The cheapest", "tollgate": {**TOLD, "price": None}},
}
SERVED = catalogue(model(name="claude-sonnet-5-5"), aliases={"big": "claude-sonnet-5-5"}, listed=LISTED)


def allowed(*names: str, **more: Any) -> Caller:
    return caller(team={"models": list(names)}, **more)


def asked(tmp_path: Path, path: str, who: Caller | None = None, key: str = KEY, **headers: str) -> tuple[Reply, int]:
    """The answer, and how many requests went to LiteLLM."""
    found: list[tuple[Reply, int]] = []

    async def test() -> None:
        async with process(tmp_path, SERVED, who) as gateway:
            sent = {"authorization": f"Bearer {key}", **headers}
            async with gateway.session.get(gateway.url + path, headers=sent) as answer:
                found.append((await Reply.of(answer), len(gateway.litellm.asked)))

    run(test)
    return found[0]


@pytest.mark.parametrize("program", ["claude-code/2.1.330", "claude-cli/2.1.330 (external, cli)"])
def test_claude_code_gets_names_that_it_shows(tmp_path: Path, program: str) -> None:
    """It lists only names with "claude" or "anthropic" in them, and shows their display names."""
    reply, _ = asked(tmp_path, "/v1/models?limit=1000", **{"user-agent": program})
    found = {entry["id"]: entry["display_name"] for entry in reply.json["data"]}
    assert list(found) == ["claude-sonnet-5-5", *(f"claude-router-{name.encode().hex()}" for name in list(LISTED)[1:])]
    assert list(found.values()) == [told["display_name"] for told in LISTED.values()]
    assert [unpacked(name) for name in found] == list(LISTED), "a request with this name finds the model"
    assert (reply.json["first_id"], reply.json["last_id"]) == (next(iter(found)), list(found)[-1])


def test_twin_other_clients_get_the_names_themselves(tmp_path: Path) -> None:
    reply, _ = asked(tmp_path, "/v1/models", **{"user-agent": "my-claude-code/1"})
    assert [entry["id"] for entry in reply.json["data"]] == list(LISTED)


@pytest.mark.parametrize(
    ("name", "tokens", "form"),
    [
        ("claude-x", 200_000, "claude-x"),
        ("Anthropic-x", None, "Anthropic-x"),
        ("claude-x", 1_000_000, "claude-x[1m]"),
        ("big", 1_000_000, "claude-router-626967[1m]"),
        ("claude-x[1m]", 1_000_000, "claude-x[1m]"),
    ],
)
def test_a_packed_name_is_read_again(name: str, tokens: int | None, form: str) -> None:
    assert packed(name, tokens) == form
    assert unpacked(form) == name.removesuffix("[1m]")


@pytest.mark.parametrize("path", ["/v1/models", "/models", "/v1/models?limit=1000"])
def test_a_tenant_without_a_list_sees_every_name(tmp_path: Path, path: str) -> None:
    reply, handed = asked(tmp_path, path)
    assert (reply.status, handed) == (200, 0)
    assert [entry["id"] for entry in reply.json["data"]] == list(LISTED)
    assert (reply.json["object"], reply.json["has_more"], reply.json["last_id"]) == ("list", False, "auto")
    assert reply.headers["cache-control"] == "no-store"
    first = reply.json["data"][0]
    assert {"object": "model", "type": "model", "owned_by": "tollgate"}.items() <= first.items()
    assert LISTED["claude-sonnet-5-5"].items() <= first.items()


def test_a_tenant_sees_exactly_the_names_of_its_file(tmp_path: Path) -> None:
    """Names that the file has and the catalogue does not have are left out, whatever they are."""
    reply, _ = asked(tmp_path, "/v1/models", allowed("big", "another-gateways", "<script>"))
    assert [entry["id"] for entry in reply.json["data"]] == ["big"]
    reply, _ = asked(tmp_path, "/v1/models", allowed("nothing-here"))
    assert (reply.json["data"], reply.json["first_id"]) == ([], None)


def test_one_model_is_its_entry_also_by_its_alias(tmp_path: Path) -> None:
    reply, handed = asked(tmp_path, "/v1/models/claude-sonnet-5-5", allowed("claude-sonnet-5-5"))
    assert (reply.status, reply.json["id"], handed) == (200, "claude-sonnet-5-5", 0)
    assert asked(tmp_path, "/v1/models/big", allowed("claude-sonnet-5-5"))[0].json["id"] == "big"


@pytest.mark.parametrize("name", ["auto", "no-such-model", "../key"])
def test_a_model_that_one_may_not_use_is_a_404_in_the_clients_shape(tmp_path: Path, name: str) -> None:
    who = allowed("embedder")
    reply, handed = asked(tmp_path, f"/v1/models/{name}", who)
    assert handed == 0
    if name.startswith("."):
        return  # the client itself resolves this path
    assert (reply.status, reply.json["error"]["code"]) == (404, "model_not_found")
    native, _ = asked(tmp_path, f"/v1/models/{name}", who, **{"anthropic-version": "2023-06-01"})
    assert (native.status, native.json["type"], native.json["error"]["type"]) == (404, "error", "not_found_error")


def test_the_operator_and_keys_that_we_did_not_make_get_litellms_list(tmp_path: Path) -> None:
    foreign = caller(key={"budget_id": "x"})
    for path in ("/v1/models", "/v1/models/auto"):
        assert asked(tmp_path, path, foreign)[1] == 1
        assert asked(tmp_path, path, key=MASTER)[1] == 1


def test_a_suspended_tenant_and_a_key_without_the_route_see_nothing(tmp_path: Path) -> None:
    reply, _ = asked(tmp_path, "/v1/models", caller(team={"blocked": True}))
    assert (reply.status, "suspended" in reply.json["error"]["message"]) == (401, True)
    reply, _ = asked(tmp_path, "/v1/models", caller(key={"allowed_routes": ["/v1/messages"]}))
    assert reply.status == 403
    assert asked(tmp_path, "/v1/models", key="sk-nobody-0123456789")[0].status == 401


def test_both_sdks_read_the_list(tmp_path: Path) -> None:
    async def with_sdks(gateway: Process) -> None:
        async with openai.AsyncOpenAI(base_url=f"{gateway.url}/v1", api_key=KEY) as chat:
            assert [one.id async for one in await chat.models.list()] == list(LISTED)
        async with anthropic.AsyncAnthropic(base_url=gateway.url, auth_token=KEY, api_key=None) as claude:
            shown = [one.display_name async for one in await claude.models.list(limit=1000)]
            assert shown == [entry["display_name"] for entry in LISTED.values()]
            assert (await claude.models.retrieve("big")).display_name == "big (Claude Sonnet 5.5)"
            with pytest.raises(anthropic.NotFoundError):
                await claude.models.retrieve("no-such-model")

    async def test() -> None:
        async with process(tmp_path, SERVED) as gateway:
            await with_sdks(gateway)

    run(test)


def test_a_tenant_sees_the_fallbacks_that_it_may_use(tmp_path: Path) -> None:
    some, _ = asked(tmp_path, "/v1/models", allowed("big", "claude-sonnet-5-5"))
    assert [entry["tollgate"].get("fallbacks") for entry in some.json["data"]] == [None, ["claude-sonnet-5-5"]]
    every, _ = asked(tmp_path, "/v1/models/big")
    assert every.json["tollgate"]["fallbacks"] == ["claude-sonnet-5-5", "embedder"]
