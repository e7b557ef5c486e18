"""The command line in this process: what it printed, what it was told, how it ended. Errors as a person sees them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from typer.testing import CliRunner

from tollgate.cli.app import app
from tollgate.errors import TollgateError
from tollgate.site import Site


@dataclass(frozen=True)
class Run:
    """`out` is standard output; `err` standard error with the refusal, as __main__ prints it."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


def tollgate(site: Site, *words: str, typed: str = "") -> Run:
    """`tollgate WORDS` on `site`, with `typed` on standard input. Anything but a TollgateError is raised: a bug."""
    environment = {"COLUMNS": "200", "TERM": "dumb"}
    done = CliRunner().invoke(app, ["--home", str(site.home), *words], input=typed, env=environment)
    if done.exception is None or isinstance(done.exception, SystemExit):
        return Run(done.exit_code, done.stdout, done.stderr)
    if isinstance(done.exception, TollgateError):
        return Run(1, done.stdout, f"{done.stderr}{done.exception}\n")
    raise done.exception
