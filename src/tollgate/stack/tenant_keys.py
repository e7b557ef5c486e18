"""The plain text of tenants' keys: from where the file says, else the generated one under secrets/tenants/."""

from __future__ import annotations

import os
from collections.abc import Mapping

from tollgate.config.key_source import check_key
from tollgate.config.secret import Secret
from tollgate.config.tenant_model import Tenant, TenantKey
from tollgate.errors import TollgateError
from tollgate.reconcile.desired import KeyName
from tollgate.site import Site
from tollgate.stack import secrets


def key_of(site: Site, tenant: Tenant, named: TenantKey | None = None) -> Secret | None:
    """A key of a tenant, its own unless another is named; None where it is to be generated and was not yet."""
    named = named or tenant.all_keys[0]
    origin = named.api_key
    if origin is None:
        return secrets.tenant_key(site, tenant.id, named.name)
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
    place = f"{tenant.file}: key {named.name}: {origin.kind}:{name}"
    if not value:
        raise TollgateError(f"{place} holds no key", hint)
    try:
        return check_key(value)
    except ValueError as error:
        what, _, advice = str(error).partition("\n")
        raise TollgateError(f"{place}: {what}", advice) from None


def raise_if_shared(keys: Mapping[KeyName, Secret]) -> None:
    """A key belongs to one tenant; files, variables and literals can only be compared once they are read."""
    owners: dict[Secret, KeyName] = {}
    for name, key in keys.items():
        first = owners.setdefault(key, name)
        if first != name:
            raise TollgateError(
                f"{'/'.join(name)} and {'/'.join(first)} have the same key",
                "a key belongs to one tenant: give one of them another, or leave its api_key out",
            )
