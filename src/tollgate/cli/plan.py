"""`tollgate plan`: what tenants/*.yaml would change in the running LiteLLM."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from tollgate.cli import configured
from tollgate.reconcile.output import text
from tollgate.site import Site
from tollgate.stack import tenants
from tollgate.stack.compose import Compose


def plan(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="machine-readable")] = False,
) -> None:
    """What differs between tenants/*.yaml and LiteLLM; changes nothing. Exit 0 in sync, 2 changes, 1 error."""
    site: Site = context.obj
    loaded = configured.load(site)
    made = tenants.plan(site, Compose.core(site, loaded.settings.compose_project_name), loaded)
    typer.echo(json.dumps(made.to_json(), indent=2) if as_json else text(made))
    if not made.empty:
        raise typer.Exit(2)
