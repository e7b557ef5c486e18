"""`tollgate backup-schedule`: turns scheduled backups on or off, and prints the schedule."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Annotated

import typer

from tollgate.cli.progress import StepDisplay
from tollgate.config.env.schedule import following
from tollgate.config.env.settings import Settings
from tollgate.errors import StepError, TollgateError
from tollgate.site import Site
from tollgate.stack.configuration import change_env, engine_install_allowed, settings
from tollgate.stack.containers.optional import NotUp
from tollgate.stack.deploy.steps import Deploy
from tollgate.stack.host.lock import locked

NIGHTLY = "17 2 * * *"
SERVICE = "backup"


def backup_schedule(
    context: typer.Context,
    schedule: Annotated[
        str, typer.Argument(help=f'as in crontab, in UTC (default: the present schedule, or "{NIGHTLY}")')
    ] = "",
    keep: Annotated[int | None, typer.Option(help="keep at most this many archives")] = None,
    keep_days: Annotated[
        int | None, typer.Option(help="keep archives and WAL this many days; older moments cannot be restored")
    ] = None,
    off: Annotated[bool, typer.Option("--off", help="stop scheduled backups and stop archiving the WAL")] = False,
) -> None:
    """Schedule backups and archive the database's WAL, so that you can restore any moment. This command deploys."""
    site: Site = context.obj
    if off and (schedule or keep or keep_days):
        raise TollgateError("expected --off or a schedule, found both", "keep one of them")
    with locked(site, "backup schedule"):
        before = settings(site)
        changed = {"BACKUP_SCHEDULE": "" if off else schedule or before.backup_schedule or NIGHTLY}
        changed |= {"BACKUP_KEEP": str(keep)} if keep is not None else {}
        changed |= {"BACKUP_KEEP_DAYS": str(keep_days)} if keep_days is not None else {}
        for name, value in changed.items():
            change_env(site, name, value)
        deploy = Deploy(site, StepDisplay(), allow_engine_install=engine_install_allowed())
        deploy.run()
        must_run(deploy.not_up)
    for line in words(settings(site), datetime.now(UTC)):
        typer.echo(line)


def must_run(not_up: Iterable[NotUp]) -> None:
    """StepError if the service that takes the backups is not up. A deploy only warns about it."""
    for part in not_up:
        if part.service == SERVICE:
            raise StepError("backup schedule", f"{part.service} is not up: {part.why}", part.hint, part.log)


def words(chosen: Settings, now: datetime) -> list[str]:
    """The schedule in words, one sentence per line."""
    if not chosen.backup_schedule:
        return ["Scheduled backups are off, and the WAL is not archived. Existing archives stay."]
    run = following(chosen.backup_schedule, now)
    lines = [
        f'Backups are taken at "{chosen.backup_schedule}" (UTC), next on {run:%Y-%m-%d at %H:%M}.',
        f"Kept: {chosen.backup_keep} archives, none longer than {chosen.backup_keep_days} days. You can restore any "
        "moment of these days.",
    ]
    if not chosen.backup_age_recipient:
        lines.append(
            "Secrets are left out of the archives. To include them, run `tollgate backup --make-key FILE`, then this "
            "command again."
        )
    return lines
