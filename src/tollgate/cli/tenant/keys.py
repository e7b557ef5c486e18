"""`tollgate tenant key add | list | remove`: further keys of a tenant, one for each person or CI job."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from pydantic import TypeAdapter, ValidationError
from rich.table import Table
from rich.text import Text

from tollgate.cli.options import AsJson
from tollgate.cli.tenant import words
from tollgate.cli.tenant.connect import named_key
from tollgate.cli.tenant.write import Id, display, report, tell
from tollgate.cli.terminal import Terminal
from tollgate.config.tenant.expiry import Expiry
from tollgate.config.tenant.model import DEFAULT_KEY
from tollgate.config.yaml import edit
from tollgate.errors import TollgateError
from tollgate.site import Site
from tollgate.stack import configuration
from tollgate.stack.secrets import store as secrets
from tollgate.stack.tenants import files as tenant_files
from tollgate.stack.tenants import rotate
from tollgate.stack.tenants.change import NewKey, carry_out

group = typer.Typer(name="key", help="Further keys of a tenant.", no_args_is_help=True, rich_markup_mode=None)
KeyName = Annotated[str, typer.Argument(metavar="NAME", help="the key's name: a person or a CI job")]


def add(
    context: typer.Context,
    tenant: Id,
    name: KeyName,
    owner: Annotated[str, typer.Option("--owner", help="e-mail address of its user")] = "",
    expires: Annotated[str, typer.Option("--expires", metavar="DATE", help="its last day, as in 2027-01-31")] = "",
    models: words.Models = "",
    daily: words.Daily = "",
    monthly: words.Monthly = "",
    rpm: words.Rpm = "",
    as_json: AsJson = False,
) -> None:
    """Give a tenant one more key. It spends the tenant's budget. Its own limits apply in addition."""
    site: Site = context.obj
    name = words.key_name(name)
    owner_tenant = tenant_files.find(configuration.load(site), tenant)
    if name in [key.name for key in owner_tenant.all_keys]:
        raise TollgateError(f"{tenant} has a key {name} already", "choose another name, or rotate the existing key")
    entry: dict[str, Any] = {"name": name, **{k: v for k, v in (("owner", owner), ("expires", expires)) if v}}
    if models:
        entry["allowed_models"] = words.models(models)
    for (section, field), value in words.amounts(daily=daily, monthly=monthly, rpm=rpm).items():
        entry.setdefault(str(section), {})[field] = value
    text = edit.append(tenant_files.text_of(owner_tenant), owner_tenant.file, ("keys",), entry)
    _raise_if_past(expires)
    kept = secrets.tenant_key(site, tenant, name)
    key = kept or secrets.generate("sk-")
    done = carry_out(site, tenant, {owner_tenant.file: text}, display(), key=NewKey(key, name))
    where = f"secrets/{secrets.tenant_key_file(tenant, name)}"
    if as_json:
        typer.echo(json.dumps({**report(site, done), "key": key.reveal(), "key_file": where}, indent=2))
        return
    tell(site, done)
    typer.echo(f"the key is in {where} (0600)\n\nKey {name} of {tenant}, shown only now:\n  {key.reveal()}")
    typer.echo(f"\nTo connect its user: scripts/manage-tenants.sh connect {tenant} --key {name}")


def _raise_if_past(expires: str) -> None:
    """TollgateError for a date in the past: a file may keep an expired key, but a new one is a mistake.

    The validation of the file reports text that is not a date.
    """
    if not expires:
        return
    try:
        ends = TypeAdapter(Expiry).validate_python(expires)
    except ValidationError:
        return
    if ends <= datetime.now(UTC):
        raise TollgateError(
            f"--expires: expected a day in the future, found {expires}", "as in 2027-01-31, the key's last day"
        )


def list_keys(context: typer.Context, tenant: Id, as_json: AsJson = False) -> None:
    """List a tenant's keys: owners, expiry, and where their text is. Never prints the keys."""
    site: Site = context.obj
    owner = tenant_files.find(configuration.load(site), tenant)
    rows: list[dict[str, Any]] = [
        {
            "name": key.name,
            "owner": key.owner,
            "expires": key.expires and key.expires.isoformat(),
            "source": rotate.place(site, owner, key),
        }
        for key in owner.all_keys
    ]
    if as_json:
        typer.echo(json.dumps(rows, indent=2))
        return
    table = Table(box=None, pad_edge=False)
    for heading in ("NAME", "OWNER", "EXPIRES", "KEPT IN"):
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(*map(Text, (row["name"], row["owner"], row["expires"] or "never", row["source"])))
    Terminal().print(table)


def remove(
    context: typer.Context,
    tenant: Id,
    name: KeyName,
    yes: Annotated[bool, typer.Option("--yes", help="do not ask")] = False,
    as_json: AsJson = False,
) -> None:
    """Remove one of a tenant's further keys. All replicas refuse it immediately."""
    site: Site = context.obj
    owner = tenant_files.find(configuration.load(site), tenant)
    key = named_key(owner, name)
    if name == DEFAULT_KEY:
        hint = f"use `suspend {tenant}` or `delete {tenant}`, or make a new key: rotate-keys.sh {tenant} --revoke-now"
        raise TollgateError(f"{DEFAULT_KEY} is the tenant's own key and cannot be removed", hint)
    if not yes:
        question = f"This removes key {name} from {os.path.relpath(owner.file)}. Its user is refused. Continue?"
        typer.confirm(question, default=False, abort=True)
    index = owner.keys.index(key)
    text = edit.remove(tenant_files.text_of(owner), owner.file, ("keys", index))
    done = carry_out(site, tenant, {owner.file: text}, display(), removes=True)
    if not done.waiting and key.api_key is None:
        site.secret(secrets.tenant_key_file(tenant, name)).unlink(missing_ok=True)
    if as_json:
        typer.echo(json.dumps(report(site, done), indent=2))
    else:
        tell(site, done)


group.command()(add)
group.command("list")(list_keys)
group.command()(remove)
