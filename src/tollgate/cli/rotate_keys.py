"""`tollgate rotate-keys`: new keys for a tenant, or new passwords for the stack itself, without losing a request."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import typer
from rich.console import Console

from tollgate.cli import tenant_words as words
from tollgate.cli.progress import StepDisplay
from tollgate.cli.tenant_connect import named_key
from tollgate.config.tenant_model import DEFAULT_KEY, Tenant, TenantKey
from tollgate.errors import TollgateError
from tollgate.render.connect import HELPER_TTL_MS
from tollgate.site import Site
from tollgate.stack import configuration, key_rotation, tenant_files, tenants
from tollgate.stack.compose import Compose
from tollgate.stack.configuration import Configuration
from tollgate.stack.infrastructure import MASTER, ROTATED, PasswordRotation, chosen
from tollgate.stack.lock import locked
from tollgate.stack.tenant_change import why_not_running

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
LONGEST = timedelta(days=90)
TTL = timedelta(milliseconds=HELPER_TTL_MS)


def rotate_keys(
    context: typer.Context,
    tenant: Annotated[str, typer.Argument(metavar="TENANT", help="whose key; see --all")] = "",
    key: Annotated[str, typer.Option("--key", help="one of the tenant's keys")] = DEFAULT_KEY,
    grace: Annotated[str, typer.Option("--grace", help="how long the old key works on: 90s, 30m, 24h, 7d")] = "24h",
    every: Annotated[
        bool, typer.Option("--all", help="all keys of the tenant; without TENANT, of every tenant")
    ] = False,
    revoke_now: Annotated[bool, typer.Option("--revoke-now", help="no grace: the old key is refused at once")] = False,
    infrastructure: Annotated[
        bool, typer.Option("--infrastructure", help="the stack's own: master key, Redis and Postgres passwords")
    ] = False,
    only: Annotated[str, typer.Option("--only", help=f"with --infrastructure, some of {', '.join(ROTATED)}")] = "",
    yes: Annotated[bool, typer.Option("--yes", help="do not ask")] = False,
    as_json: words.AsJson = False,
) -> None:
    """Give a tenant a new key; the old one works on until the grace is over and then ends by itself."""
    site: Site = context.obj
    if only and not infrastructure:
        raise TollgateError("--only belongs to --infrastructure", "of a tenant's keys one is chosen with --key")
    if infrastructure:
        if tenant or every or revoke_now:
            raise TollgateError("--infrastructure rotates no tenant's key", "run the two one after the other")
        _infrastructure(site, chosen(only), yes=yes, as_json=as_json)
        return
    if not tenant and not every:
        raise TollgateError("expected a tenant", "rotate-keys TENANT, or --all for every tenant's keys")
    if every and key != DEFAULT_KEY:
        raise TollgateError("--key and --all exclude each other", "name one key, or rotate all of them")
    allowed = timedelta() if revoke_now else duration(grace)
    loaded = configuration.load(site)
    pairs, skipped = _chosen(site, loaded, tenant, key, every=every)
    if (revoke_now or not tenant) and not yes:
        what = f"{len(pairs)} key(s)" + (", and refuses the old ones at once" if revoke_now else "")
        typer.confirm(f"This rotates {what}. Go on?", default=False, abort=True)
    compose = Compose.core(site, loaded.settings.compose_project_name)
    reason = why_not_running(compose)
    if reason:
        raise TollgateError(f"nothing was rotated: {reason.partition(';')[0]}", "`make deploy` first")
    display = StepDisplay(Console(stderr=True))
    done: list[key_rotation.Rotated] = []
    with locked(site, "rotate keys"), tenants.opened(site, compose, loaded, only=tenant or None) as tenancy:
        for one, named in pairs:
            with display.step(f"{one.id}/{named.name}"):
                done.append(key_rotation.rotate(tenancy, one, named, allowed, display))
    _report(site, done, skipped, as_json=as_json)
    if not as_json and timedelta() < allowed < 2 * TTL:
        minutes = int(TTL.total_seconds() // 60)
        typer.echo(
            f"warning: Claude Code asks its key helper every {minutes} minutes; a grace this short may cut it off"
        )


def _infrastructure(site: Site, names: tuple[str, ...], *, yes: bool, as_json: bool) -> None:
    compose = Compose.core(site, configuration.project(site))
    reason = why_not_running(compose)
    if reason:
        raise TollgateError(f"nothing was rotated: {reason.partition(';')[0]}", "`make deploy` first")
    if not yes:
        what = f"gives the stack a new {', '.join(names)} and recreates its replicas one after another"
        typer.confirm(f"This {what}. Go on?", default=False, abort=True)
    display = StepDisplay(Console(stderr=True))
    with locked(site, "rotate infrastructure"), display.step("rotation"):
        rotated = PasswordRotation(site, compose, display, names).run()
    if as_json:
        typer.echo(json.dumps({"rotated": rotated}, indent=2))
        return
    typer.echo(f"rotated: {', '.join(rotated)}; the old ones are refused")
    if MASTER in rotated:
        typer.echo("programs of your own that use the master key: give them secrets/litellm_master_key anew")


def _chosen(
    site: Site, loaded: Configuration, tenant: str, key: str, *, every: bool
) -> tuple[list[tuple[Tenant, TenantKey]], list[str]]:
    """The keys to rotate, and why of some others not."""
    if not every:
        found = tenant_files.find(loaded, tenant)
        return [(found, named_key(found, key))], []
    whose = [tenant_files.find(loaded, tenant)] if tenant else list(loaded.tenants)
    pairs = [(one, named) for one in whose for named in one.all_keys]
    reasons = {(one.id, named.name): key_rotation.why_not(site, one, named, datetime.now(UTC)) for one, named in pairs}
    able = [(one, named) for one, named in pairs if not reasons[one.id, named.name]]
    return able, [reason for reason in reasons.values() if reason]


def duration(text: str) -> timedelta:
    """`90s`, `30m`, `24h`, `7d`; at least a second, at most 90 days."""
    found = re.fullmatch(r"([0-9]{1,7})([smhd])", text)
    if not found:
        raise TollgateError(f"--grace: expected a number with s, m, h or d, found {text[:40]!a}", "as in 24h")
    length = timedelta(**{_UNITS[found[2]]: int(found[1])})
    if not length:
        raise TollgateError("--grace: expected more than nothing", "--revoke-now refuses the old key at once")
    if length > LONGEST:
        raise TollgateError(
            f"--grace: expected at most {LONGEST.days}d, found {text}", "a key that leaks lives as long"
        )
    return length


def _report(site: Site, done: list[key_rotation.Rotated], skipped: list[str], *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps({"rotated": list(_rows(site, done)), "skipped": skipped}, indent=2))
        return
    for row in _rows(site, done):
        end = (
            f"the old one works until {row['old_key_until']}" if row["old_key_until"] else "the old one is refused now"
        )
        typer.echo(f"{row['tenant']}/{row['key']}: new key in {row['file']}; {end}")
        name = "" if row["key"] == DEFAULT_KEY else f" --key {row['key']}"
        typer.echo(f"  hand it over: scripts/manage-tenants.sh connect {row['tenant']}{name} --show-key")
    for reason in skipped:
        typer.echo(f"left alone: {reason}")


def _rows(site: Site, done: list[key_rotation.Rotated]) -> Iterator[dict[str, Any]]:
    for one in done:
        yield {
            "tenant": one.tenant,
            "key": one.name,
            "file": str(one.file.relative_to(site.home)),
            "alias": one.alias,
            "old_key_until": one.until and one.until.isoformat(timespec="seconds"),
        }
