"""A change that LiteLLM refuses halfway: the files on disk, and the message."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.site import new_home
from tollgate.config.secret import Secret
from tollgate.errors import TollgateError
from tollgate.litellm.state import Team
from tollgate.reconcile.apply import Outcome
from tollgate.reconcile.change import Action, Change
from tollgate.reconcile.plan import Plan
from tollgate.site import Site
from tollgate.stack.host.progress import PlainProgress
from tollgate.stack.tenants import change, tenancy
from tollgate.stack.tenants.change import NewKey, carry_out

KEY = NewKey(Secret("sk-0123456789abcdef"))
CREATE = Change(Action.CREATE, None, Team("acme", "acme"))


class Gateway:
    """A tenancy with a plan and an outcome that the test chooses."""

    def __init__(self, plan: Callable[[], Plan], outcome: Outcome | None = None) -> None:
        self.made, self.outcome = plan, outcome

    def plan(self, **_: Any) -> Plan:
        return self.made()

    def apply(self, *_: Any) -> Outcome:
        assert self.outcome is not None
        return self.outcome


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    monkeypatch.setattr(change, "why_not_running", lambda *_: None)
    return new_home(tmp_path / "home")


def run(site: Site, gateway: Gateway, monkeypatch: pytest.MonkeyPatch, key: NewKey | None = KEY) -> Any:
    @contextmanager
    def opened(*_: Any, **__: Any) -> Iterator[Gateway]:
        yield gateway

    monkeypatch.setattr(tenancy, "opened", opened)
    file = site.tenants_dir / "acme.yaml"
    return carry_out(site, "acme", {file: "tenant: {id: acme}\n"}, PlainProgress(), key=key)


def unreachable() -> Plan:
    raise TollgateError("LiteLLM cannot be reached", "make status")


@pytest.mark.parametrize("plan", [unreachable, lambda: Plan(conflicts=("team acme: not ours",))])
def test_a_failure_before_the_change_writes_nothing(
    site: Site, monkeypatch: pytest.MonkeyPatch, plan: Callable[[], Plan]
) -> None:
    with pytest.raises(TollgateError):
        run(site, Gateway(plan), monkeypatch)
    assert not (site.tenants_dir / "acme.yaml").exists()
    assert not (site.secrets_dir / "tenants" / "acme").exists()


def test_a_failure_halfway_says_what_is_written_and_what_to_do(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    failed = Outcome((), (), ((CREATE, TollgateError("HTTP 500", "see `make logs`")),))
    with pytest.raises(TollgateError) as raised:
        run(site, Gateway(lambda: Plan((CREATE,)), failed), monkeypatch)
    assert raised.value.message == (
        "tenants/acme.yaml is written, but LiteLLM does not have all changes "
        "(applied 0, failed 1, not tried 0): team acme: HTTP 500"
    )
    assert raised.value.hint == "see `make logs`; then `make apply` continues"
    assert (site.tenants_dir / "acme.yaml").exists()
    assert (site.secrets_dir / "tenants" / "acme").exists(), "the tenant's file needs this key"


def test_twin_a_successful_change_lists_what_it_did(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    done = run(site, Gateway(lambda: Plan((CREATE,)), Outcome((CREATE,))), monkeypatch)
    assert ([file.name for file in done.written], done.applied, done.waiting) == (
        ["acme.yaml"],
        ["create team acme"],
        "",
    )


def test_a_removal_that_was_not_asked_for_is_left(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    block = Change(Action.BLOCK, Team("acme", "acme"), Team("acme", "acme", blocked=True))
    done = run(site, Gateway(lambda: Plan((CREATE, block)), Outcome((CREATE,))), monkeypatch)
    assert done.left == ["block team acme"]
