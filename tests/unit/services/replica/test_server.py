"""How a replica's server reads HTTP."""

from __future__ import annotations

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
