"""One deployment as a value: where it answers, and that it never shows a secret."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.site import new_home
from tollgate.errors import TollgateError
from tollgate.stack.containers.compose import Compose
from tollgate.stack.deployment import ENCRYPTED, PUBLIC, Deployment
from tollgate.stack.secrets import store as secrets


def test_it_knows_its_addresses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Compose, "address", lambda _, service, port: (f"{service}.example", port + 1))
    deployment = Deployment.of(new_home(tmp_path / "home"))
    assert deployment.public_url == "http://nginx.example:4001"
    assert deployment.admin_url == "http://nginx.example:4002"
    assert deployment.url(ENCRYPTED, "https") == "https://nginx.example:4444"


def test_before_a_first_deploy_an_address_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(TollgateError, match="nothing is deployed here yet"):
        Deployment.of(new_home(tmp_path / "home")).address(PUBLIC)


def test_no_secret_is_in_its_text(tmp_path: Path) -> None:
    site = new_home(tmp_path / "home", "OPENAI_API_KEY=sk-of-the-provider-0123456789")
    secrets.ensure(site)
    deployment = Deployment.of(site)
    key = deployment.master_key.reveal()
    assert len(key) > 32
    shown = f"{deployment!r} {deployment} {deployment.master_key}"
    assert key not in shown
    assert "sk-of-the-provider" not in shown


def test_the_small_stack_has_a_project_of_its_own(tmp_path: Path) -> None:
    site = new_home(tmp_path / "home")
    full, small = Deployment.of(site), Deployment.basic(site)
    assert small.compose.project == f"{full.compose.project}-basic"
