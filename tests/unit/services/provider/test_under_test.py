"""A deployment's embedded provider does not obey dials, does not keep prompts and does not show them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from tests.support.site import dials_on, new_home
from tollgate.config.env.settings import Settings
from tollgate.services.provider.app import create_app
from tollgate.site import Site
from tollgate.stack import configuration

ROOT = Site.here().root
KEY = {"authorization": "Bearer sk-of-a-tenant"}
PROMPT = "a tenant's secret words"


def client(**how: bool) -> TestClient:
    app = create_app(**how)

    async def served(scope: Any, receive: Any, send: Any) -> None:
        await app({**scope, "state": {"reset": None}}, receive, send)  # as the provider's own server does

    return TestClient(served)


def ask(to: TestClient, route: str, words: str, model: str = "test-model", **headers: str) -> Any:
    body = {"model": model, "max_tokens": 400, "messages": [{"role": "user", "content": words}]}
    return to.post(route, json=body, headers={**KEY, **headers})


ROUTES = ["/v1/chat/completions", "/v1/messages"]


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("dial", ["status=503", "tokens=77", "drop", "refuse=content", "context=1", "nonsense=1"])
def test_dials_are_plain_text_of_the_prompt(route: str, dial: str) -> None:
    plain = client()
    answers = [
        ask(plain, route, f"hello [[{dial}]]"),
        ask(plain, route, "hello", **{"x-tollgate-dial": dial}),
        ask(plain, route, "hello", model=f"test-model+{dial}"),
    ]
    assert [answer.status_code for answer in answers] == [200] * 3
    assert dial in answers[0].text, "the answer has the tenant's text unchanged"


@pytest.mark.parametrize("route", ROUTES)
def test_twin_under_test_they_are_obeyed(route: str) -> None:
    assert ask(client(under_test=True), route, "hello [[status=503]]").status_code == 503


@pytest.mark.parametrize("path", ["/_recorded", "/_recorded?limit=5", "/_recorded/", "//_recorded", "/%5Frecorded"])
def test_no_prompt_can_be_read_back(path: str) -> None:
    plain = client()
    for route in ROUTES:
        ask(plain, route, PROMPT)
    for method in ("GET", "DELETE", "POST"):
        answer = plain.request(method, path, headers=KEY)
        assert answer.status_code in (404, 405)
        assert PROMPT not in answer.text
    assert plain.get("/_health").json() == {"status": "ok"}


def test_no_prompt_is_kept_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    from tollgate.services.provider import app

    recorders = []
    original = app.Recorder

    def remember(**limits: int) -> Any:
        recorders.append(original(**limits))
        return recorders[-1]

    monkeypatch.setattr(app, "Recorder", remember)
    ask(client(), "/v1/messages", PROMPT)
    assert recorders[0].seen == 1
    assert recorders[0].latest(10) == []


def test_twin_under_test_they_can_be_read() -> None:
    tested = client(under_test=True)
    ask(tested, "/v1/messages", PROMPT)
    assert PROMPT in tested.get("/_recorded").text


def test_the_option_is_off_by_default() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tollgate.services.provider", "--help"], capture_output=True, text=True, check=True
    )
    assert "(default: no)" in " ".join(done.stdout.split())


@pytest.mark.parametrize("name", ["PROVIDER_UNDER_TEST", "UNDER_TEST", "EMBEDDED_PROVIDER_UNDER_TEST"])
def test_neither_env_nor_the_environment_turns_it_on(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only a file that tests/support writes turns it on."""
    assert name not in {str(field.alias) for field in Settings.model_fields.values()}
    monkeypatch.setenv(name, "yes")
    site = new_home(tmp_path / "home")
    assert name not in configuration.overrides()
    assert not site.under_test
    dials_on(site.home)
    assert site.under_test


def test_only_tests_write_that_file() -> None:
    name = "embedded-provider-under-test"
    holders = [
        path for folder in ("src", "scripts", "compose", "config", "images") for path in (ROOT / folder).rglob("*")
        if path.is_file() and path.suffix not in (".pyc", ".md") and name in path.read_text(errors="replace")
    ]  # fmt: skip
    assert [path.name for path in holders] == ["site.py"], "site.py looks for the file, nothing creates it"
    assert name not in (ROOT / "Makefile").read_text()


def test_basic_has_no_such_switch() -> None:
    assert "under-test" not in (ROOT / "compose" / "basic.yaml").read_text()
