"""How a replica's server reads HTTP, and what happens before it imports LiteLLM."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest

from tollgate.services.replica import server

VERSIONS = Path(__file__).parents[4] / "images" / "litellm" / "versions"


@pytest.mark.parametrize(("installed", "protocol"), [(True, "httptools"), (False, "h11")])
def test_httptools_reads_http_where_it_is(monkeypatch: pytest.MonkeyPatch, installed: bool, protocol: str) -> None:
    """The second case is the official image."""

    def find(name: str) -> ModuleSpec | None:
        return ModuleSpec(name, None) if installed else None

    monkeypatch.setattr(server, "find_spec", find)
    assert server.http() == protocol


@pytest.mark.parametrize("version", sorted(path.name for path in VERSIONS.iterdir()))
def test_each_release_is_built_with_httptools_and_uvloop(version: str) -> None:
    lines = (VERSIONS / version / "requirements.lock").read_text().splitlines()
    locked = {line.partition("==")[0] for line in lines if "==" in line}
    assert {"httptools", "uvloop"} <= locked


@pytest.fixture
def collecting() -> Iterator[None]:
    """The tests themselves need the collector of garbage."""
    yield
    gc.enable()


@pytest.mark.usefixtures("collecting")
def test_nothing_is_collected_when_uvicorn_imports_litellm(monkeypatch: pytest.MonkeyPatch) -> None:
    """uvicorn imports LiteLLM for the format of its log, long before it asks for the application."""
    seen: list[object] = []
    monkeypatch.setattr(server, "defer_prisma_types", lambda: seen.append("types deferred"))
    monkeypatch.setattr(server.uvicorn, "run", lambda *_, **__: seen.append(gc.isenabled()))
    for name, value in {"KEEPALIVE_TIMEOUT": "90", "LITELLM_LOG": "INFO"}.items():
        monkeypatch.setenv(name, value)
    server.main()
    assert seen == ["types deferred", False]


def test_uvicorn_imports_the_format_of_the_log_before_the_application() -> None:
    """If it no longer did, `before_the_import` could move into `application`."""
    formatter = server.log_config("INFO")["formatters"]["json"]["()"]
    assert formatter.startswith("litellm.")
