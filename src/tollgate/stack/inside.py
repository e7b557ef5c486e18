"""Run a shell line inside a running container, its input through standard input: for what must be in no argument."""

from __future__ import annotations

import os
import subprocess

from tollgate.errors import StepError
from tollgate.stack.compose import Compose
from tollgate.stack.masking import mask

SECONDS = 60


def inside(compose: Compose, service: str, script: str, text: str) -> str:
    """Standard output of `sh -c script` in `service`; StepError with its last line, masked, where it fails."""
    argv = compose.argv("exec", "-T", service, "sh", "-c", script)
    try:
        done = subprocess.run(
            argv,
            input=text,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            env={**os.environ, **compose.environment},
        )
    except subprocess.TimeoutExpired:
        raise StepError("rotation", f"{service}: no answer within {SECONDS} s", "`make doctor` tells more") from None
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise StepError("rotation", f"{service}: {mask(last)[:200]}", "run the command again: it goes on from here")
    return done.stdout
