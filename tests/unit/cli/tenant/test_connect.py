"""`tenant connect` and `tenant key`: what a member pastes, and keys for each person."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.cli import Run, tollgate
from tests.support.site import new_home
from tollgate.site import Site

TEXT = "# Mia's.\ntenant: {id: acme}\nallowed_models: [test-model]\nbudget: {daily_limit: 10}\n"


@pytest.fixture
def site(tmp_path: Path) -> Site:
    made = new_home(tmp_path / "home")
    assert tollgate(made, "tenant", "create", "acme", "10", "test-model").code == 0
    (made.tenants_dir / "acme.yaml").write_text(TEXT)
    return made


def connect(site: Site, *words: str) -> Run:
    return tollgate(site, "tenant", "connect", "acme", *words)


def key_add(site: Site, *words: str) -> Run:
    return tollgate(site, "tenant", "key", "add", "acme", *words)


def secret(site: Site, name: str = "acme") -> str:
    return (site.secrets_dir / "tenants" / name).read_text().strip()


@pytest.mark.parametrize("form", ["env", "settings", "managed", "helper"])
def test_the_key_is_shown_only_when_asked_for(site: Site, form: str) -> None:
    quiet, loud = connect(site, "--format", form), connect(site, "--format", form, "--show-key")
    assert (quiet.code, loud.code) == (0, 0)
    assert secret(site) not in quiet.out + quiet.err
    assert (secret(site) in loud.out) is (form != "managed")


def test_notes_go_to_standard_error(site: Site) -> None:
    done = connect(site, "--format", "settings", "--base-url", "https://gw.example/")
    assert json.loads(done.out)["env"]["ANTHROPIC_BASE_URL"] == "https://gw.example"
    assert "~/.claude/settings.json" in done.err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--base-url", "http://gw:4000/v1"], "expected an address without /v1, which clients add"),
        (["--base-url", "gw:4000"], "expected http://HOST:PORT, found 'gw:4000'"),
        (["--base-url", "http://me:secret@gw"], "expected only an address"),
        (["--key", "bob"], "acme has no key 'bob'\nhint:  its keys: default"),
    ],
)
def test_an_address_or_key_that_cannot_work_is_refused(site: Site, words: list[str], message: str) -> None:
    done = connect(site, *words)
    assert (done.code, done.out) == (1, "")
    assert message in done.err


def test_a_key_without_a_file_needs_show_key(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACME_KEY", "sk-from-the-environment")
    (site.tenants_dir / "acme.yaml").write_text(TEXT.replace("{id: acme}", "{id: acme, api_key: env:ACME_KEY}"))
    done = connect(site)
    assert done.code == 1 and "comes from env:ACME_KEY, not from a file" in done.err and "--show-key" in done.err
    assert "sk-from-the-environment" in connect(site, "--show-key").out


def test_key_add_gives_a_person_a_key(site: Site) -> None:
    done = key_add(site, "alice", "--owner", "alice@acme.example", "--expires", "2098-01-31", "--daily", "2")
    assert done.code == 0
    assert done.out.count(secret(site, "acme.alice")) == 1
    assert (site.tenants_dir / "acme.yaml").read_text() == TEXT.replace(
        "{id: acme}\n",
        '{id: acme}\n\nkeys:\n  - name: alice\n    owner: alice@acme.example\n    expires: "2098-01-31"\n'
        "    budget:\n      daily_limit: 2\n",
    )
    assert "--key alice" in done.out
    listed = tollgate(site, "tenant", "key", "list", "acme", "--json").json
    assert [row["name"] for row in listed] == ["default", "alice"]
    assert listed[1]["source"] == "secrets/tenants/acme.alice"
    assert secret(site, "acme.alice") in connect(site, "--key", "alice", "--show-key").out
    assert secret(site, "acme.alice") not in tollgate(site, "tenant", "key", "list", "acme").out


def test_a_removed_key_leaves_the_file_as_it_was(site: Site) -> None:
    assert key_add(site, "alice").code == 0
    assert tollgate(site, "tenant", "key", "remove", "acme", "alice", typed="n\n").code == 1
    assert tollgate(site, "tenant", "key", "remove", "acme", "alice", "--yes").code == 0
    assert (site.tenants_dir / "acme.yaml").read_text() == TEXT


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["add", "acme", "default"], "acme has a key default already"),
        (["add", "acme", "A b"], "NAME: expected lower-case letters"),
        (["add", "acme", "bob", "--expires", "soon"], "keys[0].expires: expected a date"),
        (
            ["add", "acme", "bob", "--expires", "2020-01-31"],
            "--expires: expected a day in the future, found 2020-01-31",
        ),
        (["add", "acme", "bob", "--expires", "2020-01-31T18:00:00Z"], "--expires: expected a day in the future"),
        (["add", "acme", "bob", "--models", "qwen-coder"], "keys[0].allowed_models[0]"),
        (["add", "acme", "bob", "--daily", "20"], "keys[0].budget.daily_limit"),
        (["remove", "acme", "default", "--yes"], "default is the tenant's own key"),
        (["remove", "acme", "bob", "--yes"], "acme has no key 'bob'"),
        (["list", "acm"], "did you mean acme?"),
    ],
)
def test_wrong_keys_are_refused_and_nothing_is_written(site: Site, words: list[str], message: str) -> None:
    before = {path: path.read_text() for path in [*site.tenants_dir.iterdir(), *site.secrets_dir.rglob("acme*")]}
    done = tollgate(site, "tenant", "key", *words)
    assert done.code == 1 and message in done.err
    after = {path: path.read_text() for path in [*site.tenants_dir.iterdir(), *site.secrets_dir.rglob("acme*")]}
    assert after == before
