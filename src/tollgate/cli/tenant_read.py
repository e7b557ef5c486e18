"""`tollgate tenant list | show`: what the tenants' files say, and of one tenant also what the gateway has."""

from __future__ import annotations

import json
from typing import Any

import typer
from rich.console import Console
from rich.table import Table

from tollgate.cli import tenant_words as words
from tollgate.cli.tenant_write import Id
from tollgate.config.tenant_model import Tenant, TenantKey
from tollgate.litellm.state import EXPIRED, Key
from tollgate.site import Site
from tollgate.stack import configuration, key_rotation, tenant_files, tenants
from tollgate.stack.compose import Compose
from tollgate.stack.tenant_change import why_not_running

# As people say them, in the order of the table.
LIMITS = {
    "budget.daily_limit": "${:g}/day",
    "budget.weekly_limit": "${:g}/week",
    "budget.monthly_limit": "${:g}/month",
    "rate_limits.requests_per_minute": "{}/min",
    "rate_limits.requests_per_hour": "{}/h",
    "rate_limits.requests_per_day": "{}/day",
    "rate_limits.tokens_per_minute": "{} tokens/min",
    "rate_limits.max_parallel_requests": "{} at once",
}


def list_tenants(context: typer.Context, as_json: words.AsJson = False) -> None:
    """Every tenant of tenants/*.yaml: models, limits, keys, and whether it is suspended."""
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
        state = "[red]suspended[/]" if tenant.suspended else "active"
        table.add_row(
            tenant.id,
            tenant.tenant.name,
            ", ".join(tenant.allowed_models or ("all",)),
            ", ".join(_limits(tenant)) or "none",
            ", ".join(key.name for key in tenant.all_keys),
            state,
        )
    Console().print(table)


def show(context: typer.Context, tenant: Id, as_json: words.AsJson = False) -> None:
    """One tenant: its file, where its keys are, and its keys in the gateway with those that are being rotated."""
    site: Site = context.obj
    loaded = configuration.load(site)
    found = tenant_files.find(loaded, tenant)
    compose = Compose.core(site, loaded.settings.compose_project_name)
    waiting = why_not_running(compose)
    live: list[Key] = []
    pending = 0
    if not waiting:
        with tenants.opened(site, compose, loaded, only=tenant) as tenancy:
            live = sorted(tenancy.observed.keys.values(), key=lambda key: (key.name, key.retiring, key.alias))
            pending = len(tenancy.plan().changes)
    if as_json:
        keys = [_key_json(key) for key in live]
        gateway = None if waiting else {"keys": keys, "changes_to_apply": pending}
        typer.echo(json.dumps({**_as_json(site, found), "gateway": gateway}, indent=2))
        return
    typer.echo(f"{found.id}  {found.tenant.name}  {'SUSPENDED' if found.suspended else 'active'}")
    typer.echo(f"  file    {found.file.relative_to(site.home)}")
    typer.echo(f"  owner   {found.tenant.owner or 'nobody named'}")
    typer.echo(f"  models  {', '.join(found.models or ('all',))}")
    typer.echo(f"  limits  {', '.join(_limits(found)) or 'none'}")
    for key in found.all_keys:
        typer.echo(f"  key     {key.name}: {key_rotation.place(site, found, key)}")
        if key_rotation.unfinished(site, found, key):
            typer.echo(
                f"          its rotation was interrupted: `scripts/rotate-keys.sh {found.id} --key {key.name}` ends it"
            )
    if waiting:
        typer.echo(f"  gateway unknown: {waiting}")
    for one in live:
        typer.echo(f"  live    {one.alias}: {_state(one)}")
    if pending:
        typer.echo(f"  {pending} change(s) not applied yet: `make plan`")


def _limits(tenant: Tenant) -> list[str]:
    return [form.format(value) for place, form in LIMITS.items() if (value := _limit(tenant, place)) is not None]


def _limit(tenant: Tenant, place: str) -> Any:
    section, name = place.split(".")
    return getattr(getattr(tenant, section), name)


def _as_json(site: Site, tenant: Tenant) -> dict[str, Any]:
    return {
        "id": tenant.id,
        "name": tenant.tenant.name,
        "owner": tenant.tenant.owner,
        "file": str(tenant.file.relative_to(site.home)),
        "models": tenant.models and list(tenant.models),
        "limits": {place.split(".")[1]: _limit(tenant, place) for place in LIMITS},
        "keys": [_named(site, tenant, key) for key in tenant.all_keys],
        "suspended": tenant.suspended,
    }


def _named(site: Site, tenant: Tenant, key: TenantKey) -> dict[str, Any]:
    expires = key.expires and key.expires.isoformat()
    return {"name": key.name, "owner": key.owner, "source": key_rotation.place(site, tenant, key), "expires": expires}


def _key_json(key: Key) -> dict[str, Any]:
    return {"alias": key.alias, "name": key.name, "state": _state(key), "expires": key.expires}


def _state(key: Key) -> str:
    if key.expires == EXPIRED:
        return "expired"
    state = "blocked" if key.blocked else "works"
    until = f" until {key.expires}" if key.expires else ""
    return f"{state}{until}" + (", the old one of a rotation" if key.retiring else "")
