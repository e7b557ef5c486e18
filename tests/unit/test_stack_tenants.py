"""The tenants' keys: `plan` writes none, `apply` makes what is missing. LiteLLM is empty and takes everything."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

import pytest

from tests.support.site import new_home
from tollgate.litellm.state import Key, State, Team
from tollgate.site import Site
from tollgate.stack import configuration, secrets, tenants
from tollgate.stack.compose import Compose
from tollgate.stack.progress import PlainProgress


@pytest.fixture(autouse=True)
def written(monkeypatch: pytest.MonkeyPatch) -> list[Team | Key | None]:
    """What LiteLLM was told to make."""
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
    monkeypatch.setattr(tenants, "Provider", Empty)
    return made


@pytest.fixture
def site(tmp_path: Path) -> Site:
    made = new_home(tmp_path / "home")
    secrets.ensure(made)
    return made


def files(site: Site) -> dict[str, str]:
    return {str(path): path.read_text() for path in site.home.rglob("*") if path.is_file()}


def plan(site: Site) -> list[str]:
    made = tenants.plan(site, Compose.core(site, "t"), configuration.load(site))
    return [f"{change.action} {change.kind} {change.name}" for change in made.changes]


def plan_of_keys(site: Site) -> list[str]:
    return [line for line in plan(site) if " key " in line]


def apply(site: Site) -> list[str]:
    return tenants.apply(site, Compose.core(site, "t"), configuration.load(site), PlainProgress()).changes


def test_a_plan_makes_no_key_and_no_other_file(site: Site, written: list[object]) -> None:
    before = files(site)
    assert "create team example" in plan(site)
    assert files(site) == before
    assert not (site.secrets_dir / "tenants").exists()
    assert written == []


def test_twin_an_apply_makes_it_and_does_what_the_plan_said(site: Site, written: list[object]) -> None:
    planned = plan(site)  # with a throwaway in the place of the key, which shows in the last part of its name
    assert [name.rpartition("/")[0] for name in apply(site)] == [name.rpartition("/")[0] for name in planned]
    assert plan_of_keys(site) == plan_of_keys(site), "from here on it is the same each time"
    key = secrets.tenant_key(site, "example")
    assert key is not None
    assert tenants.key_hash(key) in {made.id for made in written if isinstance(made, Key)}


def test_a_key_that_is_there_is_kept(site: Site) -> None:
    key = secrets.make_tenant_key(site, "example")
    apply(site)
    assert secrets.tenant_key(site, "example") == key
