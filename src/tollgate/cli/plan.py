"""`tollgate plan`: what tenants/*.yaml would change in the running LiteLLM."""

from __future__ import annotations

import json
from pathlib import Path, PurePosixPath
from typing import Annotated

import typer

from tollgate.cli import configured
from tollgate.cli.plan_text import show
from tollgate.render.output import Rendered, write
from tollgate.site import Site
from tollgate.stack import tenants

AllowDelete = Annotated[
    bool, typer.Option("--allow-delete", help="delete what no tenant file names, instead of blocking it")
]


def plan(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="machine-readable")] = False,
    out: Annotated[Path | None, typer.Option(help="write the plan here, for `tollgate apply FILE`")] = None,
    allow_delete: AllowDelete = False,
    verbose: Annotated[bool, typer.Option("--verbose", help="name everything that is not Tollgate's")] = False,
) -> None:
    """What differs between tenants/*.yaml and LiteLLM; changes nothing. Exit 0 in sync, 2 changes, 1 error."""
    site: Site = context.obj
    with tenants.read(site, lambda: configured.load(site)) as tenancy:
        made = tenancy.plan(allow_delete=allow_delete)
    document = json.dumps(made.to_json(), indent=2)
    if out is not None:
        write(out.parent, [Rendered(PurePosixPath(out.name), document + "\n", 0o600)])
    if as_json:
        typer.echo(document)
    else:
        show(made, verbose=verbose)
    if not made.empty or made.conflicts:
        raise typer.Exit(2)
