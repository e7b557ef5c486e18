"""Tenants' keys: `plan` generates none, `apply` generates missing ones. LiteLLM is empty and accepts everything."""

from __future__ import annotations

import threading
from contextlib import nullcontext
from pathlib import Path

import httpx
import pytest

from tests.support.eventually import eventually
from tests.support.site import new_home
from tollgate.config.secret import Secret
from tollgate.errors import InputError, TollgateError
from tollgate.litellm.client import Client
from tollgate.litellm.provider import LiteLLMTenants
from tollgate.litellm.state import Key, State, Team
from tollgate.site import Site
from tollgate.stack import configuration
from tollgate.stack.configuration import Configuration
from tollgate.stack.deployment import Deployment
from tollgate.stack.host.progress import PlainProgress
from tollgate.stack.secrets import store as secrets
from tollgate.stack.tenants import tenancy as tenants


@pytest.fixture(autouse=True)
def written(monkeypatch: pytest.MonkeyPatch) -> list[Team | Key | None]:
    """The objects that LiteLLM was asked to create."""
    made: list[Team | Key | None] = []

    class Empty:
        def __init__(self, *_: object) -> None: ...

        def observe(self, _: object = None) -> State:
            return State()

        def write(self, _: object, after: Team | Key | None) -> None:
            made.append(after)

        def confirm(self, _: object) -> tuple[()]:
            return ()

    monkeypatch.setattr(tenants, "_client", lambda *_: nullcontext())
    monkeypatch.setattr(tenants, "LiteLLMTenants", Empty)
    return made


@pytest.fixture
def site(tmp_path: Path) -> Site:
    made = new_home(tmp_path / "home")
    secrets.ensure(made)
    return made


def files(site: Site) -> dict[str, str]:
    return {str(path): path.read_text() for path in site.home.rglob("*") if path.is_file()}


def plan(site: Site) -> list[str]:
    with tenants.read(site, lambda: configuration.load(site)) as tenancy:
        return [f"{change.action} {change.kind} {change.name}" for change in tenancy.plan().changes]


def plan_of_keys(site: Site) -> list[str]:
    return [line for line in plan(site) if " key " in line]


def apply(site: Site) -> list[str]:
    return tenants.apply(Deployment.of(site), configuration.load(site), PlainProgress()).changes


def test_a_plan_writes_no_key_and_no_other_file(site: Site, written: list[object]) -> None:
    before = files(site)
    assert "create team example" in plan(site)
    assert files(site) == before
    assert not (site.secrets_dir / "tenants").exists()
    assert written == []


def test_twin_an_apply_generates_the_key_and_follows_the_plan(site: Site, written: list[object]) -> None:
    planned = plan(site)  # a missing key has the name `(new)` in the last part
    assert [name.rpartition("/")[0] for name in apply(site)] == [name.rpartition("/")[0] for name in planned]
    assert plan_of_keys(site) == plan_of_keys(site), "the names stay the same now"
    key = secrets.tenant_key(site, "example")
    assert key is not None
    assert tenants.key_hash(key) in {made.id for made in written if isinstance(made, Key)}


def test_an_existing_key_is_kept(site: Site) -> None:
    key = secrets.make_tenant_key(site, "example")
    apply(site)
    assert secrets.tenant_key(site, "example") == key


# ---- both sides at once

PAGES = 100


class Many(httpx.MockTransport):
    """A LiteLLM with 100 pages of teams that are not ours. Pages from `stuck` on wait until the client closes."""

    def __init__(self, stuck: int = PAGES + 1) -> None:
        super().__init__(self._answer)
        self.asked: list[int] = []
        self._stuck, self._closed = stuck, threading.Event()

    def _answer(self, request: httpx.Request) -> httpx.Response:
        if request.url.path == "/key/list":
            return httpx.Response(200, json={"keys": [], "total_pages": 0})
        page = int(request.url.params["page"])
        self.asked.append(page)
        if page >= self._stuck:
            assert self._closed.wait(30)
        return httpx.Response(200, json={"teams": [{"team_id": f"t{page}"}], "total_pages": PAGES})

    def close(self) -> None:
        self._closed.set()


def reads(monkeypatch: pytest.MonkeyPatch, litellm: Many) -> None:
    monkeypatch.setattr(tenants, "_client", lambda *_: Client("http://litellm", Secret("sk-master"), litellm))
    monkeypatch.setattr(tenants, "LiteLLMTenants", LiteLLMTenants)


def test_files_and_litellm_are_read_in_parallel(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    litellm = Many()
    reads(monkeypatch, litellm)

    def load() -> Configuration:
        eventually(lambda: len(litellm.asked) == PAGES, within=30, every=0.05)
        return configuration.load(site)

    with tenants.read(site, load) as tenancy:
        assert len(tenancy.plan().unmanaged_teams) == PAGES


def test_a_broken_file_is_reported_before_litellm_is_fully_read(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    litellm = Many(stuck=10)
    reads(monkeypatch, litellm)
    (site.tenants_dir / "broken.yaml").write_text("tenant: 1")

    def load() -> Configuration:
        eventually(lambda: 10 in litellm.asked, within=30, every=0.05)
        return configuration.load(site)

    with pytest.raises(InputError, match="broken"), tenants.read(site, load):
        pass
    assert PAGES not in litellm.asked


def test_a_broken_file_is_reported_before_a_stopped_gateway(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing_runs(*_: object) -> Client:
        raise TollgateError("nginx does not publish port 4001: it is not running")

    monkeypatch.setattr(tenants, "_client", nothing_runs)
    broken = site.tenants_dir / "broken.yaml"
    broken.write_text("tenant: 1")
    with pytest.raises(InputError):
        plan(site)
    broken.unlink()
    with pytest.raises(TollgateError, match="it is not running"):
        plan(site)
