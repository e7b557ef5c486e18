"""Which addresses are told: of published services that run, and of no others."""

from __future__ import annotations

from pathlib import Path

import pytest

from tollgate.cli.addresses import addresses
from tollgate.stack.compose import Compose


@pytest.mark.parametrize("grafana", [False, True], ids=["without grafana", "with grafana"])
def test_only_what_runs_has_an_address(monkeypatch: pytest.MonkeyPatch, grafana: bool) -> None:
    live = ["nginx", "prometheus", "redis", *(["grafana"] if grafana else [])]
    monkeypatch.setattr(Compose, "running", lambda _: dict.fromkeys(live, ("id", "then")))
    monkeypatch.setattr(Compose, "address", lambda _, service, port: (f"{service}.example", port))
    assert addresses(Compose("t", (), Path("compose.env"))) == {
        "gateway": "http://nginx.example:4000",
        "admin": "http://nginx.example:4001",
        "prometheus": "http://prometheus.example:9090",
        **({"grafana": "http://grafana.example:3000"} if grafana else {}),
    }


def test_twin_where_nothing_runs_nothing_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Compose, "running", lambda _: {})
    monkeypatch.setattr(Compose, "address", lambda *_: pytest.fail("asked"))
    assert addresses(Compose("t", (), Path("compose.env"))) == {}
