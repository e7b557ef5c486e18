"""`tollgate plan`: shows the changes that tenants/*.yaml would make in the running LiteLLM."""

from __future__ import annotations

import json
from pathlib import Path, PurePosixPath
from typing import Annotated

import typer

from tollgate.cli import configured
from tollgate.cli.options import AsJson
from tollgate.cli.plan_text import show
from tollgate.render.output import Rendered, write
from tollgate.site import Site
from tollgate.stack.tenants import tenancy as tenants

AllowDelete = Annotated[
    bool, typer.Option("--allow-delete", help="delete objects that no tenant file names, instead of blocking them")
]


def plan(
    context: typer.Context,
    as_json: AsJson = False,
    out: Annotated[Path | None, typer.Option(help="write the plan here, for `tollgate apply FILE`")] = None,
    allow_delete: AllowDelete = False,
    verbose: Annotated[bool, typer.Option("--verbose", help="name all objects that are not Tollgate's")] = False,
) -> None:
    """Show the differences between tenants/*.yaml and LiteLLM. Changes nothing. Exit 0: none, 2: changes, 1: error."""
    site: Site = context.obj
    with tenants.read(site, lambda: configured.load(site)) as tenancy:
        difference = tenancy.plan(allow_delete=allow_delete)
    document = json.dumps(difference.to_json(), indent=2)
    if out is not None:
        write(out.parent, [Rendered(PurePosixPath(out.name), document + "\n", 0o600)])
    if as_json:
        typer.echo(document)
    else:
        show(difference, verbose=verbose)
    if not difference.empty or difference.conflicts:
        raise typer.Exit(2)
