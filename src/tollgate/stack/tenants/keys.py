"""Reads the text of tenants' keys: from the source in the tenant's file, otherwise from secrets/tenants/."""

from __future__ import annotations

import os
from collections.abc import Mapping

from tollgate.config.secret import Secret
from tollgate.config.tenant.key_source import check_key
from tollgate.config.tenant.model import Tenant, TenantKey
from tollgate.errors import Mistake, TollgateError
from tollgate.reconcile.desired import KeyName
from tollgate.site import Site
from tollgate.stack import configuration
from tollgate.stack.secrets import store as secrets
from tollgate.stack.tenants.key_file import KeyFile


def key_of(site: Site, tenant: Tenant, named: TenantKey | None = None) -> Secret | None:
    """The key `named` of a tenant (default: its first). None for a generated key that does not exist yet.

    TollgateError if its source has no key, or one that LiteLLM would refuse.
    """
    named = named or tenant.all_keys[0]
    origin = named.api_key
    if origin is None:
        return secrets.tenant_key(site, tenant.id, named.name)
    if origin.kind == "literal":
        return origin.value
    name = origin.value.reveal()
    if origin.kind == "env":
        value = os.environ.get(name, "")
        hint = f"export {name}, or remove api_key and the kit generates a key"
    else:
        path = site.home / name
        value = KeyFile(site.home, name).read() or ""
        hint = f"put the key into {path} (mode 0600), or remove api_key and the kit generates a key"
    place = f"{tenant.file}: key {named.name}: {origin.kind}:{name}"
    if not value:
        raise TollgateError(f"{place} has no key", hint)
    try:
        return check_key(value)
    except Mistake as error:
        raise TollgateError(f"{place}: {error.message}", error.hint) from None


def raise_if_own(site: Site, keys: Mapping[KeyName, Secret]) -> None:
    """TollgateError if a tenant's key is a secret of the gateway or a provider's key. Compares the values."""
    own = _own(site)
    for name, key in keys.items():
        if key in own:
            raise TollgateError(
                f"{'/'.join(name)} has {own[key]} as its key",
                "give the tenant another key, or remove its api_key: with this key the tenant could administer the "
                "gateway or spend directly at the provider",
            )


def _own(site: Site) -> dict[Secret, str]:
    """The gateway's secrets and the providers' keys: value to a description."""
    own = {key: f"the provider's key {name}" for name, key in configuration.settings(site).provider_keys.items()}
    for name in (*(spec.name for spec in secrets.GENERATED), secrets.BASIC_KEY):
        for path in site.secrets_dir.glob(f"{name}*"):
            if path.is_file():
                own[secrets.read_file(path)] = f"the gateway's secret {name}"
    return own


def raise_if_shared(keys: Mapping[KeyName, Secret]) -> None:
    """TollgateError if two keys have the same text. Compares the values, after all sources were read."""
    owners: dict[Secret, KeyName] = {}
    for name, key in keys.items():
        first = owners.setdefault(key, name)
        if first != name:
            raise TollgateError(
                f"{'/'.join(name)} and {'/'.join(first)} have the same key",
                "a key belongs to one tenant: give one of them another key, or remove its api_key",
            )
