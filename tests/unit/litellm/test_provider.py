"""The provider with a small fake of LiteLLM's API; tests/contract/litellm uses the real LiteLLM."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import httpx
import pytest

from tollgate.config.secret import Secret
from tollgate.errors import TollgateError
from tollgate.litellm import client as client_module
from tollgate.litellm.client import Client
from tollgate.litellm.fields import key_fields
from tollgate.litellm.provider import LiteLLMTenants
from tollgate.litellm.state import Key, Limits, Team
from tollgate.reconcile.desired import key_hash
from tollgate.render.nginx import ROUTES

MASTER = Secret("sk-master-0123456789abcdef0123456789")
TENANT = Secret("sk-tenant-0123456789abcdef0123456789")
Handler = Callable[[httpx.Request], httpx.Response]


@pytest.fixture(autouse=True)
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    taken: list[float] = []
    monkeypatch.setattr(client_module.time, "sleep", taken.append)
    return taken


def client(handler: Handler) -> Client:
    return Client("http://127.0.0.1:4001", MASTER, httpx.MockTransport(handler))


# ---- provider


class Fake:
    """The part of the management API that the provider uses. It ignores the fields in `drops`, as LiteLLM does."""

    def __init__(self, drops: frozenset[str] = frozenset()) -> None:
        self.drops = drops
        self.teams: dict[str, dict[str, Any]] = {}
        self.keys: dict[str, dict[str, Any]] = {}
        self.calls: list[tuple[str, dict[str, Any]]] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        path, query = request.url.path, request.url.params
        if request.method == "GET":
            return self._read(path, dict(query))
        body = json.loads(request.content)
        if path == "/v2/key/info":
            rows = [dict(self.keys[name]) for name in body["keys"] if name in self.keys]
            for row in rows:
                del row["token"]
            return httpx.Response(200, json={"info": rows})
        self.calls.append((path, body))
        fields = {name: value for name, value in body.items() if name not in self.drops}
        match path:
            case "/team/new":
                self.teams[body["team_id"]] = fields
                return httpx.Response(200, json=fields)
            case "/team/update":
                self.teams[body["team_id"]] |= fields
            case "/team/delete":
                for name in body["team_ids"]:
                    del self.teams[name]
            case "/key/generate":
                token = key_hash(Secret(body["key"]))
                self.keys.setdefault(token, {**fields, "token": token})
            case "/key/update":
                self.keys[body["key"]] |= {name: value for name, value in fields.items() if name != "key"}
            case "/key/block":
                self.keys[body["key"]]["blocked"] = True
            case "/key/delete":
                for name in body["keys"]:
                    del self.keys[name]
        return httpx.Response(200, json={})

    def _read(self, path: str, query: dict[str, str]) -> httpx.Response:
        match path:
            case "/v2/team/list":
                return httpx.Response(200, json={"teams": list(self.teams.values()), "total_pages": 1})
            case "/key/list":
                return httpx.Response(200, json={"keys": list(self.keys.values()), "total_pages": 1})
            case "/team/info":
                row, name = self.teams.get(query["team_id"]), "team_info"
            case _:
                row, name = self.keys.get(query["key"]), "info"
        return httpx.Response(200, json={name: row}) if row else httpx.Response(404, json={})


ACME = Team("acme", "Acme", ("test-model",), Limits(daily_limit=1.0, requests_per_minute=60))
KEY = Key(key_hash(TENANT), "acme", "acme/default/01234567", "default")


def provider(fake: Fake) -> LiteLLMTenants:
    return LiteLLMTenants(client(fake), {key_hash(TENANT): TENANT})


def test_written_objects_are_observed() -> None:
    fake = Fake()
    provider(fake).apply_change(None, ACME)
    provider(fake).apply_change(None, KEY)

    state = provider(fake).observe()

    assert (state.teams, state.keys) == ({"acme": ACME}, {KEY.id: KEY})
    assert [call[1]["metadata"] for call in fake.calls] == [
        {"managed_by": "tollgate", "limits": {"daily_limit": 1.0, "requests_per_minute": 60}},
        {"managed_by": "tollgate", "name": "default"},
    ]


def test_objects_without_our_mark_are_only_listed() -> None:
    fake = Fake()
    fake.teams["theirs"] = {"team_id": "theirs", "metadata": None}
    fake.keys["h"] = {"token": "h", "team_id": "theirs", "metadata": {}}

    state = provider(fake).observe()

    assert (dict(state.teams), dict(state.keys)) == ({}, {})
    assert (state.unmanaged_teams, state.unmanaged_keys) == ({"theirs": ""}, {"h": ""})


@pytest.mark.parametrize("field", ["models", "team_alias"])
def test_a_field_that_litellm_drops_is_an_error(field: str) -> None:
    with pytest.raises(TollgateError, match="team acme: LiteLLM accepted the change but did not make it"):
        provider(Fake(frozenset({field}))).apply_change(None, ACME)


def test_a_write_that_stores_nothing_is_an_error() -> None:
    fake = Fake()
    fake.keys = type("Forgetful", (dict,), {"setdefault": lambda *_: None})()

    with pytest.raises(TollgateError, match="reported success, but does not have it"):
        provider(fake).apply_change(None, KEY)


def test_an_update_sends_only_changed_fields() -> None:
    fake = Fake()
    provider(fake).apply_change(None, ACME)

    provider(fake).apply_change(ACME, replace(ACME, limits=replace(ACME.limits, requests_per_minute=30)))

    limits = {"daily_limit": 1.0, "requests_per_minute": 30}
    metadata = {"managed_by": "tollgate", "limits": limits}
    assert fake.calls[-1] == ("/team/update", {"team_id": "acme", "metadata": metadata})


def test_one_call_reads_many_keys_back_and_reports_each_wrong_key() -> None:
    fake, asked = Fake(), []

    def counted(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.path)
        return fake(request)

    secrets = [Secret(f"sk-{number}-0123456789abcdef") for number in range(5)]
    keys = [Key(key_hash(secret), "acme", f"acme/{number}/x", str(number)) for number, secret in enumerate(secrets)]
    many = LiteLLMTenants(client(counted), dict(zip((key.id for key in keys), secrets, strict=True)))
    for key in keys:
        many.write(None, key)
    assert asked == ["/key/generate"] * 5
    assert list(many.confirm(keys)) == []
    assert asked[5:] == ["/v2/key/info"]

    fake.keys[keys[1].id]["rpm_limit"] = 7
    fake.keys[keys[2].id]["metadata"] = {}
    fake.keys[keys[3].id]["key_alias"] = "another"
    del fake.keys[keys[4].id]
    wrong = {key.name: error.message for key, error in many.confirm(keys)}

    assert wrong.keys() == {"1", "2", "3", "4"}
    assert "stray is" in wrong["1"] and "lost Tollgate's mark" in wrong["2"] and "alias is" in wrong["3"]
    assert "does not have it" in wrong["4"]


@pytest.mark.parametrize("metadata", [{}, {"managed_by": "tollgate"}])
def test_a_key_that_litellm_already_has_is_not_treated_as_ours(metadata: dict[str, Any]) -> None:
    fake = Fake()
    fake.keys[KEY.id] = theirs = {"token": KEY.id, "team_id": "theirs", "metadata": metadata}

    with pytest.raises(TollgateError, match="LiteLLM has this key already, in team theirs"):
        provider(fake).apply_change(None, KEY)
    assert fake.keys[KEY.id] == theirs


def test_a_key_without_its_plain_text_is_not_created() -> None:
    with pytest.raises(TollgateError, match="its plain text is missing"):
        LiteLLMTenants(client(Fake()), {}).apply_change(None, KEY)


def test_a_key_is_blocked_by_the_call_that_reaches_every_replica() -> None:
    fake = Fake()
    provider(fake).apply_change(None, KEY)

    provider(fake).apply_change(KEY, replace(KEY, blocked=True))

    assert fake.calls[-1] == ("/key/block", {"key": KEY.id})


def test_a_key_is_blocked_before_it_is_deleted() -> None:
    fake = Fake()
    provider(fake).apply_change(None, KEY)

    provider(fake).apply_change(KEY, None)

    assert [path for path, _ in fake.calls[-2:]] == ["/key/block", "/key/delete"]
    assert fake.keys == {}


@pytest.mark.parametrize("subject", [ACME, KEY])
def test_an_object_that_lost_our_mark_is_not_deleted(subject: Team | Key) -> None:
    fake = Fake()
    provider(fake).apply_change(None, subject)
    for row in (*fake.teams.values(), *fake.keys.values()):
        row["metadata"] = {}

    with pytest.raises(TollgateError, match="has lost Tollgate's mark"):
        provider(fake).apply_change(subject, None)
    assert fake.teams or fake.keys


@pytest.mark.parametrize("created", [False, True])
def test_a_failed_team_creation_is_retried_only_if_the_team_does_not_exist(
    created: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake, failures = Fake(), iter([500])
    monkeypatch.setattr("tollgate.litellm.provider.time.sleep", lambda _: None)

    def failing_once(request: httpx.Request) -> httpx.Response:
        if request.url.path != "/team/new" or next(failures, None) is None:
            return fake(request)
        if created:
            fake(request)
        return httpx.Response(500, json={"error": {"message": "Transaction already closed"}})

    LiteLLMTenants(client(failing_once), {}).apply_change(None, ACME)

    assert provider(fake).observe().teams == {"acme": ACME}
    assert len(fake.calls) == 1


def test_twin_a_refused_team_is_not_retried() -> None:
    asked: list[str] = []

    def refuses(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.path)
        return httpx.Response(400, json={"error": {"message": "Team id = acme already exists"}})

    with pytest.raises(TollgateError, match="already exists"):
        LiteLLMTenants(client(refuses), {}).apply_change(None, ACME)
    assert asked == ["/team/new"]


def test_a_team_with_a_key_that_is_not_ours_is_not_deleted() -> None:
    fake = Fake()
    provider(fake).apply_change(None, ACME)
    fake.keys["h"] = {"token": "h", "team_id": "acme", "key_alias": "theirs", "metadata": {}}

    with pytest.raises(TollgateError, match=r"team acme: it has 1 key\(s\) that Tollgate did not make: theirs"):
        provider(fake).apply_change(ACME, None)
    del fake.keys["h"]
    provider(fake).apply_change(ACME, None)
    assert fake.teams == {}


def test_a_key_may_call_what_nginx_lets_through_and_nothing_else() -> None:
    let_through = {route.path for route in ROUTES} | {route.upstream for route in ROUTES}

    assert key_fields(KEY)["models"] == ["all-team-models"]
    # nginx rewrites the path that clients of another gateway use; one model by its name is a pattern in nginx.conf.j2.
    assert set(key_fields(KEY)["allowed_routes"]) == let_through - {"/v1/messages/stream"} | {"/v1/models/*"}
