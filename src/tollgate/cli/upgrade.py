"""`tollgate upgrade` and `tollgate rollback`: prints the checks, asks, runs the steps, says what to do next."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from typing import Annotated

import typer

from tollgate.cli.options import AsJson
from tollgate.cli.progress import StepDisplay
from tollgate.errors import TollgateError
from tollgate.site import Site
from tollgate.stack.configuration import engine_install_allowed
from tollgate.stack.host.lock import locked
from tollgate.stack.upgrade import check
from tollgate.stack.upgrade.change import ReleaseSwitch
from tollgate.stack.upgrade.check import ReleaseChange

Yes = Annotated[bool, typer.Option("--yes", help="do not ask")]
Check = Annotated[bool, typer.Option("--check", help="only check, and print what prevents it")]


def upgrade(
    context: typer.Context,
    to: Annotated[str, typer.Argument(help="the LiteLLM release (default: the newest that this kit knows)")] = "",
    only_check: Check = False,
    yes: Yes = False,
    no_way_back: Annotated[
        bool, typer.Option("--no-way-back", help="with --yes: upgrade even if only a restore could revert it")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Deploy another LiteLLM release: check, ask, back up, migrate, replace the replicas one after another.

    The checks change nothing. --check ends after them: exit 1 if one fails.
    """
    site: Site = context.obj
    if only_check:
        change = check.upgrade(site, to)
        _show(change, as_json=as_json)
        change.refuse()
        return
    with locked(site, f"upgrade to {to or 'the newest LiteLLM'}"):
        change = check.upgrade(site, to)
        if change.target == change.current and not change.unfinished:
            _show(change, as_json=as_json)
            return
        _tell(change)
        change.refuse()
        if yes and not change.can_return and not no_way_back and not change.unfinished:
            hint = "to upgrade anyway, add --no-way-back; see `tollgate upgrade --check`"
            raise TollgateError(f"`make rollback` could not return to {change.current} afterwards", hint)
        _go(change, yes=yes, as_json=as_json)


def rollback(context: typer.Context, only_check: Check = False, yes: Yes = False, as_json: AsJson = False) -> None:
    """Return to the LiteLLM release before the last upgrade, replica by replica. The schema and every row stay."""
    site: Site = context.obj
    if only_check:
        change = check.rollback(site)
        _show(change, as_json=as_json)
        change.refuse()
        return
    with locked(site, "rollback"):
        change = check.rollback(site)
        _tell(change)
        change.refuse()
        _go(change, yes=yes, as_json=as_json)


def _go(change: ReleaseChange, *, yes: bool, as_json: bool) -> None:
    if not yes:
        if not sys.stdin.isatty():
            raise TollgateError("this is not a terminal, so the command cannot ask", "pass --yes")
        typer.confirm(_question(change), default=False, abort=True, err=True)
    run = ReleaseSwitch(change, StepDisplay(), engine_install_allowed())
    run.run()
    if as_json:
        result = {"changes": run.changes, "seconds": run.seconds, "backup": run.backup}
        typer.echo(json.dumps(_facts(change) | result, indent=2))
        return
    typer.echo(f"Every replica runs LiteLLM {change.target}, and a tenant's request was answered.")
    if not change.back and change.can_return:
        typer.echo(f"`make rollback` returns to {change.current}.")


def _question(change: ReleaseChange) -> str:
    if change.back or change.unfinished or change.can_return:
        return "Continue?"
    return f"`make rollback` will NOT be able to return to {change.current}. Continue?"


def _show(change: ReleaseChange, *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(_facts(change), indent=2))
    else:
        _tell(change, err=False)


def _tell(change: ReleaseChange, *, err: bool = True) -> None:
    if change.target == change.current:
        rest = "an upgrade to it did not finish" if change.unfinished else "the newest this kit knows: nothing to do"
        typer.echo(f"LiteLLM {change.current} is deployed, {rest}.", err=err)
        return
    typer.echo(f"LiteLLM {change.current} -> {change.target}", err=err)
    for finding in change.findings:
        typer.echo(f"  {'ok  ' if finding.ok else 'FAIL'}  {finding.name:<11} {finding.text}", err=err)


def _facts(change: ReleaseChange) -> dict[str, object]:
    schema = change.schema
    return {
        "current": change.current,
        "target": change.target,
        "ok": change.ok,
        "can_return": change.can_return if change.target != change.current else None,
        "pending": list(schema.pending) if schema else [],
        "findings": [asdict(finding) for finding in change.findings],
    }
