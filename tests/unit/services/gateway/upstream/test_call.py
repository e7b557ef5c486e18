"""The headers that an upstream gets: the client's by list, and never its credential."""

from __future__ import annotations

import pytest

from tests.unit.services.gateway.process import target
from tollgate.services.gateway.catalogue import Protocol
from tollgate.services.gateway.upstream.call import headers

KEY = "sk-acme-0123456789"
CLIENT = [
    (b"Authorization", f"Bearer {KEY}".encode()),
    (b"x-api-key", KEY.encode()),
    (b"cookie", KEY.encode()),
    (b"proxy-authorization", KEY.encode()),
    (b"x-goog-api-key", KEY.encode()),
    (b"api-key", KEY.encode()),
    (b"host", b"gateway"),
    (b"content-length", b"5"),
    (b"transfer-encoding", b"chunked"),
    (b"accept-encoding", b"br"),
    (b"x-forwarded-for", b"10.0.0.1"),
    (b"x-request-id", b"1"),
    (b"anthropic-version", b"2099-01-01"),
    (b"anthropic-beta", b"one"),
    (b"Anthropic-Beta", b"two,three"),
    (b"x-stainless-lang", b"js"),
    (b"x-claude-code-session-id", b"abc"),
    (b"user-agent", b"claude-cli/2.1.332"),
    (b"x-app", b"cli"),
]


@pytest.mark.parametrize("protocol", list(Protocol))
@pytest.mark.parametrize("anthropic", [True, False])
@pytest.mark.parametrize("credential", ["", "sk-provider"])
def test_the_clients_credential_never_passes(protocol: Protocol, anthropic: bool, credential: str) -> None:
    sent = headers(target("one", {}, anthropic=anthropic), protocol, credential, CLIENT)
    assert KEY not in str(sent)
    given = credential or "none"
    expected = {"x-api-key": given} if anthropic else {"authorization": f"Bearer {given}"}
    assert {name: sent[name] for name in sent if name in ("x-api-key", "authorization")} == expected


def test_a_messages_upstream_gets_version_betas_and_the_clients_name() -> None:
    sent = headers(target("one", {}), Protocol.MESSAGES, "sk-provider", CLIENT)
    assert sent == {
        "content-type": "application/json",
        "accept-encoding": "identity",
        "x-api-key": "sk-provider",
        "anthropic-version": "2099-01-01",
        "anthropic-beta": "one, two,three",
        "x-stainless-lang": "js",
        "x-claude-code-session-id": "abc",
        "user-agent": "claude-cli/2.1.332",
        "x-app": "cli",
    }


def test_a_client_without_a_version_gets_the_usual_one() -> None:
    assert headers(target("one", {}), Protocol.MESSAGES, "", [])["anthropic-version"] == "2023-06-01"


def test_a_chat_upstream_gets_nothing_of_the_client() -> None:
    sent = headers(target("one", {}, anthropic=False), Protocol.CHAT, "sk-provider", CLIENT)
    assert sent.keys() == {"content-type", "accept-encoding", "authorization"}


def test_the_targets_own_headers_win() -> None:
    one = target("one", {}, headers={"Anthropic-Beta": "ours", "X-Team": "acme"})
    sent = headers(one, Protocol.MESSAGES, "", CLIENT)
    assert (sent["anthropic-beta"], sent["x-team"]) == ("ours", "acme")
