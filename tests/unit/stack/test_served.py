"""`tollgate models`: its list with and without a stack, and the words for states, prices and answers."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner

from tests.support.site import new_home
from tollgate.cli.app import app
from tollgate.errors import TollgateError
from tollgate.stack import configuration, served
from tollgate.stack.containers.compose import Compose
from tollgate.stack.deployment import Deployment
from tollgate.stack.secrets import store as secrets
from tollgate.stack.served import Running

CATALOGUE = """
models:
  test-model: {targets: [{model: embedded/test-model}], price: {input_per_million: 1, output_per_million: 5}}
  two:
    targets: [{model: embedded/a}, {model: embedded/b, order: 2}]
    price: litellm
  away: {targets: [{model: anthropic/x}], price: free}
aliases: {big: two, gone: away}
cheapest: {auto: {models: [test-model]}}
"""


@pytest.fixture
def loaded(tmp_path: Path) -> configuration.Configuration:
    site = new_home(tmp_path / "home")
    site.gateway_file.write_text(CATALOGUE)
    return configuration.load(site)


def _series(*values: tuple[str, str, int]) -> list[dict[str, object]]:
    return [{"metric": {"model_id": target, "replica": replica}, "value": [0, str(n)]} for target, replica, n in values]


def test_a_state_is_one_word_for_all_replicas() -> None:
    states = served._states(
        _series(("a", "1", 0), ("a", "2", 0), ("b", "1", 1), ("b", "2", 0), ("c", "1", 1), ("c", "2", 2), ("d", "1", 2))
    )
    assert states == {"a": "healthy", "b": "healthy on 1 of 2 replicas", "c": "failing", "d": "down"}


def test_without_a_stack_the_configured_models_are_listed(loaded: configuration.Configuration) -> None:
    listed = {row.name: row for row in served.rows(loaded, Running())}
    assert [target.state for target in listed["two"].targets] == ["not running", "not running"]
    assert listed["two"].aliases == ("big",)
    assert listed["test-model"].targets[0].price == "1 / 5"
    assert listed["auto"].cheapest_of == ("test-model",)
    assert "ANTHROPIC_API_KEY" in listed["away"].left_out
    assert listed["gone"].left_out == "stands for away, which is left out"


def test_with_a_stack_each_target_has_its_state_and_litellms_price(loaded: configuration.Configuration) -> None:
    info = {"id": "two:embedded", "input_cost_per_token": 1e-6, "output_cost_per_token": 2e-6}
    running = Running({"two:embedded": {"model_info": info}}, {"two:embedded": "healthy"}, there=True)
    listed = {row.name: row for row in served.rows(loaded, running)}
    first, second = listed["two"].targets
    assert (first.state, first.price) == ("healthy", "1 / 2")
    assert (second.id, second.state) == ("two:embedded+", "not deployed yet")
    assert listed["test-model"].targets[0].state == "not deployed yet"


def test_a_model_is_tested_target_by_target(loaded: configuration.Configuration) -> None:
    assert [identity for identity, _, _ in served.to_test(loaded, "big")] == ["two:embedded", "two:embedded+"]
    assert [identity for identity, _, _ in served.to_test(loaded, "auto")] == ["test-model:embedded"]
    with pytest.raises(TollgateError, match="away is not served"):
        served.to_test(loaded, "away")
    with pytest.raises(TollgateError, match="no model or alias is named nothing"):
        served.to_test(loaded, "nothing")


@pytest.mark.parametrize(
    ("body", "ok", "called"),
    [
        (
            {"content": [{"type": "tool_use", "name": "ls"}], "usage": {"input_tokens": 3, "output_tokens": 4}},
            True,
            True,
        ),
        ({"content": [{"type": "text", "text": "no"}], "usage": {"input_tokens": 3, "output_tokens": 4}}, True, False),
        ({"content": [], "usage": {}}, False, False),
    ],
    ids=["tool", "text", "nothing"],
)
def test_an_answer_is_parsed(body: dict[str, object], ok: bool, called: bool) -> None:
    answer = served._parse_answer("a:b", "b/a", body, 12, embedding=False)
    assert (answer.ok, answer.tool_call, answer.milliseconds) == (ok, called, 12)


def test_models_json_lists_every_name(tmp_path: Path) -> None:
    site = new_home(tmp_path / "home")
    site.gateway_file.write_text(CATALOGUE)
    done = CliRunner().invoke(app, ["--home", str(site.home), "models", "--json"])
    assert done.exit_code == 0, done.output
    listed = json.loads(done.output)
    assert not listed["running"]
    assert {row["name"] for row in listed["models"]} == {"test-model", "two", "away", "auto", "gone"}


def test_a_target_that_one_replica_cannot_reach_is_not_down(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The query to Prometheus does not merge the replicas."""

    def answer(_: str, path: str, query: dict[str, str] | None = None, key: object = None) -> object:
        if path == "/model/info":
            return {"data": [{"model_info": {"id": "a"}}]}
        assert query == {"query": "litellm_deployment_state"}
        return {"data": {"result": _series(("a", "1", 2), ("a", "2", 0), ("a", "3", 0))}}

    site = new_home(tmp_path / "home")
    secrets.ensure(site)
    monkeypatch.setattr(served, "_get", answer)
    monkeypatch.setattr(Compose, "rendered", True)
    monkeypatch.setattr(Compose, "running", lambda _: ["nginx", "prometheus"])
    monkeypatch.setattr(Compose, "address", lambda _, service, port: ("127.0.0.1", port))
    assert served.look(Deployment.of(site)).states == {"a": "healthy on 2 of 3 replicas"}


def test_a_model_test_before_the_first_deploy_is_refused(tmp_path: Path) -> None:
    site = new_home(tmp_path / "home")
    done = CliRunner().invoke(app, ["--home", str(site.home), "models", "test", "test-model"])
    assert isinstance(done.exception, TollgateError)
    assert done.exception.message == "nothing is deployed here yet"


def test_a_target_that_does_not_answer_ends_in_a_timeout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site = new_home(tmp_path / "home")
    secrets.ensure(site)
    monkeypatch.setattr(served, "TIMEOUT", httpx.Timeout(0.2))
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = silent.getsockname()
        monkeypatch.setattr(Compose, "address", lambda *_: address)
        model = configuration.load(site).catalogue.models["test-model"]
        answer = served.ask(Deployment.of(site), "test-model:embedded", "embedded/test-model", model)
    assert (answer.ok, answer.said) == (False, "no answer within 0.2 s")
