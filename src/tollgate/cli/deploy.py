"""`tollgate deploy`, `rollout`, `scale`: runs the steps, then prints the addresses and how to use the gateway."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict
from typing import Annotated

import typer

from tollgate.cli.addresses import addresses
from tollgate.cli.options import AsJson
from tollgate.cli.progress import StepDisplay
from tollgate.config.tenant.model import Tenant
from tollgate.errors import TollgateError
from tollgate.site import Site
from tollgate.stack.configuration import change_env_lines, engine_install_allowed, overrides
from tollgate.stack.deploy.first_request import example_tenant
from tollgate.stack.deploy.steps import STEPS, Deploy
from tollgate.stack.host.lock import locked


def deploy(
    context: typer.Context,
    until: Annotated[str, typer.Option(help=f"stop after this step: {', '.join(STEPS)}")] = "",
    as_json: AsJson = False,
) -> None:
    """Deploy the whole stack, or update it. A second run changes only the differences.

    With SKIP_ENGINE_INSTALL=1 in the environment it never installs Docker; it says what is missing instead.
    """
    if until and until not in STEPS:
        raise typer.BadParameter(f"expected one of {', '.join(STEPS)}, found {until}", param_hint="--until")
    with locked(context.obj, "deploy"):
        _run(context.obj, until, as_json=as_json)


def rollout(
    context: typer.Context,
    as_json: AsJson = False,
) -> None:
    """Replace every replica and gateway process, one after another: drain, replace, check. No request fails.

    This is a deploy that also replaces what did not change. It applies changed configuration too.
    """
    with locked(context.obj, "rollout"):
        _run(context.obj, as_json=as_json, replace_replicas=True)


def scale(
    context: typer.Context,
    replicas: Annotated[int | None, typer.Argument(help="the number of LiteLLM replicas")] = None,
    gateways: Annotated[
        int | None, typer.Option(help="the number of gateway processes; 0: LiteLLM serves every request")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Set REPLICAS or GATEWAYS in .env and deploy. New containers serve after their check; removed ones finish their
    streams.
    """
    numbers = {"REPLICAS": replicas, "GATEWAYS": gateways}
    wanted = {name: str(number) for name, number in numbers.items() if number is not None}
    if not wanted:
        raise TollgateError(
            "expected the number of replicas or of gateway processes",
            "for example `tollgate scale 5`, or `tollgate scale --gateways 3`",
        )
    _check_overrides(wanted)
    with locked(context.obj, "scale to " + ", ".join(f"{name}={value}" for name, value in wanted.items())):
        change_env_lines(context.obj, wanted)
        _run(context.obj, as_json=as_json)


def _check_overrides(wanted: Mapping[str, str]) -> None:
    """Raise TollgateError if the environment of this command has another number: that one would win over .env."""
    other = [f"{name}={value}" for name, value in overrides().items() if value != wanted.get(name, value)]
    if other:
        raise TollgateError(
            f"the environment of this command has {' and '.join(other)}, which wins over .env",
            f"run `unset {' '.join(line.partition('=')[0] for line in other)}`, then run the command again",
        )


def _run(site: Site, until: str = "", *, as_json: bool, replace_replicas: bool = False) -> None:
    display = StepDisplay()
    run = Deploy(
        site,
        display,
        allow_engine_install=engine_install_allowed(),
        replace_replicas=replace_replicas,
        keep_litellm=True,
    )
    run.run(until)
    if as_json:
        urls = {} if until else addresses(run.deployment)
        result: dict[str, object] = {"changes": run.changes, "seconds": run.timings, "addresses": urls}
        result["optional_not_up"] = [asdict(part) for part in run.not_up]
        typer.echo(json.dumps(result, indent=2))
    elif not until:
        _report(run)


def _report(run: Deploy) -> None:
    typer.echo("")
    typer.echo("Nothing had to be changed." if not run.changes else f"Done, {len(run.changes)} change(s).")
    for part in run.not_up:
        typer.echo(f"Not up: {part.service}: {part.why}. {part.loss.capitalize()}; `make doctor` says what to do.")
    urls = addresses(run.deployment)
    for name, address in urls.items():
        typer.echo(f"  {name:<11} {address.replace('127.0.0.1', 'localhost')}")
    tenant = example_tenant(run.configuration)
    if tenant is None:
        typer.echo("\nNo tenant yet: add a file to tenants/ and run `make deploy` again.")
        return
    typer.echo(f"\nClaude Code, as tenant {tenant.id} (from this directory):")
    typer.echo(f"  export ANTHROPIC_BASE_URL={urls['gateway'].replace('127.0.0.1', 'localhost')}")
    typer.echo(f"  export ANTHROPIC_AUTH_TOKEN={_key_for_shell(run.site, tenant)}")
    typer.echo("  claude --model test-model")


def _key_for_shell(site: Site, tenant: Tenant) -> str:
    """A shell expression that reads the key. Not the key itself, because CI logs keep this output."""
    if tenant.tenant.api_key is not None:
        return f"...the key that {os.path.relpath(tenant.file)} names..."
    key = site.tenant_keys_dir / tenant.id
    shown = os.path.relpath(key)
    return f'"$(cat {key if shown.startswith("..") else shown})"'
