"""`tollgate tenant create | update | delete | suspend | resume`: changes a tenant's file and applies it."""

from __future__ import annotations

import json
import os
from typing import Annotated, Any

import typer

from tollgate.cli.options import AsJson
from tollgate.cli.progress import StepDisplay
from tollgate.cli.tenant import words
from tollgate.config.secret import Secret
from tollgate.config.tenant.model import Tenant
from tollgate.config.yaml import edit
from tollgate.config.yaml.document import Loc
from tollgate.errors import TollgateError
from tollgate.site import Site
from tollgate.stack import configuration
from tollgate.stack.secrets import store as secrets
from tollgate.stack.tenants import files as tenant_files
from tollgate.stack.tenants.change import Done, NewKey, carry_out

Id = Annotated[str, typer.Argument(metavar="ID", help="the tenant's id: the name of its file without .yaml")]
VISIBLE = (
    "warning: the process list and your shell's history show a key that is an argument; "
    "next time pass - and type the key, or leave it out"
)


def create(
    context: typer.Context,
    tenant: Id,
    given: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[KEY] [DAILY_USD [MODELS]]",
            help="KEY: sk-..., - to read it from standard input, env:NAME or file:PATH (default: generate a key)",
        ),
    ] = None,
    models: words.Models = "",
    daily: words.Daily = "",
    weekly: words.Weekly = "",
    monthly: words.Monthly = "",
    rpm: words.Rpm = "",
    rph: words.Rph = "",
    rpd: words.Rpd = "",
    tpm: words.Tpm = "",
    parallel: words.Parallel = "",
    name: words.FullName = None,
    owner: words.Owner = None,
    as_json: AsJson = False,
) -> None:
    """Write tenants/ID.yaml and apply it to the running gateway: create engineering 100 "gpt-4o-mini,qwen-coder"."""
    site: Site = context.obj
    arguments = words.create_words(given or [])
    tenant = words.tenant_id(tenant)
    _once(daily=(arguments.daily, daily), models=(arguments.models, models))
    file = tenant_files.new_file(site, tenant)
    if file.exists():
        hint = f"`tollgate tenant update {tenant}` changes it, `make apply` applies it"
        raise TollgateError(f"tenant {tenant} exists already: {os.path.relpath(file)}", hint)
    content: dict[str, Any] = {"tenant": {"id": tenant, **_some(name=name, owner=owner, api_key=arguments.source)}}
    if arguments.models or models:
        content["allowed_models"] = words.models(arguments.models or models)
    limits = words.amounts(
        daily=arguments.daily or daily,
        weekly=weekly,
        monthly=monthly,
        rpm=rpm,
        rph=rph,
        rpd=rpd,
        tpm=tpm,
        parallel=parallel,
    )
    for (section, field), value in limits.items():
        content.setdefault(str(section), {})[field] = value
    text = edit.new(content)
    configuration.load(site, {file: text})  # validates the id before it becomes the name of a key's file
    kept = secrets.tenant_key(site, tenant)
    key = None if arguments.source else arguments.key or kept or secrets.generate("sk-")
    done = carry_out(site, tenant, {file: text}, display(), key=NewKey(key) if key else None)
    where = f"secrets/{secrets.tenant_key_file(tenant)}"
    shown = None if arguments.key or key == kept else key
    if as_json:
        typer.echo(
            json.dumps({**report(site, done), "key": shown and shown.reveal(), "key_file": key and where}, indent=2)
        )
        return
    tell(site, done)
    if key is not None:
        which = "the existing key" if key == kept else "its key"
        typer.echo(f"{which} is in {where} (0600), not in the YAML file")
    if arguments.visible:
        typer.echo(VISIBLE, err=True)
    if shown is not None:
        typer.echo(f"\nKey of {tenant}, shown only now:\n  {shown.reveal()}")
    typer.echo(f"\nTo connect the team: scripts/manage-tenants.sh connect {tenant}")


