"""Short questions to the docker client. What goes wrong with one is the host's trouble, never a traceback."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence

from tollgate.errors import TollgateError

HINT = "is Docker running, and may this user use it? `make doctor` tells more"


def docker(
    argv: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    timeout: float = 60,
    what: str = "",
    given: str = "",
) -> str:
    """Standard output of `argv` (which begins with docker); TollgateError with its last line where it fails.

    `what` is what the error calls it; `docker ps` and so on unless given. `given` is its standard input.
    """
    what = what or " ".join(argv[:2])
    try:
        done = subprocess.run(
            list(argv),
            input=given,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
            env={**os.environ, **(env or {})},
        )
    except subprocess.TimeoutExpired:
        raise TollgateError(f"{what}: no answer within {timeout:g} s", HINT) from None
    except OSError as error:
        raise TollgateError(f"{what}: {error.strerror or error}", HINT) from None
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise TollgateError(f"{what}: {last}", HINT)
    return done.stdout
