"""tenants/*.yaml against the running LiteLLM: the keys, the plan, and applying it through the admin listener."""

from __future__ import annotations

import os
from dataclasses import dataclass

from tollgate.config.secret import Secret
from tollgate.config.tenants import Tenant
from tollgate.errors import TollgateError
from tollgate.litellm.client import Client
from tollgate.litellm.provider import Provider
from tollgate.reconcile.apply import apply as apply_plan
from tollgate.reconcile.change import Change
from tollgate.reconcile.desired import desired, key_hash
from tollgate.reconcile.diff import diff
from tollgate.reconcile.plan import Plan
from tollgate.site import Site
from tollgate.stack import secrets
from tollgate.stack.compose import Compose
from tollgate.stack.configuration import Configuration
from tollgate.stack.progress import Progress


@dataclass(frozen=True)
class Applied:
    """What an apply did, and what it left for a person to decide."""

    changes: list[str]
    left: list[Change]


def key_of(site: Site, tenant: Tenant) -> Secret | None:
    """A tenant's virtual key: from where its file says, else the generated one; None where that is not made yet."""
    origin = tenant.tenant.api_key
    if origin is None:
        return secrets.tenant_key(site, tenant.id)
    if origin.kind == "literal":
        return origin.value
    name = origin.value.reveal()
    if origin.kind == "env":
        value = os.environ.get(name, "")
        hint = f"export {name}, or leave api_key out and one is generated"
    else:
        path = site.home / name
        value = path.read_text().strip() if path.is_file() else ""
        hint = f"put the key into {path} (mode 0600), or leave api_key out and one is generated"
    if not value:
        raise TollgateError(f"{tenant.file}: tenant.api_key: {origin.kind}:{name} holds no key", hint)
    return Secret(value)


def plan(site: Site, compose: Compose, configuration: Configuration) -> Plan:
    """What would change in LiteLLM; writes nothing anywhere. For a key not made yet it plans with a throwaway."""
    keys = {tenant.id: key_of(site, tenant) or secrets.generate("sk-") for tenant in configuration.tenants}
    with _client(site, compose) as client:
        return diff(desired(configuration.tenants, keys), Provider(client, {}).observe())


def apply(site: Site, compose: Compose, configuration: Configuration, progress: Progress) -> Applied:
    """Create and update teams and keys. What would take something away is left: that needs a person's word."""
    keys = {
        tenant.id: key_of(site, tenant) or secrets.make_tenant_key(site, tenant.id) for tenant in configuration.tenants
    }
    with _client(site, compose) as client:
        provider = Provider(client, {key_hash(key): key for key in keys.values()})
        whole = diff(desired(configuration.tenants, keys), provider.observe())
        safe = [change for change in whole.changes if not _takes_away(change)]
        doing = Plan(tuple(safe), whole.conflicts, whole.unmanaged_teams, whole.unmanaged_keys)
        outcome = apply_plan(
            doing, provider, lambda change, number, total: progress.detail(_line(change, number, total))
        )
    if outcome.error is not None:
        raise TollgateError(f"{outcome}: {outcome.error.message}", outcome.error.hint)
    return Applied([_words(change) for change in safe], [change for change in whole.changes if _takes_away(change)])


def _takes_away(change: Change) -> bool:
    return change.action.removes


def _words(change: Change) -> str:
    return f"{change.action} {change.kind} {change.name}"


def _line(change: Change, number: int, total: int) -> str:
    return f"[{number}/{total}] {_words(change)}"


def _client(site: Site, compose: Compose) -> Client:
    host, port = compose.address("nginx", 4001)
    return Client(f"http://{host}:{port}", secrets.read(site, "litellm_master_key"))
