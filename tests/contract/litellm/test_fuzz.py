"""No request to a public route is answered with a 500: schemathesis through nginx, with a tenant's key."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from wsgiref.simple_server import WSGIRequestHandler, make_server

import pytest

from tests.contract.litellm.gateway import Gateway
from tests.contract.litellm.tenants import Tenants, key_of, wanted
from tests.contract.nginx.edge import Edge, Images, Limits, render
from tests.support import plain
from tests.support.eventually import eventually
from tests.support.fuzz import described, fuzz
from tests.support.images import image

pytestmark = pytest.mark.docker

EXAMPLES = 25
TURN = {"messages": [{"role": "user", "content": "hello"}]}
PLAIN = {
    "/v1/messages": {**TURN, "max_tokens": 20},
    "/v1/messages/count_tokens": TURN,
    "/v1/chat/completions": TURN,
    "/v1/embeddings": {"input": "hello"},
}


@pytest.fixture
def door(running: Gateway, tmp_path: Path) -> Iterator[str]:
    """nginx in front of the session's replica; its public address."""
    replica = running.containers["litellm-1"].get_wrapped_container()
    replica.reload()
    (name,) = replica.attrs["NetworkSettings"]["Networks"]
    tmp_path.chmod(0o755)
    render(tmp_path, Limits(), 1, {}, "")
    with ExitStack() as cleanup:
        images = Images(nginx=image("NGINX_IMAGE"), python="")
        edge = Edge(images, tmp_path, SimpleNamespace(name=name), cleanup, "64m")  # type: ignore[arg-type]
        edge.start_nginx()
        edge.wait_until_open()
        yield edge.url


def test_no_request_to_a_public_route_is_answered_with_a_500(door: str, tenants: Tenants) -> None:
    tenants.apply(wanted("tenant: {id: beta}\nallowed_models: [test-model]"))
    headers = {"Authorization": f"Bearer {key_of('beta').reveal()}"}
    for path, body in PLAIN.items():
        answer = plain.post(door + path, json={"model": "test-model", **body}, headers=headers, timeout=60)
        assert answer.status_code == 200, "twin: the key opens the door that the others stand before"
    result = fuzz(described(), door, key_of("beta").reveal(), EXAMPLES)
    # The embedded provider lacks this route, like OpenAI's newer models. The answer is a 502 that says so.
    missing = [line for line in result.failed if line.startswith("POST /v1/completions") and "model_missing" in line]
    assert [line for line in result.failed if line not in missing] == []
    assert {status for _, _, status in result.seen} >= {200, 400}
    assert sum(result.seen.values()) > 10 * EXAMPLES


def test_a_models_name_and_a_header_cannot_forge_a_log_line(running: Gateway, tenants: Tenants) -> None:
    tenants.apply(wanted("tenant: {id: beta}\nallowed_models: [test-model]"))
    forged = '\n{"message": "forged-by-a-client", "level": "INFO"}\n\x1b[2J'
    headers = {"Authorization": f"Bearer {key_of('beta').reveal()}", "User-Agent": "forged-by-a-client\\n{}"}
    for path in ("/v1/messages", "/v1/chat/completions"):
        body = {"model": forged, "max_tokens": 5, "messages": [{"role": "user", "content": forged}]}
        assert plain.post(running.url + path, json=body, headers=headers, timeout=60).status_code == 400

    def logged() -> str:
        return b"\n".join(running.containers["litellm-1"].get_logs()).decode()

    running.get(key_of("beta"), "/v1/models/mark-after-forging")
    eventually(lambda: "mark-after-forging" in logged(), within=20)
    lines = [line for line in logged().splitlines() if "forged-by-a-client" in line]
    assert [line for line in lines if "\x1b" in line] == []
    # The text is inside LiteLLM's own log entries, but is not an entry itself.
    assert [line for line in lines if line.strip().startswith('{"message": "forged')] == []


class Quiet(WSGIRequestHandler):
    def log_message(self, *_: object) -> None:
        """Nothing."""


def test_twin_a_route_that_fails_is_found() -> None:
    """A server that fails if `n` is 0, and answers in another form than ours if it is negative."""

    def application(environ, start):  # type: ignore[no-untyped-def]
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0)).decode()
        status = "500 Oops" if '"n": 0' in body else "400 Bad" if '"n": -' in body else "200 OK"
        start(status, [("Content-Type", "text/plain")])
        return [b"words"]

    number = {"type": "object", "required": ["n"], "properties": {"n": {"type": "integer"}}}
    body = {"required": True, "content": {"application/json": {"schema": number}}}
    route = {"post": {"requestBody": body, "responses": {"200": {"description": "fine"}}}}
    description = {"openapi": "3.1.0", "info": {"title": "x", "version": "1"}, "paths": {"/v1/messages": route}}
    with make_server("127.0.0.1", 0, application, handler_class=Quiet) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            result = fuzz(description, f"http://127.0.0.1:{server.server_port}", "sk-x", EXAMPLES)
        finally:
            server.shutdown()
    assert any("500 words" in line for line in result.failed)
    assert any("400 is no JSON" in line for line in result.failed)
