"""The layer before LiteLLM: its checks, their order, and that it reads no body too early."""

from __future__ import annotations

import asyncio
import gzip
import json
from dataclasses import dataclass, field
from typing import Any

import pytest
import zstandard

from tests.unit.services.gateway.process import caller
from tollgate.services.gateway.caller import Caller
from tollgate.services.replica.keys import Known
from tollgate.services.requests.addresses import Strangers
from tollgate.services.requests.bounds import Bounds
from tollgate.services.requests.guard import Guard
from tollgate.services.requests.holder import KeysAwayError
from tollgate.services.requests.room import Room
from tollgate.services.requests.rules import Rules

KEY, REVOKED, MASTER = "sk-acme-0123456789", "sk-gone-0123456789", "sk-master-0123456789"
GOOD = json.dumps({"model": "test-model", "max_tokens": 5, "messages": []}).encode()


@dataclass
class KnownKeys:
    """Replaces LiteLLM's look-up. `asked` has each key, with whether only memory was allowed."""

    away: bool = False
    asked: list[tuple[str, bool]] = field(default_factory=list)

    async def find(self, key: str, *, remembered: bool = False) -> Known | None:
        self.asked.append((key, remembered))
        if self.away:
            raise KeysAwayError
        return {
            KEY: Known("acme"),
            REVOKED: Known("acme", closed=True),
            MASTER: Known("", operator=True),
        }.get(key)


@dataclass
class Behind:
    """Replaces LiteLLM's application: it records requests, reads the body and answers."""

    scopes: list[Any] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    during: Any = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.scopes.append(scope)
        self.bodies.append((await receive())["body"])
        if self.during:
            self.during()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"ok"})


@dataclass
class Client:
    """One request. It counts the pieces of its body that were read."""

    guard: Guard
    read: int = 0
    status: int = 0
    answer: bytes = b""
    headers: dict[bytes, bytes] = field(default_factory=dict)

    def ask(
        self,
        body: bytes | list[bytes] = GOOD,
        path: str = "/v1/messages",
        method: str = "POST",
        key: str | None = KEY,
        headers: dict[str, str] | None = None,
        leaves: bool = False,
    ) -> int:
        pieces = [body] if isinstance(body, bytes) else list(body)
        sent = {**({"authorization": f"Bearer {key}"} if key else {}), **(headers or {})}
        scope = {
            "type": "http",
            "path": path,
            "method": method,
            "headers": [(name.encode(), value.encode()) for name, value in sent.items()],
            "client": ("172.18.0.9", 5),
        }

        async def receive() -> dict[str, Any]:
            if not pieces and self.stays:
                await asyncio.sleep(3600)  # the client keeps its connection and says nothing
            if not pieces or (leaves and len(pieces) == 1):
                return {"type": "http.disconnect"}
            self.read += 1
            piece = pieces.pop(0)
            return {"type": "http.request", "body": piece, "more_body": bool(pieces)}

        async def send(message: Any) -> None:
            if message["type"] == "http.response.start":
                self.status, self.headers = message["status"], dict(message["headers"])
                self.read_before_answer = self.read
            else:
                self.answer += message.get("body", b"")

        asyncio.run(self.guard(scope, receive, send))
        return self.status

    read_before_answer: int = 0
    stays: bool = False


@pytest.fixture
def behind() -> Behind:
    return Behind()


@pytest.fixture
def keys() -> KnownKeys:
    return KnownKeys()


@pytest.fixture
def guard(behind: Behind, keys: KnownKeys) -> Guard:
    rules = Rules(frozenset({"test-model"}), Bounds(body=2_000_000, values=1000, depth=50))
    return Guard(behind, keys, rules, Strangers(burst=3, per_second=0.001), Room())


@pytest.fixture
def client(guard: Guard) -> Client:
    return Client(guard)


def test_a_correct_request_reaches_litellm_complete_and_parsed(client: Client, behind: Behind) -> None:
    assert client.ask([GOOD[:10], GOOD[10:]]) == 200
    assert behind.bodies == [GOOD]
    (scope,) = behind.scopes
    names, parsed = scope["parsed_body"]
    assert parsed == json.loads(GOOD)
    assert names == tuple(parsed)


@pytest.mark.parametrize("key", ["sk-nobody-0123456789", None, "not-a-key"])
@pytest.mark.parametrize("path", ["/v1/messages", "/v1/chat/completions", "/key/generate", "/anything"])
def test_no_body_is_read_for_an_unknown_key(client: Client, behind: Behind, key: str | None, path: str) -> None:
    assert client.ask([b"x" * 1000] * 50, key=key, path=path) == 401
    assert client.read_before_answer == 0
    assert not behind.scopes, "LiteLLM gets no request, so it stores no row"
    assert client.headers[b"x-should-retry"] == b"false"


