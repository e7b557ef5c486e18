"""`tollgate backup-schedule`: on, off, or what it is; what it keeps, and when the next run is."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.console import Console

from tollgate.cli.progress import StepDisplay
from tollgate.config.env import Settings
from tollgate.config.schedule import following
from tollgate.errors import TollgateError
from tollgate.site import Site
from tollgate.stack.configuration import change_env, engine_install_allowed, settings
from tollgate.stack.deploy import Deploy
from tollgate.stack.lock import locked

NIGHTLY = "17 2 * * *"


def backup_schedule(
    context: typer.Context,
    schedule: Annotated[
        str, typer.Argument(help=f'when, as in crontab and in UTC; "{NIGHTLY}" unless there is one')
    ] = "",
    keep: Annotated[int | None, typer.Option(help="keep at most so many archives")] = None,
    keep_days: Annotated[
        int | None, typer.Option(help="keep none longer; so far back a moment can be restored")
    ] = None,
    off: Annotated[bool, typer.Option("--off", help="take none by themselves, and archive no log")] = False,
) -> None:
    """Take backups by themselves, and archive the database's log so that any moment can be restored. Deploys."""
    site: Site = context.obj
    if off and (schedule or keep or keep_days):
        raise TollgateError("expected --off or a schedule, found both", "say the one you mean")
    with locked(site, "backup schedule"):
        before = settings(site)
        changed = {"BACKUP_SCHEDULE": "" if off else schedule or before.backup_schedule or NIGHTLY}
        changed |= {"BACKUP_KEEP": str(keep)} if keep is not None else {}
        changed |= {"BACKUP_KEEP_DAYS": str(keep_days)} if keep_days is not None else {}
        for name, value in changed.items():
            change_env(site, name, value)
        Deploy(site, StepDisplay(Console(stderr=True)), allow_engine_install=engine_install_allowed()).run()
    for line in words(settings(site), datetime.now(UTC)):
        typer.echo(line)


def words(chosen: Settings, now: datetime) -> list[str]:
    """What is so now, for a person."""
    if not chosen.backup_schedule:
        return ["No backups are taken by themselves, and the log is not archived: what was kept stays."]
    run = following(chosen.backup_schedule, now)
    lines = [
        f'Backups are taken at "{chosen.backup_schedule}" (UTC), next on {run:%Y-%m-%d at %H:%M}.',
        f"Kept: {chosen.backup_keep} archives, none longer than {chosen.backup_keep_days} days; so far back any moment "
        "can be restored.",
    ]
    if not chosen.backup_age_recipient:
        lines.append(
            "Secrets are left out of the archives: `tollgate backup --make-key FILE`, then this again, puts them in."
        )
    return lines
