"""Compares the output of `tenant connect` with copies in tests/golden/connect; `UPDATE_GOLDEN=1` rewrites them."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from tollgate.config.gateway import load as gateway
from tollgate.config.gateway.catalogue import resolve
from tollgate.render.connect import FORMATS, Connection, choices
from tollgate.site import Site

GOLDEN = Path(__file__).with_name("connect")
KEYS = ("ANTHROPIC_API_KEY", "OPENAI_API_KEY", "OPENROUTER_API_KEY")
KEY = "sk-not-a-real-key-of-anybody"
TENANTS = {
    "claude": ["claude-opus-5-5", "claude-sonnet-5-5", "claude-haiku-5-5", "claude-sonnet-4-6"],
    "others": ["qwen-coder", "gpt-4o-mini"],
    "alias": ["small", "test-model"],
}
SUFFIX = {"env": "sh", "settings": "json", "managed": "json", "helper": "sh"}


def connection(tenant: str, *, shown: bool) -> Connection:
    catalogue = resolve(gateway.load(Site.here().root / "config" / "gateway.yaml"), KEYS)
    models = choices(catalogue, TENANTS[tenant])
    file = f"/srv/tollgate/secrets/tenants/{tenant}"
    return Connection(tenant, "default", "http://gateway.example:4000", file, models, KEY if shown else None)


CASES = [(tenant, name, False) for tenant in TENANTS for name in FORMATS] + [("others", name, True) for name in FORMATS]


def path(tenant: str, name: str, *, shown: bool) -> Path:
    return GOLDEN / f"{tenant}-{name}{'-with-key' if shown else ''}.{SUFFIX[name]}"


@pytest.mark.parametrize(("tenant", "name", "shown"), CASES)
def test_the_output_is_the_reviewed_one(tenant: str, name: str, shown: bool) -> None:
    text, file = FORMATS[name](connection(tenant, shown=shown)), path(tenant, name, shown=shown)
    if os.environ.get("UPDATE_GOLDEN"):
        GOLDEN.mkdir(exist_ok=True)
        file.write_text(text)
    assert text == file.read_text()


def test_no_reviewed_file_is_left_over() -> None:
    assert set(GOLDEN.iterdir()) == {path(tenant, name, shown=shown) for tenant, name, shown in CASES}


@pytest.mark.parametrize(("tenant", "name", "shown"), CASES)
def test_the_key_is_in_it_only_when_asked_for(tenant: str, name: str, shown: bool) -> None:
    # Managed settings are for many people: they name the helper and never a key.
    assert (KEY in FORMATS[name](connection(tenant, shown=shown))) is (shown and name != "managed")


@pytest.mark.parametrize("name", ["settings", "managed"])
def test_settings_are_json_whose_environment_holds_text_only(name: str) -> None:
    environment = json.loads(FORMATS[name](connection("claude", shown=False)))["env"]
    assert environment["ANTHROPIC_BASE_URL"] == "http://gateway.example:4000"
    assert all(isinstance(value, str) for value in environment.values())


def test_the_shell_reads_the_lines_as_they_are_meant(tmp_path: Path) -> None:
    awkward = tmp_path / "a folder with 'quotes' and $HOME"
    awkward.write_text(f"{KEY}\n")
    made = connection("others", shown=False)
    lines = FORMATS["env"](Connection(made.tenant, made.key_name, made.base_url, str(awkward), made.models))
    script = f'{lines}printf "%s %s" "$ANTHROPIC_AUTH_TOKEN" "$ANTHROPIC_MODEL"'
    done = subprocess.run(["sh", "-euc", script], capture_output=True, text=True, check=True)
    assert done.stdout == f"{KEY} qwen-coder"


def test_the_helper_prints_the_key_and_nothing_else(tmp_path: Path) -> None:
    made, file = connection("others", shown=False), tmp_path / "a key of $HOME"
    file.write_text(f"{KEY}\n")
    for script in (
        FORMATS["helper"](Connection(made.tenant, made.key_name, made.base_url, str(file), made.models)),
        FORMATS["helper"](connection("others", shown=True)),
    ):
        done = subprocess.run(["sh", "-euc", script], capture_output=True, text=True, check=True)
        assert done.stdout == f"{KEY}\n"


def test_a_tenant_without_served_models_still_gets_address_and_key() -> None:
    lines = FORMATS["env"](Connection("t", "default", "http://x", "/k", []))
    assert "ANTHROPIC_BASE_URL=http://x" in lines and "MODEL" not in lines