def test_litellm_refuses_a_closed_key_itself_and_gets_no_body(client: Client, behind: Behind) -> None:
    assert client.ask([b"x" * 1000] * 50, key=REVOKED) == 200, "the answer is LiteLLM's; here it is a stand-in"
    assert client.read_before_answer == 0
    assert behind.bodies == [b""]
    assert client.read == 50, "and the client can send its whole body"


@pytest.mark.parametrize(("blocked", "pieces"), [(True, 0), (False, 50)], ids=["suspended", "twin: not suspended"])
def test_a_gateway_process_reads_no_body_of_a_suspended_tenant(behind: Behind, blocked: bool, pieces: int) -> None:
    class Keys:
        async def find(self, key: str, *, remembered: bool = False) -> Caller:
            return caller(team={"blocked": blocked})

    rules = Rules(frozenset({"test-model"}), Bounds())
    client = Client(Guard(behind, Keys(), rules, gateway=True))
    assert client.ask([GOOD, *[b" " * 1000] * 49]) == 200, "the answer is the application's; here it is a stand-in"
    assert client.read_before_answer == pieces
    assert ("parsed_body" in behind.scopes[0]) is not blocked


def test_a_refused_client_can_send_its_whole_body(client: Client) -> None:
    client.ask([b"x"] * 20, key="sk-nobody-0123456789")
    assert client.read == 20
    assert b"does not know this key" in client.answer


def test_the_refusal_has_the_form_of_the_api(client: Client, guard: Guard) -> None:
    client.ask(key=None)
    assert json.loads(client.answer)["error"]["type"] == "authentication_error"
    other = Client(guard)
    other.ask(key=None, path="/v1/chat/completions")
    assert json.loads(other.answer)["error"]["code"] == "key_missing"


def test_an_address_that_guesses_keys_waits_and_is_not_looked_up(guard: Guard, keys: KnownKeys) -> None:
    for number in range(3):
        assert Client(guard).ask(key=f"sk-guess-{number}-xxxxxxx") == 401
    assert Client(guard).ask(key="sk-guess-4-xxxxxxx") == 429
    assert keys.asked[-1] == ("sk-guess-4-xxxxxxx", True), "memory only"
    assert Client(guard).ask() == 200, "a known key from the same address still works"
    elsewhere = {"x-forwarded-for": "203.0.113.9"}
    assert Client(guard).ask(key="sk-guess-5-xxxxxxx", headers=elsewhere) == 401


def test_a_request_is_overload_while_keys_cannot_be_checked(client: Client, keys: KnownKeys) -> None:
    keys.away = True
    assert client.ask() == 529
    assert client.headers[b"x-should-retry"] == b"true"


@pytest.mark.parametrize("path", ["/health/liveliness", "/health/readiness", "/metrics"])
def test_open_routes_need_no_key_and_take_no_body(client: Client, behind: Behind, path: str) -> None:
    assert client.ask(b"x" * 1000, path=path, method="GET", key=None) == 200
    assert behind.bodies == [b""]


@pytest.mark.parametrize("path", ["/key/generate", "/team/new", "/v1/responses", "/engines/m/completions", "/config"])
def test_a_tenant_can_use_only_the_routes_for_tenants(client: Client, guard: Guard, behind: Behind, path: str) -> None:
    assert client.ask(b"{}", path=path) == 403
    assert not behind.scopes
    assert Client(guard).ask(b'{"anything": 1}', path=path, key=MASTER) == 200


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_the_body_of_a_get_request_is_not_read(client: Client, behind: Behind, method: str) -> None:
    assert client.ask([b"x" * 1000] * 50, path="/v1/models", method=method) == 200
    assert behind.bodies == [b""]


WRONG: list[tuple[bytes, int, bytes]] = [
    (b"{", 400, b"expected JSON"),
    (b"", 400, b"expected JSON"),
    (b"[1]", 400, b"expected a JSON object"),
    (b"\xff\xfe", 400, b"expected JSON"),
    (b'{"model": "test-model", "x": "\\ud800"}', 400, b"expected JSON"),
    (b'{"model": "test-model", "x": ' + b"[" * 60 + b"]" * 60 + b"}", 400, b"less nesting"),
    (b'{"model": "test-model", "x": ' + b"[" * 5000 + b"]" * 5000 + b"}", 400, b"at most 1000 values"),
    (b'{"model": "test-model", "messages": [' + b"{}," * 5000 + b"{}]}", 400, b"at most 1000 values"),
    (b'{"model": "test-model,test-model"}', 400, b"model: expected"),
    (b'{"model": "other"}', 403, b"has no model"),
    (b'{"model": "test-model", "no-log": true}', 400, b"no-log"),
    (b'{"model": "test-model", "max_tokens": -5}', 400, b"max_tokens"),
    (b'{"model": "test-model", "model": "a,b"}', 400, b"model: expected"),
    (b" " * 2_100_000, 413, b"larger than"),
]


