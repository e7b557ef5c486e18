"""Short calls of the docker client. Every failure becomes a TollgateError, never a traceback."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tollgate.errors import TollgateError
from tollgate.stack.host.run import run

HINT = "is Docker running, and may this user use it? `make doctor` shows more"


def docker(
    argv: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    timeout: float = 60,
    what: str = "",
    given: str = "",
) -> str:
    """Standard output of `argv`, which begins with docker. Raises TollgateError with the last line if it fails.

    `what` is the command's name in the error, by default its first two words. `given` is its standard input.
    """
    what = what or " ".join(argv[:2])
    done = run(argv, env=env, timeout=timeout, given=given)
    if not done.ok:
        raise TollgateError(f"{what}: {done.reason}", HINT)
    return done.out
