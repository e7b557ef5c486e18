"""`tollgate rotate-keys`: new keys for tenants, or new passwords for the stack itself. No request is lost."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import typer

from tollgate.cli.options import AsJson
from tollgate.cli.progress import StepDisplay
from tollgate.cli.tenant.connect import named_key
from tollgate.config.tenant.model import DEFAULT_KEY, Tenant, TenantKey
from tollgate.errors import TollgateError
from tollgate.render.connect import HELPER_TTL_MS
from tollgate.site import Site
from tollgate.stack import configuration
from tollgate.stack.configuration import Configuration
from tollgate.stack.deployment import Deployment
from tollgate.stack.host.lock import locked
from tollgate.stack.passwords.rotate import MASTER, ROTATED, PasswordRotation, chosen
from tollgate.stack.tenants import files as tenant_files
from tollgate.stack.tenants import rotate
from tollgate.stack.tenants import tenancy as tenants
from tollgate.stack.tenants.change import why_not_running

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
LONGEST = timedelta(days=90)
TTL = timedelta(milliseconds=HELPER_TTL_MS)


def rotate_keys(
    context: typer.Context,
    tenant: Annotated[str, typer.Argument(metavar="TENANT", help="the tenant's id; see --all")] = "",
    key: Annotated[str, typer.Option("--key", help="one of the tenant's keys")] = DEFAULT_KEY,
    grace: Annotated[str, typer.Option("--grace", help="how long the old key still works: 90s, 30m, 24h, 7d")] = "24h",
    every: Annotated[bool, typer.Option("--all", help="all keys of TENANT, or of every tenant without TENANT")] = False,
    revoke_now: Annotated[
        bool, typer.Option("--revoke-now", help="refuse the old key at once, without a grace")
    ] = False,
    infrastructure: Annotated[
        bool, typer.Option("--infrastructure", help="rotate the stack's own master key, Redis and Postgres passwords")
    ] = False,
    only: Annotated[str, typer.Option("--only", help=f"with --infrastructure: only some of {', '.join(ROTATED)}")] = "",
    yes: Annotated[bool, typer.Option("--yes", help="do not ask")] = False,
    as_json: AsJson = False,
) -> None:
    """Give a tenant a new key. The old key still works until the grace is over, and then expires by itself."""
    site: Site = context.obj
    if only and not infrastructure:
        raise TollgateError("--only needs --infrastructure", "to rotate one key of a tenant, use --key")
    if infrastructure:
        if tenant or every or revoke_now:
            raise TollgateError("--infrastructure does not rotate tenants' keys", "run one command for each")
        _infrastructure(site, chosen(only), yes=yes, as_json=as_json)
        return
    if not tenant and not every:
        raise TollgateError("expected a tenant, found none", "rotate-keys TENANT, or --all for every tenant's keys")
    if every and key != DEFAULT_KEY:
        raise TollgateError("--key and --all exclude each other", "name one key, or rotate all of them")
    allowed = timedelta() if revoke_now else duration(grace)
    loaded = configuration.load(site)
    pairs, skipped = _chosen(site, loaded, tenant, key, every=every)
    if (revoke_now or not tenant) and not yes:
        what = f"{len(pairs)} key(s)" + (", and refuses the old ones at once" if revoke_now else "")
        typer.confirm(f"This rotates {what}. Continue?", default=False, abort=True)
    deployment = Deployment.of(site, loaded.settings)
    if missing := why_not_running(deployment.compose):
        raise TollgateError(f"nothing was rotated: {missing.reason}", "`make deploy` first")
    display = StepDisplay()
    done: list[rotate.Rotated] = []
    with locked(site, "rotate keys"), tenants.opened(deployment, loaded, only=tenant or None) as tenancy:
        for owner, named in pairs:
            with display.step(f"{owner.id}/{named.name}"):
                done.append(rotate.rotate(tenancy, owner, named, allowed, display))
    _report(site, done, skipped, as_json=as_json)
    if not as_json and timedelta() < allowed < 2 * TTL:
        minutes = int(TTL.total_seconds() // 60)
        typer.echo(
            f"warning: Claude Code reads its key helper every {minutes} minutes; with this short grace, some of its "
            "requests may be refused"
        )


def _infrastructure(site: Site, names: tuple[str, ...], *, yes: bool, as_json: bool) -> None:
    if missing := why_not_running(Deployment.of(site).compose):
        raise TollgateError(f"nothing was rotated: {missing.reason}", "`make deploy` first")
    if not yes:
        what = f"gives the stack a new {', '.join(names)} and recreates its replicas one after another"
        typer.confirm(f"This {what}. Continue?", default=False, abort=True)
    display = StepDisplay()
    with locked(site, "rotate infrastructure"), display.step("rotation"):
        rotated = PasswordRotation(Deployment.of(site), display, names).run()
    if as_json:
        typer.echo(json.dumps({"rotated": rotated}, indent=2))
        return
    typer.echo(f"rotated: {', '.join(rotated)}; the old ones are refused")
    if MASTER in rotated:
        typer.echo("if programs of your own use the master key, give them the new one: secrets/litellm_master_key")


def _chosen(
    site: Site, loaded: Configuration, tenant: str, key: str, *, every: bool
) -> tuple[list[tuple[Tenant, TenantKey]], list[str]]:
    """The keys to rotate, and the reasons why other keys cannot be rotated."""
    if not every:
        owner = tenant_files.find(loaded, tenant)
        return [(owner, named_key(owner, key))], []
    owners = [tenant_files.find(loaded, tenant)] if tenant else list(loaded.tenants)
    pairs = [(owner, named) for owner in owners for named in owner.all_keys]
    reasons = {(owner.id, named.name): rotate.why_not(site, owner, named, datetime.now(UTC)) for owner, named in pairs}
    able = [(owner, named) for owner, named in pairs if not reasons[owner.id, named.name]]
    return able, [reason for reason in reasons.values() if reason]


def duration(text: str) -> timedelta:
    """Parse `90s`, `30m`, `24h` or `7d`. TollgateError unless it is between one second and 90 days."""
    match = re.fullmatch(r"([0-9]{1,7})([smhd])", text)
    if not match:
        raise TollgateError(f"--grace: expected a number with s, m, h or d, found {text[:40]!a}", "as in 24h")
    length = timedelta(**{_UNITS[match[2]]: int(match[1])})
    if not length:
        raise TollgateError(
            f"--grace: expected at least 1s, found {text}", "to refuse the old key at once, use --revoke-now"
        )
    if length > LONGEST:
        raise TollgateError(
            f"--grace: expected at most {LONGEST.days}d, found {text}", "a leaked key works until the grace is over"
        )
    return length


def _report(site: Site, done: list[rotate.Rotated], skipped: list[str], *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps({"rotated": list(_rows(site, done)), "skipped": skipped}, indent=2))
        return
    for row in _rows(site, done):
        end = (
            f"the old one works until {row['old_key_until']}" if row["old_key_until"] else "the old one is refused now"
        )
        typer.echo(f"{row['tenant']}/{row['key']}: new key in {row['file']}; {end}")
        name = "" if row["key"] == DEFAULT_KEY else f" --key {row['key']}"
        typer.echo(f"  show it to its user: scripts/manage-tenants.sh connect {row['tenant']}{name} --show-key")
    for reason in skipped:
        typer.echo(f"not rotated: {reason}")


def _rows(site: Site, done: list[rotate.Rotated]) -> Iterator[dict[str, Any]]:
    for rotated in done:
        yield {
            "tenant": rotated.tenant,
            "key": rotated.name,
            "file": str(rotated.file.relative_to(site.home)),
            "alias": rotated.alias,
            "old_key_until": rotated.until and rotated.until.isoformat(timespec="seconds"),
        }
