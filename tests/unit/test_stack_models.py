"""`tollgate models`: what is listed without a stack, and how states, prices and answers are put into words."""

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
from tollgate.stack import configuration, models, secrets
from tollgate.stack.compose import Compose
from tollgate.stack.models import Running

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
    found = models._states(
        _series(("a", "1", 0), ("a", "2", 0), ("b", "1", 1), ("b", "2", 0), ("c", "1", 1), ("c", "2", 2), ("d", "1", 2))
    )
    assert found == {"a": "healthy", "b": "healthy on 1 of 2 replicas", "c": "failing", "d": "down"}


def test_without_a_stack_it_says_what_would_be_served(loaded: configuration.Configuration) -> None:
    listed = {row.name: row for row in models.rows(loaded, Running())}
    assert [target.state for target in listed["two"].targets] == ["not running", "not running"]
    assert listed["two"].aliases == ("big",)
    assert listed["test-model"].targets[0].price == "1 / 5"
    assert listed["auto"].cheapest_of == ("test-model",)
    assert "ANTHROPIC_API_KEY" in listed["away"].left_out
    assert listed["gone"].left_out == "stands for away, which is left out"


def test_with_a_stack_each_target_has_its_state_and_litellms_price(loaded: configuration.Configuration) -> None:
    info = {"id": "two:embedded", "input_cost_per_token": 1e-6, "output_cost_per_token": 2e-6}
    running = Running({"two:embedded": {"model_info": info}}, {"two:embedded": "healthy"}, there=True)
    listed = {row.name: row for row in models.rows(loaded, running)}
    first, second = listed["two"].targets
    assert (first.state, first.price) == ("healthy", "1 / 2")
    assert (second.id, second.state) == ("two:embedded+", "not deployed yet")
    assert listed["test-model"].targets[0].state == "not deployed yet"


def test_a_model_is_tested_target_by_target(loaded: configuration.Configuration) -> None:
    assert [identity for identity, _, _ in models.to_test(loaded, "big")] == ["two:embedded", "two:embedded+"]
    assert [identity for identity, _, _ in models.to_test(loaded, "auto")] == ["test-model:embedded"]
    with pytest.raises(TollgateError, match="away is not served"):
        models.to_test(loaded, "away")
    with pytest.raises(TollgateError, match="no model or alias is named nothing"):
        models.to_test(loaded, "nothing")


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
def test_an_answer_is_understood(body: dict[str, object], ok: bool, called: bool) -> None:
    answer = models._understood("a:b", "b/a", body, 12, embedding=False)
    assert (answer.ok, answer.tool_call, answer.milliseconds) == (ok, called, 12)


def test_the_command_lists_for_scripts_too(tmp_path: Path) -> None:
    site = new_home(tmp_path / "home")
    site.gateway_file.write_text(CATALOGUE)
    done = CliRunner().invoke(app, ["--home", str(site.home), "models", "--json"])
    assert done.exit_code == 0, done.output
    listed = json.loads(done.output)
    assert not listed["running"]
    assert {row["name"] for row in listed["models"]} == {"test-model", "two", "away", "auto", "gone"}


def test_a_target_that_one_replica_cannot_reach_is_not_called_down(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is asked of the running stack keeps its replicas apart."""

    class Stack:
        rendered = True

        def running(self) -> list[str]:
            return ["nginx", "prometheus"]

        def address(self, service: str, port: int) -> tuple[str, int]:
            return "127.0.0.1", port

    def answer(_: str, path: str, query: dict[str, str] | None = None, key: object = None) -> object:
        if path == "/model/info":
            return {"data": [{"model_info": {"id": "a"}}]}
        assert query == {"query": "litellm_deployment_state"}
        return {"data": {"result": _series(("a", "1", 2), ("a", "2", 0), ("a", "3", 0))}}

    site = new_home(tmp_path / "home")
    secrets.ensure(site)
    monkeypatch.setattr(models, "_get", answer)
    assert models.look(site, Stack()).states == {"a": "healthy on 2 of 3 replicas"}  # type: ignore[arg-type]


def test_before_a_first_deploy_a_test_says_so(tmp_path: Path) -> None:
    site = new_home(tmp_path / "home")
    done = CliRunner().invoke(app, ["--home", str(site.home), "models", "test", "test-model"])
    assert isinstance(done.exception, TollgateError)
    assert done.exception.message == "nothing is deployed here yet"


def test_a_target_that_does_not_answer_is_told_in_seconds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site = new_home(tmp_path / "home")
    secrets.ensure(site)
    monkeypatch.setattr(models, "TIMEOUT", httpx.Timeout(0.2))
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = silent.getsockname()
        monkeypatch.setattr(models, "_admin", lambda _: "http://{}:{}".format(*address))
        model = configuration.load(site).catalogue.models["test-model"]
        answer = models.ask(site, Compose.core(site, "none"), "test-model:embedded", "embedded/test-model", model)
    assert (answer.ok, answer.said) == (False, "no answer within 0.2 s")
