"""`tollgate tenant key add | list | remove`: further keys of a tenant, one for each person or CI job."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from pydantic import TypeAdapter, ValidationError
from rich.console import Console
from rich.table import Table

from tollgate.cli import tenant_words as words
from tollgate.cli.tenant_connect import named_key
from tollgate.cli.tenant_write import Id, display, report, tell
from tollgate.config import tenant_edit
from tollgate.config.expiry import Expiry
from tollgate.config.tenant_model import DEFAULT_KEY
from tollgate.errors import TollgateError
from tollgate.site import Site
from tollgate.stack import configuration, key_rotation, secrets, tenant_files
from tollgate.stack.tenant_change import NewKey, carry_out

group = typer.Typer(name="key", help="Further keys of a tenant.", no_args_is_help=True, rich_markup_mode=None)
KeyName = Annotated[str, typer.Argument(metavar="NAME", help="of the key: a person or a CI job")]


def add(
    context: typer.Context,
    tenant: Id,
    name: KeyName,
    owner: Annotated[str, typer.Option("--owner", help="e-mail address of who uses it")] = "",
    expires: Annotated[str, typer.Option("--expires", metavar="DATE", help="last day it works, as in 2027-01-31")] = "",
    models: words.Models = "",
    daily: words.Daily = "",
    monthly: words.Monthly = "",
    rpm: words.Rpm = "",
    as_json: words.AsJson = False,
) -> None:
    """Give a tenant one more key. It spends the tenant's budget; limits of its own narrow it further."""
    site: Site = context.obj
    name = words.key_name(name)
    found = tenant_files.find(configuration.load(site), tenant)
    if name in [key.name for key in found.all_keys]:
        raise TollgateError(f"{tenant} has a key {name} already", "give the new one another name, or rotate that one")
    entry: dict[str, Any] = {"name": name, **{k: v for k, v in (("owner", owner), ("expires", expires)) if v}}
    if models:
        entry["allowed_models"] = words.models(models)
    for (section, field), value in words.amounts(daily=daily, monthly=monthly, rpm=rpm).items():
        entry.setdefault(str(section), {})[field] = value
    text = tenant_edit.append(tenant_files.text_of(found), found.file, ("keys",), entry)
    _has_not_ended(expires)
    kept = secrets.tenant_key(site, tenant, name)
    key = kept or secrets.generate("sk-")
    done = carry_out(site, tenant, {found.file: text}, display(), key=NewKey(key, name))
    where = f"secrets/{secrets.tenant_key_file(tenant, name)}"
    if as_json:
        typer.echo(json.dumps({**report(site, done), "key": key.reveal(), "key_file": where}, indent=2))
        return
    tell(site, done)
    typer.echo(f"its key is in {where} (0600)\n\nKey {name} of {tenant}, shown this once:\n  {key.reveal()}")
    typer.echo(f"\nFor whoever uses it: scripts/manage-tenants.sh connect {tenant} --key {name}")


def _has_not_ended(expires: str) -> None:
    """A file may keep the key of somebody who left; a new one that is dead already is a slip. What is no date at all is
    the file's validation to say."""
    if not expires:
        return
    try:
        ends = TypeAdapter(Expiry).validate_python(expires)
    except ValidationError:
        return
    if ends <= datetime.now(UTC):
        raise TollgateError(
            f"--expires: expected a day to come, found {expires}", "as in 2027-01-31, the last day it works"
        )


def list_keys(context: typer.Context, tenant: Id, as_json: words.AsJson = False) -> None:
    """A tenant's keys: who has them, when they end, and where their text is. Never the keys themselves."""
    site: Site = context.obj
    found = tenant_files.find(configuration.load(site), tenant)
    rows: list[dict[str, Any]] = [
        {
            "name": key.name,
            "owner": key.owner,
            "expires": key.expires and key.expires.isoformat(),
            "source": key_rotation.place(site, found, key),
        }
        for key in found.all_keys
    ]
    if as_json:
        typer.echo(json.dumps(rows, indent=2))
        return
    table = Table(box=None, pad_edge=False)
    for heading in ("NAME", "OWNER", "EXPIRES", "KEPT IN"):
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(row["name"], row["owner"], row["expires"] or "never", row["source"])
    Console().print(table)


def remove(
    context: typer.Context,
    tenant: Id,
    name: KeyName,
    yes: Annotated[bool, typer.Option("--yes", help="do not ask")] = False,
    as_json: words.AsJson = False,
) -> None:
    """Take one of a tenant's further keys away: it is refused from now on, everywhere."""
    site: Site = context.obj
    found = tenant_files.find(configuration.load(site), tenant)
    key = named_key(found, name)
    if name == DEFAULT_KEY:
        hint = f"`suspend {tenant}` or `delete {tenant}`, or a new key: rotate-keys.sh {tenant} --revoke-now"
        raise TollgateError(f"{DEFAULT_KEY} is the tenant's own key and goes with the tenant", hint)
    if not yes:
        question = f"This takes key {name} out of {os.path.relpath(found.file)}; its user is cut off. Go on?"
        typer.confirm(question, default=False, abort=True)
    index = found.keys.index(key)
    text = tenant_edit.remove(tenant_files.text_of(found), found.file, ("keys", index))
    done = carry_out(site, tenant, {found.file: text}, display(), removes=True)
    if not done.waiting and key.api_key is None:
        (site.secrets_dir / secrets.tenant_key_file(tenant, name)).unlink(missing_ok=True)
    if as_json:
        typer.echo(json.dumps(report(site, done), indent=2))
    else:
        tell(site, done)


group.command()(add)
group.command("list")(list_keys)
group.command()(remove)