@pytest.mark.parametrize("body,status,words", WRONG, ids=lambda value: repr(value)[:40])
def test_a_malformed_request_does_not_reach_litellm(
    client: Client, behind: Behind, body: bytes, status: int, words: bytes
) -> None:
    assert client.ask(body) == status
    assert words in client.answer
    assert not behind.scopes


def test_the_operator_may_call_one_target_and_use_litellms_options(guard: Guard, behind: Behind) -> None:
    body = b'{"model": "test-model:embedded", "num_retries": 0, "metadata": {"tags": ["x"]}}'
    assert Client(guard).ask(body, key=MASTER) == 200
    assert Client(guard).ask(body) == 400
    assert Client(guard).ask(b'{"model": "a,b"}', key=MASTER) == 400
    assert len(behind.scopes) == 1


def test_after_the_whole_body_the_guard_does_not_wait(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """nginx sends the next request on the same connection: a wait would delay that request."""
    monkeypatch.setattr("tollgate.services.requests.asgi.LINGER_S", 3600)
    client.stays = True
    assert client.ask(b"{") == 400
    assert client.ask(b"{", key="sk-nobody-0123456789") == 401


def test_a_declared_length_above_the_limit_is_refused_unread(client: Client) -> None:
    assert client.ask([b"x"] * 3, headers={"content-length": "99999999999"}) == 413
    assert client.read_before_answer == 0


def test_a_body_without_a_declared_length_is_counted(client: Client) -> None:
    assert client.ask([b"x" * 100_000] * 40) == 413
    assert client.read_before_answer == 21


@pytest.mark.parametrize("kind", ["form", "gzip", "zstd"])
def test_litellm_always_gets_plain_json(client: Client, behind: Behind, kind: str) -> None:
    sent = {"content-type": "application/x-www-form-urlencoded"}
    body = GOOD
    if kind == "gzip":
        sent["content-encoding"], body = "gzip", gzip.compress(GOOD)
    if kind == "zstd":
        sent["content-encoding"], body = "zstd", zstandard.compress(GOOD)
    assert client.ask(body, headers=sent) == 200
    headers = dict(behind.scopes[0]["headers"])
    assert headers[b"content-type"] == b"application/json"
    assert headers[b"content-length"] == str(len(GOOD)).encode()
    assert b"content-encoding" not in headers
    assert behind.bodies == [GOOD]


@pytest.mark.parametrize("encoding", ["br", "gzip, gzip", "zstd, gzip", "compress"])
def test_an_unknown_encoding_is_refused(client: Client, encoding: str) -> None:
    assert client.ask(GOOD, headers={"content-encoding": encoding}) == 415


def test_a_gzip_bomb_is_refused(client: Client) -> None:
    assert client.ask(gzip.compress(b" " * 50_000_000), headers={"content-encoding": "gzip"}) == 413


def test_headers_that_litellm_obeys_are_removed_and_the_key_stays(client: Client, behind: Behind) -> None:
    client.ask(headers={"x-litellm-tags": "a", "x-litellm-new": "b", "x-api-key": "sk-other-xxxxxx", "accept": "*/*"})
    names = {name for name, _ in behind.scopes[0]["headers"]}
    assert names == {b"authorization", b"accept", b"content-length", b"content-type"}


def test_litellm_gets_our_key_from_either_header(client: Client, behind: Behind) -> None:
    assert client.ask(key="sk-ant-oat01-strange", headers={"x-api-key": KEY}) == 200
    assert dict(behind.scopes[0]["headers"])[b"authorization"] == f"Bearer {KEY}".encode()


def test_a_client_that_disconnects_while_it_sends_is_dropped(client: Client, behind: Behind, guard: Guard) -> None:
    client.ask([b"x" * 1000, b"y"], leaves=True)
    assert not behind.scopes
    assert guard._room.taken == 0


def test_memory_is_held_while_litellm_works_and_then_given_back(behind: Behind, keys: KnownKeys) -> None:
    room = Room(total=4_000_000)
    guard = Guard(behind, keys, Rules(frozenset({"test-model"}), Bounds()), Strangers(), room)
    body = json.dumps({"model": "test-model", "messages": [], "system": "x" * 1_500_000}).encode()
    seen: list[int] = []

    def meanwhile() -> None:
        seen.append(room.taken)

    behind.during = meanwhile
    assert Client(guard).ask(body) == 200
    assert seen == [len(body)]
    assert room.taken == 0
    room.take("acme", 1_000_000)
    assert Client(guard).ask(body) == 529, "a tenant gets at most half of the room"
    assert Client(guard).ask() == 200, "a small request always passes"


@pytest.mark.parametrize(
    "path", ["/usage", "/usage/page.js", "/gateway/usage", "/api/hello", "/console", "/console/state"]
)
def test_a_replica_says_that_only_a_gateway_process_answers(client: Client, behind: Behind, path: str) -> None:
    """nginx asks a replica when no gateway process takes the connection. The key is not asked for."""
    assert client.ask(b"", path=path, method="GET", key=None) == 503
    assert not behind.scopes
