"""Rotates tenants' keys: the new one works before the old one is told when to end. Spend and budgets are the team's.

For each key, every step safe to repeat after an interruption:

    1. the new key's text goes to FILE~next            nobody has it yet
    2. the new key is made in LiteLLM, in the same team
    3. the old one gets LiteLLM's own expiry           from here on it ends, whether or not anybody runs anything again
    4. FILE~next becomes FILE                          from here on tenants/*.yaml means the new key

To revoke at once, step 3 blocks the old key, which all replicas know at once, and after step 4 it is deleted.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tollgate.config.tenant_model import Tenant, TenantKey
from tollgate.errors import TollgateError
from tollgate.litellm import metadata
from tollgate.litellm.provider import Provider
from tollgate.litellm.state import EXPIRED, Key
from tollgate.reconcile.desired import key as desired_key
from tollgate.reconcile.desired import key_hash
from tollgate.site import Site
from tollgate.stack import secrets
from tollgate.stack.progress import Progress
from tollgate.stack.tenant_keys import key_of
from tollgate.stack.tenants import Tenancy

NEXT = "~next"  # no name of a tenant or key can end so


@dataclass(frozen=True)
class Rotated:
    """What became of one key. `until` is when the old one stops working; None: it already has."""

    tenant: str
    name: str
    file: Path
    alias: str
    until: datetime | None


def key_path(site: Site, tenant: Tenant, key: TenantKey) -> Path | None:
    """The file a key's text is kept in; None where it is none of ours to write."""
    if key.api_key is None:
        return site.secrets_dir / secrets.tenant_key_file(tenant.id, key.name)
    return site.home / key.api_key.value.reveal() if key.api_key.kind == "file" else None


def place(site: Site, tenant: Tenant, key: TenantKey) -> str:
    """Where a key's text is, for a person."""
    path = key_path(site, tenant, key)
    if path is not None:
        return str(path.relative_to(site.home))
    source = key.api_key
    assert source is not None  # noqa: S101  it would have a path
    return "its tenant's file" if source.kind == "literal" else f"env:{source.value.reveal()}"


def why_not(site: Site, tenant: Tenant, key: TenantKey, now: datetime) -> str:
    """Why this key cannot be rotated; empty where it can."""
    if key_path(site, tenant, key) is None:
        return f"{tenant.id}/{key.name} comes from {place(site, tenant, key)}, which is yours to change"
    if key.expires is not None and key.expires <= now:
        return f"{tenant.id}/{key.name} has expired"
    return ""


def rotate(tenancy: Tenancy, tenant: Tenant, key: TenantKey, grace: timedelta, progress: Progress) -> Rotated:
    """Rotate one key; a `grace` of nothing revokes the old one. Raises TollgateError; run again, it goes on."""
    site, now = tenancy.site, datetime.now(UTC)
    reason, path, current = why_not(site, tenant, key, now), key_path(site, tenant, key), key_of(site, tenant, key)
    if reason or path is None:
        raise TollgateError(reason, "see docs/guides/tenants.md: add a second key, move its users, remove the first")
    old = tenancy.observed.keys.get(key_hash(current)) if current else None
    if old is None:
        raise TollgateError(f"{tenant.id}/{key.name} is not in the gateway", "`make apply` first")
    waiting = _next(path)
    if not waiting.exists():
        secrets.store(waiting, secrets.generate("sk-"))
    secret = secrets.read_file(waiting)
    new = desired_key(tenant, key, secret, now)
    progress.detail(f"{new.alias}: made")
    before = tenancy.observed.keys.get(new.id)
    provider = Provider(tenancy.client, {new.id: secret})
    if before != new:
        provider.apply_change(before, new)
    until = _retire(tenancy, old, now, grace) if grace else None
    if until is None:
        progress.detail(f"{old.alias}: blocked")
        tenancy.client.block_key(old.id)
    waiting.replace(path)
    if until is None:
        for gone in (old, *_retiring(tenancy, old)):
            provider.apply_change(gone, None)
    return Rotated(tenant.id, key.name, path, new.alias, until)


def _retire(tenancy: Tenancy, old: Key, now: datetime, grace: timedelta) -> datetime:
    """Give the old key its end, in seconds and not to the minute as files do; an earlier end of its own stays."""
    until = now + grace
    if old.expires not in (None, EXPIRED):
        own = datetime.fromisoformat(str(old.expires))
        if own < until:
            until = own
    fields = {
        "duration": f"{max(1, round((until - now).total_seconds()))}s",
        "metadata": metadata.of_key(replace(old, retiring=True)),
    }
    tenancy.client.update_key(old.id, fields)
    row = tenancy.client.find_key(old.id)
    if row is None or not row.get("expires") or not (row.get("metadata") or {}).get("retiring"):
        raise TollgateError(
            f"key {old.alias}: LiteLLM accepted its expiry and did not keep it",
            "both keys work; run it again, and report it if it stays so",
        )
    return until


def _retiring(tenancy: Tenancy, old: Key) -> Iterator[Key]:
    """What earlier rotations left of the same key and still works."""
    for key in tenancy.observed.keys.values():
        if key.retiring and key.team == old.team and key.name == old.name and key.id != old.id:
            yield key


def unfinished(site: Site, tenant: Tenant, key: TenantKey) -> bool:
    """Whether an interrupted rotation has left its new key: run again, it goes on."""
    path = key_path(site, tenant, key)
    return path is not None and _next(path).exists()


def _next(path: Path) -> Path:
    return path.with_name(path.name + NEXT)
