"""Runs a shell line inside a running container. Secrets go through standard input, never through an argument."""

from __future__ import annotations

from tollgate.errors import StepError
from tollgate.stack.containers.compose import Compose
from tollgate.stack.host.run import run

SECONDS = 60


def run_in(compose: Compose, service: str, script: str, text: str) -> str:
    """The standard output of `sh -c script` in `service`. Raises StepError with the last line, masked."""
    argv = compose.argv("exec", "-T", service, "sh", "-c", script)
    done = run(argv, given=text, timeout=SECONDS, env=compose.environment)
    if done.status is None:
        raise StepError("rotation", f"{service}: {done.reason}", "`make doctor` shows more")
    if not done.ok:
        raise StepError("rotation", f"{service}: {done.reason[:200]}", "run the command again: it continues from here")
    return done.out
