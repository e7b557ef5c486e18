"""`tollgate upgrade` and `tollgate rollback`: what was found out, a question, the steps, what can be typed next."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from typing import Annotated

import typer
from rich.console import Console

from tollgate.cli.progress import StepDisplay
from tollgate.errors import TollgateError
from tollgate.site import Site
from tollgate.stack.configuration import engine_install_allowed
from tollgate.stack.lock import locked
from tollgate.stack.upgrade import check
from tollgate.stack.upgrade.change import Run
from tollgate.stack.upgrade.check import Change

Yes = Annotated[bool, typer.Option("--yes", help="do not ask")]
Check = Annotated[bool, typer.Option("--check", help="only say what would be done, and what is in the way")]
AsJson = Annotated[bool, typer.Option("--json", help="print what was found and done as JSON on standard output")]


def upgrade(
    context: typer.Context,
    to: Annotated[str, typer.Argument(help="the LiteLLM to run; the newest this kit knows unless given")] = "",
    only_check: Check = False,
    yes: Yes = False,
    no_way_back: Annotated[
        bool, typer.Option("--no-way-back", help="with --yes: also where only a restore could take it back")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Put another LiteLLM in place: checks, asks, backs up, migrates, replaces the replicas one after another.

    The first part changes nothing, and --check ends there: exit 1 where something is in the way.
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
            hint = "add --no-way-back if that is meant; see `tollgate upgrade --check`"
            raise TollgateError(f"`make rollback` could not return to {change.current} afterwards", hint)
        _go(change, yes=yes, as_json=as_json)


def rollback(context: typer.Context, only_check: Check = False, yes: Yes = False, as_json: AsJson = False) -> None:
    """Return to the LiteLLM before the last upgrade, one replica after another. The schema and every row stay."""
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


def _go(change: Change, *, yes: bool, as_json: bool) -> None:
    if not yes:
        if not sys.stdin.isatty():
            raise TollgateError("nobody is here to ask", "add --yes to do it without a question")
        typer.confirm(_question(change), default=False, abort=True, err=True)
    run = Run(change, StepDisplay(Console(stderr=True)), engine_install_allowed())
    run.run()
    if as_json:
        done = {"changes": run.changes, "seconds": run.seconds, "backup": run.backup}
        typer.echo(json.dumps(_facts(change) | done, indent=2))
        return
    typer.echo(f"Every replica runs LiteLLM {change.target}, and a tenant's request was answered.")
    if not change.back and change.can_return:
        typer.echo(f"`make rollback` returns to {change.current}.")


def _question(change: Change) -> str:
    if change.back or change.unfinished or change.can_return:
        return "Go on?"
    return f"`make rollback` will NOT be able to return to {change.current}. Go on?"


def _show(change: Change, *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(_facts(change), indent=2))
    else:
        _tell(change, err=False)


def _tell(change: Change, *, err: bool = True) -> None:
    if change.target == change.current:
        rest = "an upgrade to it did not end" if change.unfinished else "the newest this kit knows: nothing to do"
        typer.echo(f"LiteLLM {change.current} is deployed, {rest}.", err=err)
        return
    typer.echo(f"LiteLLM {change.current} -> {change.target}", err=err)
    for finding in change.findings:
        typer.echo(f"  {'ok  ' if finding.ok else 'FAIL'}  {finding.name:<11} {finding.text}", err=err)


def _facts(change: Change) -> dict[str, object]:
    schema = change.schema
    return {
        "current": change.current,
        "target": change.target,
        "ok": change.ok,
        "can_return": change.can_return if change.target != change.current else None,
        "pending": list(schema.pending) if schema else [],
        "findings": [asdict(finding) for finding in change.findings],
    }
