"""`tollgate deploy`, `rollout`, `scale`: the steps with their progress, then where the gateway is and how to use it."""

from __future__ import annotations

import json
import os
from typing import Annotated

import typer
from rich.console import Console

from tollgate.cli.addresses import addresses
from tollgate.cli.progress import StepDisplay
from tollgate.config.tenants import Tenant
from tollgate.site import Site
from tollgate.stack.configuration import change_env, engine_install_allowed
from tollgate.stack.deploy import STEPS, Deploy
from tollgate.stack.first_request import example_tenant
from tollgate.stack.lock import locked


def deploy(
    context: typer.Context,
    until: Annotated[str, typer.Option(help=f"stop after this step: {', '.join(STEPS)}")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="print what was done as JSON on standard output")] = False,
) -> None:
    """Bring the whole stack up, or bring it up to date. Run again, it changes only what differs.

    SKIP_ENGINE_INSTALL=1 in the environment: never install Docker; say what is missing instead.
    """
    if until and until not in STEPS:
        raise typer.BadParameter(f"expected one of {', '.join(STEPS)}, found {until}", param_hint="--until")
    with locked(context.obj, "deploy"):
        _run(context.obj, until, as_json=as_json)


def rollout(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="print what was done as JSON on standard output")] = False,
) -> None:
    """Give every replica a new container, one after another: drained first, checked after; nobody notices.

    It is a deploy that also replaces replicas which differ in nothing; configuration that changed goes along.
    """
    with locked(context.obj, "rollout"):
        _run(context.obj, as_json=as_json, replace_replicas=True)


def scale(
    context: typer.Context,
    replicas: Annotated[int, typer.Argument(help="how many LiteLLM replicas there should be")],
    as_json: Annotated[bool, typer.Option("--json", help="print what was done as JSON on standard output")] = False,
) -> None:
    """Set REPLICAS in .env and deploy: new ones serve once they are checked, superfluous ones finish their streams."""
    with locked(context.obj, f"scale to {replicas}"):
        change_env(context.obj, "REPLICAS", str(replicas))
        _run(context.obj, as_json=as_json)


def _run(site: Site, until: str = "", *, as_json: bool, replace_replicas: bool = False) -> None:
    display = StepDisplay(Console(stderr=True))
    run = Deploy(
        site,
        display,
        allow_engine_install=engine_install_allowed(),
        replace_replicas=replace_replicas,
        keep_litellm=True,
    )
    run.run(until)
    if as_json:
        where = {} if until else addresses(run.compose)
        typer.echo(json.dumps({"changes": run.changes, "seconds": run.timings, "addresses": where}, indent=2))
    elif not until:
        _report(run)


def _report(run: Deploy) -> None:
    typer.echo("")
    typer.echo("Nothing had to be changed." if not run.changes else f"Done, {len(run.changes)} change(s).")
    where = addresses(run.compose)
    for name, address in where.items():
        typer.echo(f"  {name:<11} {address.replace('127.0.0.1', 'localhost')}")
    tenant = example_tenant(run.configuration)
    if tenant is None:
        typer.echo("\nNo tenant yet: add a file to tenants/ and run `make deploy` again.")
        return
    typer.echo(f"\nClaude Code, as tenant {tenant.id} (from this directory):")
    typer.echo(f"  export ANTHROPIC_BASE_URL={where['gateway'].replace('127.0.0.1', 'localhost')}")
    typer.echo(f"  export ANTHROPIC_AUTH_TOKEN={_where_its_key_is(run.site, tenant)}")
    typer.echo("  claude --model test-model")


def _where_its_key_is(site: Site, tenant: Tenant) -> str:
    """For a shell, without the key itself: this output ends up in terminals' histories and in CI logs."""
    if tenant.tenant.api_key is not None:
        return f"...the key that {os.path.relpath(tenant.file)} names..."
    key = site.secrets_dir / "tenants" / tenant.id
    shown = os.path.relpath(key)
    return f'"$(cat {key if shown.startswith("..") else shown})"'
