"""The scheduler: waits, runs the job, and reports the result on standard output."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tollgate.disk import in_words
from tollgate.errors import TollgateError
from tollgate.site import Site
from tollgate.stack.backup import metric
from tollgate.stack.backup.make import Secrets
from tollgate.stack.backup.scheduler.clock import Clock
from tollgate.stack.backup.scheduler.job import Job
from tollgate.stack.backup.scheduler.network import NetworkPostgres, log_in

SITE, SECRET, PRIVATE = Path("/site"), Path("/run/secrets/postgres_password"), Path("/tmp/pgpass")  # noqa: S108
WAITING = Path("/tmp/waiting")  # noqa: S108  the container's health check looks for this file
TICK = 5.0
# The scheduler checks the WAL for gaps this often. Each check lists the repository.
GAP_CHECK = timedelta(minutes=10)


def say(text: str) -> None:
    print(f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ} backup: {text}", flush=True)


def job_of(site: Site) -> Job:
    recipient = os.environ["BACKUP_AGE_RECIPIENT"]
    return Job(
        site=site,
        postgres=NetworkPostgres(os.environ["POSTGRES_HOST"]),
        secrets=Secrets(recipient, omit=not recipient),
        keep=int(os.environ["BACKUP_KEEP"]),
        days=int(os.environ["BACKUP_KEEP_DAYS"]),
        salt=os.environ["BACKUP_SALT"],
        litellm=os.environ["BACKUP_LITELLM"],
        tell=say,
    )


def serve(job: Job, schedule: str) -> None:
    """Run backups and gap checks until SIGTERM."""
    clock = Clock.since(schedule, metric.last(job.site), datetime.now(UTC))
    gap_check = Clock(schedule, datetime.now(UTC))
    say(f"next archive {clock.due:%Y-%m-%d %H:%M} UTC" + ("" if job.secrets.recipients else "; secrets are left out"))
    WAITING.touch()
    while True:
        now = datetime.now(UTC)
        if now >= clock.due:
            if tried(job.run, clock):
                clock.succeeded(datetime.now(UTC))
                say(f"next archive {clock.due:%Y-%m-%d %H:%M} UTC")
        elif now >= gap_check.due and tried(job.mend, gap_check):
            gap_check.due, gap_check.failures = now + GAP_CHECK, 0
        time.sleep(TICK)


def tried(work: Callable[[], None], clock: Clock) -> bool:
    """True if it worked. Otherwise print why, and when the scheduler retries."""
    try:
        with in_words():
            work()
    except TollgateError as error:
        clock.failed(datetime.now(UTC))
        say(f"failed: {error.message}; retry at {clock.due:%H:%M:%S} UTC")
        return False
    return True


def main() -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    log_in(SECRET, PRIVATE)
    serve(job_of(Site.here(SITE)), os.environ["BACKUP_SCHEDULE"])


if __name__ == "__main__":
    main()
