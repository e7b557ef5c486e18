"""Compares tenants/*.yaml with the running LiteLLM, plans the changes, and applies them through the admin listener.

with read(site, load) as tenancy:      reads the files and LiteLLM in parallel; `opened` takes loaded files
    tenancy.plan()                     changes nothing
    tenancy.apply(plan)                generates missing keys, then changes LiteLLM
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from tollgate.config.secret import Secret
from tollgate.config.tenant.model import Tenant
from tollgate.errors import TollgateError
from tollgate.litellm.client import Client
from tollgate.litellm.provider import LiteLLMTenants
from tollgate.litellm.state import Key, State
from tollgate.reconcile.apply import Outcome, Report
from tollgate.reconcile.apply import apply as apply_plan
from tollgate.reconcile.change import Action, Change
from tollgate.reconcile.desired import KeyName, desired, identified, key_hash
from tollgate.reconcile.diff import diff
from tollgate.reconcile.plan import Plan
from tollgate.site import Site
from tollgate.stack.configuration import Configuration
from tollgate.stack.deployment import Deployment
from tollgate.stack.host.progress import Progress
from tollgate.stack.secrets import store as secrets
from tollgate.stack.tenants.keys import key_of, raise_if_own, raise_if_shared

__all__ = ["Applied", "Tenancy", "apply", "key_of", "opened", "read"]


@dataclass(frozen=True)
class Applied:
    """The changes that an apply made, and those that it left for the operator to decide."""

    changes: list[str]
    left: list[Change]


@dataclass
class Tenancy:
    """The tenants of the files and their state in LiteLLM, both read once. `now` decides which keys have expired."""

    site: Site
    tenants: list[Tenant]
    client: Client
    reading: Future[State]
    now: datetime = field(default_factory=lambda: datetime.now(UTC))

    @property
    def observed(self) -> State:
        """LiteLLM's state. Waits until it has been read."""
        return self.reading.result()

    def plan(self, *, allow_delete: bool = False) -> Plan:
        """The changes that LiteLLM needs. Writes nothing. A key that is not generated yet has the name `(new)`."""
        return diff(desired(self.tenants, self._keys(), self.now), self.observed, allow_delete=allow_delete)

    def apply(self, plan: Plan, report: Report | None = None) -> Outcome:
        """Apply a plan of this tenancy. Generates missing keys first. TollgateError if the plan is unsafe."""
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
        return apply_plan(replace(plan, changes=tuple(changes)), LiteLLMTenants(self.client, keys), report)

    def _keys(self) -> dict[KeyName, Secret]:
        """Every key that exists already: (tenant, key name) to text."""
        keys = {}
        for tenant in self.tenants:
            for named in tenant.all_keys:
                key = key_of(self.site, tenant, named)
                if key is not None:
                    keys[tenant.id, named.name] = key
        raise_if_own(self.site, keys)
        raise_if_shared(keys)
        return keys


@contextmanager
def read(site: Site, load: Callable[[], Configuration]) -> Iterator[Tenancy]:
    """All tenants. Reads the files while LiteLLM answers, because thousands of tenants take seconds on either side."""
    try:
        client = _client(Deployment.of(site))
    except TollgateError:
        load()  # errors in the files come first
        raise
    with _reading(client, None) as observed:
        yield Tenancy(site, list(load().tenants), client, observed)


@contextmanager
def opened(deployment: Deployment, configuration: Configuration, only: str | None = None) -> Iterator[Tenancy]:
    """All tenants, or only the tenant `only`. The cost of one does not depend on the number of tenants."""
    tenants = [tenant for tenant in configuration.tenants if only in (None, tenant.id)]
    client = _client(deployment)
    with _reading(client, only) as observed:
        yield Tenancy(deployment.site, tenants, client, observed)


@contextmanager
def _reading(client: Client, only: str | None) -> Iterator[Future[State]]:
    """Read LiteLLM's state in a thread. At the end the client closes first, which ends an unfinished read."""
    with ThreadPoolExecutor(1, "observe") as pool, client:
        yield pool.submit(LiteLLMTenants(client, {}).observe, only)


def apply(deployment: Deployment, configuration: Configuration, progress: Progress) -> Applied:
    """Create and update teams and keys. Leaves removals for the operator to decide."""
    with opened(deployment, configuration) as tenancy:
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


def _client(deployment: Deployment) -> Client:
    return Client(deployment.admin_url, deployment.master_key)
