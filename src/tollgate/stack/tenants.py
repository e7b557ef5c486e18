"""tenants/*.yaml against the running LiteLLM: the keys, the plan, and applying it through the admin listener.

with read(site, load) as tenancy:      reads the files and LiteLLM at once; `opened` where the files are read already
    tenancy.plan()                     changes nothing anywhere
    tenancy.apply(plan)                makes the keys that are missing, then changes LiteLLM
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from tollgate.config.secret import Secret
from tollgate.config.tenants import Tenant
from tollgate.errors import TollgateError
from tollgate.litellm.client import Client
from tollgate.litellm.provider import Provider
from tollgate.litellm.state import Key, State
from tollgate.reconcile.apply import Outcome, Report
from tollgate.reconcile.apply import apply as apply_plan
from tollgate.reconcile.change import Action, Change
from tollgate.reconcile.desired import KeyName, desired, identified, key_hash
from tollgate.reconcile.diff import diff
from tollgate.reconcile.plan import Plan
from tollgate.site import Site
from tollgate.stack import secrets
from tollgate.stack.compose import Compose
from tollgate.stack.configuration import Configuration, project
from tollgate.stack.progress import Progress
from tollgate.stack.tenant_keys import key_of, raise_if_shared

__all__ = ["Applied", "Tenancy", "apply", "key_of", "opened", "read"]


@dataclass(frozen=True)
class Applied:
    """What an apply did, and what it left for a person to decide."""

    changes: list[str]
    left: list[Change]


@dataclass
class Tenancy:
    """The files' tenants and what LiteLLM has of them, read once. `now` decides which keys have expired."""

    site: Site
    tenants: list[Tenant]
    client: Client
    reading: Future[State]
    now: datetime = field(default_factory=lambda: datetime.now(UTC))

    @property
    def observed(self) -> State:
        """What LiteLLM has; waits until it is read."""
        return self.reading.result()

    def plan(self, *, allow_delete: bool = False) -> Plan:
        """What would change in LiteLLM; writes nothing anywhere. A key that is not made yet is called `(new)`."""
        return diff(desired(self.tenants, self._keys(), self.now), self.observed, allow_delete=allow_delete)

    def apply(self, plan: Plan, report: Report | None = None) -> Outcome:
        """Do what `plan` says, which is one of this tenancy. Keys that are missing are made first, if that is safe."""
        plan.raise_if_unsafe()
        keys = {key_hash(key): key for key in self._keys().values()}
        changes = []
        for change in plan.changes:
            if change.action is Action.CREATE and isinstance(change.after, Key) and change.after.id not in keys:
                key = secrets.make_tenant_key(self.site, change.after.team, change.after.name)
                keys[key_hash(key)] = key
                changes.append(replace(change, after=identified(change.after, key)))
            else:
                changes.append(change)
        return apply_plan(replace(plan, changes=tuple(changes)), Provider(self.client, keys), report)

    def _keys(self) -> dict[KeyName, Secret]:
        """Every key whose text is at hand."""
        found = {}
        for tenant in self.tenants:
            for named in tenant.all_keys:
                key = key_of(self.site, tenant, named)
                if key is not None:
                    found[tenant.id, named.name] = key
        raise_if_shared(found)
        return found


@contextmanager
def read(site: Site, load: Callable[[], Configuration]) -> Iterator[Tenancy]:
    """All tenants. Thousands of them take seconds to read, on either side, and LiteLLM's side is mostly waiting."""
    try:
        client = _client(site, Compose.core(site, project(site)))
    except TollgateError:
        load()  # what is wrong with the files comes first
        raise
    with _reading(client, None) as observed:
        yield Tenancy(site, list(load().tenants), client, observed)


@contextmanager
def opened(site: Site, compose: Compose, configuration: Configuration, only: str | None = None) -> Iterator[Tenancy]:
    """All tenants, or the one named `only` (which then costs the same however many there are)."""
    tenants = [tenant for tenant in configuration.tenants if only in (None, tenant.id)]
    client = _client(site, compose)
    with _reading(client, only) as observed:
        yield Tenancy(site, tenants, client, observed)


@contextmanager
def _reading(client: Client, only: str | None) -> Iterator[Future[State]]:
    """Closing the client, which comes first at the end, ends a reading that is still under way."""
    with ThreadPoolExecutor(1, "observe") as pool, client:
        yield pool.submit(Provider(client, {}).observe, only)


def apply(site: Site, compose: Compose, configuration: Configuration, progress: Progress) -> Applied:
    """Create and update teams and keys. What would take something away is left: that needs a person's word."""
    with opened(site, compose, configuration) as tenancy:
        whole = tenancy.plan()
        outcome = tenancy.apply(
            without_removals(whole),
            lambda change, number, total: progress.detail(f"[{number}/{total}] {words(change)}"),
        )
    outcome.raise_if_incomplete()
    return Applied(
        [words(change) for change in outcome.applied], [change for change in whole.changes if change.takes_access]
    )


def without_removals(whole: Plan) -> Plan:
    return replace(whole, changes=tuple(change for change in whole.changes if not change.takes_access))


def words(change: Change) -> str:
    return f"{change.action} {change.kind} {change.name}"


def _client(site: Site, compose: Compose) -> Client:
    host, port = compose.address("nginx", 4001)
    return Client(f"http://{host}:{port}", secrets.read(site, "litellm_master_key"))
