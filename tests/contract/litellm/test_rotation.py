"""Rotating a tenant's key at a real LiteLLM: both keys within the grace, one budget, an end that comes by itself."""

from __future__ import annotations

from concurrent.futures import Future
from datetime import timedelta
from pathlib import Path

import pytest

from tests.contract.litellm.gateway import Gateway
from tests.support.eventually import eventually
from tests.support.site import new_home
from tollgate.config.tenant.load import parse
from tollgate.config.tenant.model import Tenant
from tollgate.litellm.provider import LiteLLMTenants
from tollgate.litellm.state import State
from tollgate.reconcile.change import Action
from tollgate.site import Site
from tollgate.stack.host.progress import PlainProgress
from tollgate.stack.secrets import store as secrets
from tollgate.stack.tenants import rotate as key_rotation
from tollgate.stack.tenants.key_file import KeyFile
from tollgate.stack.tenants.tenancy import Tenancy

pytestmark = pytest.mark.docker
HOUR = timedelta(hours=1)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return new_home(tmp_path / "home")


def tenant(name: str, more: str = "") -> Tenant:
    """Each test has its own: Redis remembers what a deleted one spent."""
    return parse(f"tenant: {{id: {name}}}\nallowed_models: [test-model]\n{more}", Path(f"tenants/{name}.yaml"))


def opened(gateway: Gateway, site: Site, of: Tenant) -> Tenancy:
    observed: Future[State] = Future()
    observed.set_result(LiteLLMTenants(gateway.client, {}).observe(of.id))
    return Tenancy(site, [of], gateway.client, observed)


def applied(gateway: Gateway, site: Site, of: Tenant) -> None:
    tenancy = opened(gateway, site, of)
    tenancy.apply(tenancy.plan()).raise_if_incomplete()


def rotate(gateway: Gateway, site: Site, of: Tenant, grace: timedelta = HOUR) -> key_rotation.Rotated:
    return key_rotation.rotate(opened(gateway, site, of), of, of.all_keys[0], grace, PlainProgress())


def secret(site: Site, of: Tenant) -> secrets.Secret:
    found = secrets.tenant_key(site, of.id)
    assert found is not None
    return found


def test_both_keys_work_on_one_budget_until_the_old_one_ends_by_itself(gateway: Gateway, site: Site) -> None:
    # One answer costs more than half of the day's budget, whichever key asks for it.
    spender = tenant("spender", "budget: {daily_limit: 0.0002}")
    applied(gateway, site, spender)
    old = secret(site, spender)
    done = rotate(gateway, site, spender, timedelta(seconds=15))
    new = secret(site, spender)
    assert old != new and done.until is not None and not key_rotation.unfinished(site, spender, spender.all_keys[0])
    assert [gateway.get(key, "/v1/models").status_code for key in (old, new)] == [200, 200]
    assert opened(gateway, site, spender).plan().empty, "an apply within the grace leaves the old one alone"
    assert gateway.ask(old).status_code == 200
    eventually(lambda: gateway.ask(new).status_code == 429, within=30)

    eventually(lambda: gateway.get(old, "/v1/models").status_code == 401, within=30)
    assert gateway.get(new, "/v1/models").status_code == 200
    left = opened(gateway, site, spender).plan()
    assert [(change.action, change.takes_access) for change in left.changes] == [(Action.DELETE, False)]


def test_a_leaked_key_and_its_predecessors_are_refused_at_once(gateway: Gateway, site: Site) -> None:
    leaky = tenant("leaky")
    applied(gateway, site, leaky)
    first = secret(site, leaky)
    rotate(gateway, site, leaky)
    second = secret(site, leaky)
    assert [gateway.ask(key).status_code for key in (first, second)] == [200, 200]
    assert rotate(gateway, site, leaky, timedelta()).until is None
    assert [gateway.ask(key).status_code for key in (first, second, secret(site, leaky))] == [401, 401, 200]
    assert opened(gateway, site, leaky).plan().empty


@pytest.mark.parametrize("step", ["apply_change", "_retire", "promote_next"])
def test_whatever_interrupts_it_the_next_run_ends_it(
    gateway: Gateway, site: Site, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """Killed before the new key is made, before the old one is told its end, before the new one takes its place."""
    hardy = tenant(f"hardy-{step.strip('_').replace('_', '-')}")
    applied(gateway, site, hardy)
    old = secret(site, hardy)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    owner = {"apply_change": LiteLLMTenants, "_retire": key_rotation, "promote_next": KeyFile}[step]
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(owner, step, killed)
        rotate(gateway, site, hardy)
    assert secret(site, hardy) == old and gateway.ask(old).status_code == 200
    assert key_rotation.unfinished(site, hardy, hardy.all_keys[0])
    text = secrets.read(site, f"tenants/{hardy.id}~next").reveal()

    rotate(gateway, site, hardy)
    assert secret(site, hardy).reveal() == text, "the key that was made, not a third one"
    assert [gateway.ask(key).status_code for key in (old, secret(site, hardy))] == [200, 200]
    assert len(opened(gateway, site, hardy).observed.keys) == 2
    assert opened(gateway, site, hardy).plan().empty


def test_a_key_in_a_file_of_the_operators_is_written_there(gateway: Gateway, site: Site) -> None:
    own = parse("tenant: {id: own, api_key: file:keys/own.key}", Path("tenants/own.yaml"))
    path = site.home / "keys" / "own.key"
    path.parent.mkdir()
    secrets.store(path, secrets.generate("sk-"))
    before = secrets.read_file(path)
    applied(gateway, site, own)
    rotate(gateway, site, own)
    after = secrets.read_file(path)
    assert before != after and path.stat().st_mode & 0o777 == 0o600
    assert [gateway.ask(key).status_code for key in (before, after)] == [200, 200]


def test_twin_a_new_key_without_a_rotation_cuts_the_old_one_off(gateway: Gateway, site: Site) -> None:
    hasty = tenant("changed")
    applied(gateway, site, hasty)
    old = secret(site, hasty)
    (site.secrets_dir / secrets.tenant_key_file("changed")).unlink()
    applied(gateway, site, hasty)
    assert [gateway.ask(key).status_code for key in (old, secret(site, hasty))] == [401, 200]
