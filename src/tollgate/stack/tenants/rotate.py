"""Rotates tenants' keys: the new key works before the old one gets an expiry. Spend and budgets belong to the team.

The steps for each key. Every step can be repeated after an interruption:

    1. write the new key's text to FILE~next           only this machine has it
    2. create the new key in LiteLLM, in the same team
    3. set LiteLLM's own expiry on the old key         from now on it expires without any further command
    4. rename FILE~next to FILE                        from now on tenants/*.yaml means the new key

To revoke the old key at once, step 3 blocks it on all replicas, and after step 4 it is deleted.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tollgate.config.secret import Secret
from tollgate.config.tenant.model import Tenant, TenantKey
from tollgate.errors import TollgateError
from tollgate.litellm import metadata
from tollgate.litellm.provider import LiteLLMTenants
from tollgate.litellm.state import EXPIRED, Key
from tollgate.reconcile.desired import key as desired_key
from tollgate.reconcile.desired import key_hash
from tollgate.site import Site
from tollgate.stack.host.progress import Progress
from tollgate.stack.secrets import store as secrets
from tollgate.stack.tenants.key_file import KeyFile
from tollgate.stack.tenants.keys import key_of
from tollgate.stack.tenants.tenancy import Tenancy


@dataclass(frozen=True)
class Rotated:
    """One rotated key. `until` is the time when the old key stops working; None if it was revoked."""

    tenant: str
    name: str
    file: Path
    alias: str
    until: datetime | None


def key_file(site: Site, tenant: Tenant, key: TenantKey) -> KeyFile | None:
    """The file with a key's text. None if the kit does not write it (`env:`, or in the tenant's file)."""
    if key.api_key is None:
        return KeyFile(site.secrets_dir, secrets.tenant_key_file(tenant.id, key.name))
    return KeyFile(site.home, key.api_key.value.reveal()) if key.api_key.kind == "file" else None


def key_path(site: Site, tenant: Tenant, key: TenantKey) -> Path | None:
    """The path of `key_file`, or None."""
    file = key_file(site, tenant, key)
    return None if file is None else file.file


def place(site: Site, tenant: Tenant, key: TenantKey) -> str:
    """The place of a key's text, as words."""
    path = key_path(site, tenant, key)
    if path is not None:
        return str(path.relative_to(site.home))
    source = key.api_key
    assert source is not None  # noqa: S101  a key without a source has a path
    return "its tenant's file" if source.kind == "literal" else f"env:{source.value.reveal()}"


def why_not(site: Site, tenant: Tenant, key: TenantKey, now: datetime) -> str:
    """Why this key cannot be rotated; empty if it can."""
    if key_path(site, tenant, key) is None:
        return f"{tenant.id}/{key.name} comes from {place(site, tenant, key)}, which only you can change"
    if key.expires is not None and key.expires <= now:
        return f"{tenant.id}/{key.name} has expired"
    return ""


def rotate(tenancy: Tenancy, tenant: Tenant, key: TenantKey, grace: timedelta, progress: Progress) -> Rotated:
    """Rotate one key. A `grace` of zero revokes the old key. TollgateError on a failure; the next run continues."""
    site, now = tenancy.site, datetime.now(UTC)
    reason, file, current = why_not(site, tenant, key, now), key_file(site, tenant, key), key_of(site, tenant, key)
    if reason or file is None:
        raise TollgateError(reason, "add a second key, move its users, remove the first (docs/guides/tenants.md)")
    old = tenancy.observed.keys.get(key_hash(current)) if current else None
    if old is None:
        raise TollgateError(f"{tenant.id}/{key.name} is not in the gateway", "run `make apply` first")
    text = file.next.read()
    secret = Secret(text) if text else secrets.generate("sk-")
    if text is None:
        file.next.store(secret)
    elif not text:
        raise TollgateError(f"{file.next.file} is empty", "remove it and run this again")
    new = desired_key(tenant, key, secret, now)
    progress.detail(f"{new.alias}: created")
    before = tenancy.observed.keys.get(new.id)
    provider = LiteLLMTenants(tenancy.client, {new.id: secret})
    if before != new:
        provider.apply_change(before, new)
    until = _retire(tenancy, old, now, grace) if grace else None
    if until is None:
        progress.detail(f"{old.alias}: blocked")
        tenancy.client.block_key(old.id)
    file.promote_next()
    if until is None:
        for revoked in (old, *_retiring(tenancy, old)):
            provider.apply_change(revoked, None)
    return Rotated(tenant.id, key.name, file.file, new.alias, until)


def _retire(tenancy: Tenancy, old: Key, now: datetime, grace: timedelta) -> datetime:
    """Set the old key's expiry, to the second, and return it. An earlier expiry of the key stays."""
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
            f"key {old.alias}: LiteLLM accepted the expiry but did not store it",
            "run this again, and report a bug if it fails again; both keys still work",
        )
    return until


def _retiring(tenancy: Tenancy, old: Key) -> Iterator[Key]:
    """Older keys from earlier rotations of the same key that still work."""
    for key in tenancy.observed.keys.values():
        if key.retiring and key.team == old.team and key.name == old.name and key.id != old.id:
            yield key


def unfinished(site: Site, tenant: Tenant, key: TenantKey) -> bool:
    """True if an interrupted rotation left its new key. The next rotation continues with it."""
    file = key_file(site, tenant, key)
    return file is not None and file.next.read() is not None
