"""`tollgate why`: traces one request."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated, Any

import typer

from tollgate.cli.options import AsJson
from tollgate.stack.deployment import Deployment
from tollgate.stack.requests import look
from tollgate.stack.requests.trace import Trace
from tollgate.stack.requests.words import paragraph


def why(
    context: typer.Context,
    request_id: Annotated[str, typer.Argument(help="the header request-id of an answer, or the id of its message")],
    as_json: AsJson = False,
) -> None:
    """Trace one request: its sender, target, status and cost, and whether the ledger has it."""
    traces, problems = look.why(Deployment.of(context.obj).compose, request_id)
    if as_json:
        typer.echo(json.dumps({"requests": [_json(trace) for trace in traces], "problems": problems}, indent=2))
        return
    typer.echo("\n\n".join(paragraph(trace) for trace in traces))
    for problem in problems:
        typer.echo(f"\nNote: {problem}")


def _json(trace: Trace) -> dict[str, Any]:
    """Without what is not known. Money is a decimal text."""
    known = {name: value for name, value in asdict(trace).items() if value not in ("", None)}
    if trace.began is not None:
        known["began"] = f"{trace.began:%Y-%m-%dT%H:%M:%S.%fZ}"
    return known | ({"usd": f"{trace.usd.normalize():f}"} if trace.usd is not None else {})
