"""`tollgate apply`: shows the plan, asks, and changes LiteLLM to match tenants/*.yaml."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from tollgate.cli import configured
from tollgate.cli.options import AsJson
from tollgate.cli.plan import AllowDelete
from tollgate.cli.plan_text import show
from tollgate.cli.terminal import Terminal
from tollgate.errors import TollgateError
from tollgate.reconcile.apply import Outcome, Report
from tollgate.reconcile.change import Action, Change
from tollgate.reconcile.plan import Plan, Reviewed
from tollgate.site import Site
from tollgate.stack.host.lock import locked
from tollgate.stack.tenants.tenancy import read, words


def apply(
    context: typer.Context,
    reviewed: Annotated[
        Path | None,
        typer.Argument(metavar="[PLAN]", help="a file of `tollgate plan --out`: apply exactly this plan, or nothing"),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="do not ask")] = False,
    allow_delete: AllowDelete = False,
    verbose: Annotated[bool, typer.Option("--verbose", help="name all objects that are not Tollgate's")] = False,
    as_json: AsJson = False,
) -> None:
    """Make LiteLLM's teams and keys match tenants/*.yaml. Prints the plan and asks. After a failure, run it again."""
    if as_json and not yes:
        raise typer.BadParameter("it cannot ask a question: add --yes", param_hint="--json")
    site: Site = context.obj
    expected = _read(reviewed) if reviewed else None
    with locked(site, "apply"), read(site, lambda: configured.load(site)) as tenancy:
        plan = tenancy.plan(allow_delete=expected.allow_delete if expected else allow_delete)
        if expected:
            expected.raise_unless_same(plan)
            _refuse_deletions(plan, allowed=allow_delete)
        if not as_json:
            show(plan, verbose=verbose)
        plan.raise_if_unsafe()
        if not plan.empty and not yes:
            typer.confirm("Apply this?", default=False, abort=True)
        with _progress(len(plan.changes)) as report:
            outcome = tenancy.apply(plan, report)
    if as_json:
        typer.echo(json.dumps(_as_json(outcome), indent=2))
    _print_outcome(outcome, quiet=as_json)


def _read(file: Path) -> Reviewed:
    try:
        return Reviewed.read(file.read_text(), str(file))
    except (OSError, UnicodeDecodeError) as error:
        raise TollgateError(f"{file}: {error}", "write one with `tollgate plan --out FILE`") from None


def _refuse_deletions(plan: Plan, *, allowed: bool) -> None:
    """TollgateError if the plan file deletes objects and the command has no --allow-delete of its own."""
    deletions = [change for change in plan.changes if change.action is Action.DELETE and change.takes_access]
    if deletions and not allowed:
        raise TollgateError(
            f"this plan deletes {len(deletions)} object(s), first: {words(deletions[0])}",
            "to delete them, add --allow-delete",
        )


@contextmanager
def _progress(total: int) -> Iterator[Report]:
    """A progress bar on a terminal. Otherwise at most about 20 lines on standard error."""
    console = Terminal(stderr=True)
    if not console.is_terminal or not total:
        step = max(1, total // 20)
        yield lambda change, number, of: _line(console, change, number, of) if number % step == 0 else None
        return
    columns = (
        TextColumn("applying"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[now]}"),
    )
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("apply", total=total, now="")
        yield lambda change, number, _: bar.update(task, completed=number, now=words(change))


def _line(console: Terminal, change: Change, number: int, total: int) -> None:
    console.print(f"[{number}/{total}] {words(change)}", highlight=False, markup=False, soft_wrap=True)


def _as_json(outcome: Outcome) -> dict[str, object]:
    return {
        "applied": [words(change) for change in outcome.applied],
        "failed": [{"change": words(change), "error": error.message} for change, error in outcome.failed],
        "not_tried": [words(change) for change in outcome.not_tried],
    }


def _print_outcome(outcome: Outcome, *, quiet: bool) -> None:
    """Print the result. After a failure, print all errors but the first, then raise with the first."""
    for change, error in outcome.failed[1:]:
        typer.echo(f"error: {words(change)}: {error.message}", file=sys.stderr)
    for change in outcome.not_tried[:_FEW]:
        typer.echo(f"not tried: {words(change)}", file=sys.stderr)
    if len(outcome.not_tried) > _FEW:
        typer.echo(f"not tried: {len(outcome.not_tried) - _FEW} more", file=sys.stderr)
    outcome.raise_if_incomplete()
    if outcome.applied and not quiet:
        typer.echo(f"Applied {len(outcome.applied)} change(s).")


_FEW = 10