def update(
    context: typer.Context,
    tenant: Id,
    models: words.Models = "",
    daily: words.Daily = "",
    weekly: words.Weekly = "",
    monthly: words.Monthly = "",
    soft: words.Soft = "",
    rpm: words.Rpm = "",
    rph: words.Rph = "",
    rpd: words.Rpd = "",
    tpm: words.Tpm = "",
    parallel: words.Parallel = "",
    name: words.FullName = None,
    owner: words.Owner = None,
    as_json: AsJson = False,
) -> None:
    """Change limits and models in a tenant's file and apply it: update acme --daily 50. Comments in the file stay."""
    changes: dict[Loc, Any] = words.amounts(
        daily=daily, weekly=weekly, monthly=monthly, soft=soft, rpm=rpm, rph=rph, rpd=rpd, tpm=tpm, parallel=parallel
    )
    if models:
        changes["allowed_models",] = words.models(models)
    changes |= {("tenant", field): value for field, value in (("name", name), ("owner", owner)) if value is not None}
    if not changes:
        raise TollgateError("expected an option with a value, found none", "as in --daily 50; see --help")
    _edit(context, tenant, changes, as_json=as_json)


def suspend(context: typer.Context, tenant: Id, as_json: AsJson = False) -> None:
    """Refuse every request of a tenant immediately. Nothing else changes. `resume` reverts this."""
    _edit(context, tenant, {("suspended",): True}, as_json=as_json)


def resume(context: typer.Context, tenant: Id, as_json: AsJson = False) -> None:
    """Accept requests of a suspended tenant again."""
    site: Site = context.obj
    suspended = tenant_files.find(configuration.load(site), tenant)
    text = edit.remove(tenant_files.text_of(suspended), suspended.file, ("suspended",))
    if suspended.defaults is not None and suspended.defaults.data.get("suspended"):
        text = edit.put(text, suspended.file, ("suspended",), False)
    _carry_out(site, suspended, text, as_json=as_json)


def delete(
    context: typer.Context,
    tenant: Id,
    allow_delete: Annotated[
        bool,
        typer.Option("--allow-delete", help="delete team and keys in LiteLLM forever, instead of blocking them"),
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="do not ask")] = False,
    as_json: AsJson = False,
) -> None:
    """Remove a tenant's file and block its keys. A blocked tenant can come back, a deleted one cannot. Spend stays."""
    site: Site = context.obj
    file = tenant_files.find(configuration.load(site), tenant).file
    if not yes:
        what = "deletes the team and its keys forever" if allow_delete else "blocks its keys"
        typer.confirm(f"This removes {os.path.relpath(file)} and {what}. Continue?", default=False, abort=True)
    done = carry_out(site, tenant, {file: None}, display(), removes=True, allow_delete=allow_delete)
    if allow_delete and not done.waiting:
        secrets.forget_tenant(site, tenant)
    if as_json:
        typer.echo(json.dumps(report(site, done), indent=2))
        return
    tell(site, done, verb="removed")
    if not allow_delete or done.waiting:
        typer.echo("its keys stay in secrets/tenants/; to delete team and keys: `tollgate apply --allow-delete`")


def _edit(context: typer.Context, tenant: str, changes: dict[Loc, Any], *, as_json: bool) -> None:
    site: Site = context.obj
    edited: Tenant = tenant_files.find(configuration.load(site), tenant)
    text = tenant_files.text_of(edited)
    for loc, value in changes.items():
        text = edit.put(text, edited.file, loc, value)
    _carry_out(site, edited, text, as_json=as_json)


def _carry_out(site: Site, tenant: Tenant, text: str, *, as_json: bool) -> None:
    done = carry_out(site, tenant.id, {tenant.file: text}, display())
    if as_json:
        typer.echo(json.dumps(report(site, done), indent=2))
    else:
        tell(site, done)


def tell(site: Site, done: Done, verb: str = "wrote") -> None:
    for file in done.written:
        typer.echo(f"{verb} {file.relative_to(site.home)}")
    for line in done.applied:
        typer.echo(f"applied: {line}")
    for line in done.left:
        typer.echo(f"left alone: {line}; `make plan` shows it")
    if done.waiting:
        typer.echo(f"not applied: {done.waiting}")
    elif not done.applied:
        typer.echo("nothing to apply: the gateway has this already")


def report(site: Site, done: Done) -> dict[str, Any]:
    written = [str(file.relative_to(site.home)) for file in done.written]
    return {"written": written, "applied": done.applied, "left": done.left, "waiting": done.waiting}


def _once(**twice: tuple[str, str]) -> None:
    for name, (word, option) in twice.items():
        if word and option:
            raise TollgateError(f"{name} is given twice, as a word and as --{name}", "keep one of them")


def _some(**values: str | Secret | None) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value}


def display() -> StepDisplay:
    return StepDisplay()
