"""`tollgate tenant list | show`: prints the tenants' files, and for one tenant also its keys in the gateway."""

from __future__ import annotations

import json
from typing import Any

import typer
from rich.table import Table
from rich.text import Text

from tollgate.cli.options import AsJson
from tollgate.cli.tenant.write import Id
from tollgate.cli.terminal import Terminal
from tollgate.config.tenant.model import Tenant, TenantKey
from tollgate.limits import BUDGETS, RATES, Limit
from tollgate.litellm.state import EXPIRED, Key
from tollgate.site import Site
from tollgate.stack import configuration
from tollgate.stack.deployment import Deployment
from tollgate.stack.tenants import files as tenant_files
from tollgate.stack.tenants import rotate
from tollgate.stack.tenants import tenancy as tenants
from tollgate.stack.tenants.change import why_not_running

SHOWN = (*BUDGETS, *RATES)


def list_tenants(context: typer.Context, as_json: AsJson = False) -> None:
    """List every tenant of tenants/*.yaml: models, limits, keys, suspended or not."""
    site: Site = context.obj
    loaded = configuration.load(site).tenants
    if as_json:
        typer.echo(json.dumps([_as_json(site, tenant) for tenant in loaded], indent=2))
        return
    if not len(loaded):
        typer.echo('no tenants yet: `scripts/manage-tenants.sh create ID DAILY_USD "MODEL,MODEL"`')
        return
    table = Table(box=None, pad_edge=False)
    for heading in ("ID", "NAME", "MODELS", "LIMITS", "KEYS", "STATE"):
        table.add_column(heading, overflow="fold")
    for tenant in loaded:
        words_of = (
            tenant.id,
            tenant.tenant.name,
            ", ".join(tenant.allowed_models or ("all",)),
            ", ".join(_limits(tenant)) or "none",
            ", ".join(key.name for key in tenant.all_keys),
        )
        # Text, not str: Rich would take [brackets] in a name for its own markup.
        state = Text("suspended", "red") if tenant.suspended else Text("active")
        table.add_row(*map(Text, words_of), state)
    Terminal().print(table)


def show(context: typer.Context, tenant: Id, as_json: AsJson = False) -> None:
    """Show one tenant: its file, where its keys are, and its keys in the gateway, including old keys of a rotation."""
    site: Site = context.obj
    loaded = configuration.load(site)
    shown = tenant_files.find(loaded, tenant)
    deployment = Deployment.of(site, loaded.settings)
    waiting = why_not_running(deployment.compose)
    live: list[Key] = []
    pending = 0
    if not waiting:
        with tenants.opened(deployment, loaded, only=tenant) as tenancy:
            live = sorted(tenancy.observed.keys.values(), key=lambda key: (key.name, key.retiring, key.alias))
            pending = len(tenancy.plan().changes)
    if as_json:
        keys = [_key_json(key) for key in live]
        gateway = None if waiting else {"keys": keys, "changes_to_apply": pending}
        typer.echo(json.dumps({**_as_json(site, shown), "gateway": gateway}, indent=2))
        return
    typer.echo(f"{shown.id}  {shown.tenant.name}  {'SUSPENDED' if shown.suspended else 'active'}")
    typer.echo(f"  file    {shown.file.relative_to(site.home)}")
    typer.echo(f"  owner   {shown.tenant.owner or 'none'}")
    typer.echo(f"  models  {', '.join(shown.models or ('all',))}")
    typer.echo(f"  limits  {', '.join(_limits(shown)) or 'none'}")
    for key in shown.all_keys:
        typer.echo(f"  key     {key.name}: {rotate.place(site, shown, key)}")
        if rotate.unfinished(site, shown, key):
            command = f"scripts/rotate-keys.sh {shown.id} --key {key.name}"
            typer.echo(f"          its rotation was interrupted; to continue: `{command}`")
    if waiting:
        typer.echo(f"  gateway unknown: {waiting}")
    for live_key in live:
        typer.echo(f"  live    {live_key.alias}: {_state(live_key)}")
    if pending:
        typer.echo(f"  {pending} change(s) not applied yet: `make plan`")


def _limits(tenant: Tenant) -> list[str]:
    """The limits in words."""
    return [limit.short.format(value) for limit in SHOWN if (value := _value(tenant, limit)) is not None]


def _value(tenant: Tenant, limit: Limit) -> Any:
    return getattr(getattr(tenant, limit.section), limit.name)


def _as_json(site: Site, tenant: Tenant) -> dict[str, Any]:
    return {
        "id": tenant.id,
        "name": tenant.tenant.name,
        "owner": tenant.tenant.owner,
        "file": str(tenant.file.relative_to(site.home)),
        "models": tenant.models and list(tenant.models),
        "limits": {limit.name: _value(tenant, limit) for limit in SHOWN},
        "keys": [_named(site, tenant, key) for key in tenant.all_keys],
        "suspended": tenant.suspended,
    }


def _named(site: Site, tenant: Tenant, key: TenantKey) -> dict[str, Any]:
    expires = key.expires and key.expires.isoformat()
    return {"name": key.name, "owner": key.owner, "source": rotate.place(site, tenant, key), "expires": expires}


def _key_json(key: Key) -> dict[str, Any]:
    return {"alias": key.alias, "name": key.name, "state": _state(key), "expires": key.expires}


def _state(key: Key) -> str:
    if key.expires == EXPIRED:
        return "expired"
    state = "blocked" if key.blocked else "works"
    until = f" until {key.expires}" if key.expires else ""
    return f"{state}{until}" + (", the old one of a rotation" if key.retiring else "")
