"""`tollgate models`: lists models, prices and targets. `tollgate models test` sends a request through each target."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated

import typer

from tollgate.cli.options import AsJson
from tollgate.site import Site
from tollgate.stack import configuration, served
from tollgate.stack.deployment import Deployment
from tollgate.stack.served import Answer, ModelRow, TargetRow

group = typer.Typer(
    name="models", help="List the models: names, prices, targets and their health.", rich_markup_mode=None
)


@group.callback(invoke_without_command=True)
def list_models(context: typer.Context, as_json: AsJson = False) -> None:
    """List every model of config/gateway.yaml, and why some are not served. Works without a running stack."""
    if context.invoked_subcommand is not None:
        return
    site: Site = context.obj
    loaded = configuration.load(site)
    running = served.look(Deployment.of(site, loaded.settings))
    rows = served.rows(loaded, running)
    if as_json:
        typer.echo(json.dumps({"running": running.there, "models": [asdict(row) for row in rows]}, indent=2))
        return
    for line in _lines(rows):
        typer.echo(line)
    if not running.there:
        typer.echo("\nthe stack does not run: `make deploy` would serve these models")


@group.command()
def test(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="a model or an alias")],
    as_json: AsJson = False,
) -> None:
    """Send a real request with a tool through each target of a model. You pay for it. Exit 1 if one fails."""
    site: Site = context.obj
    loaded = configuration.load(site)
    deployment = Deployment.of(site, loaded.settings)
    answers: list[Answer] = []
    for identity, target, model in served.to_test(loaded, name):
        answers.append(served.ask(deployment, identity, target, model))
        if not as_json:
            typer.echo(_answer(answers[-1]))
    if as_json:
        typer.echo(json.dumps([asdict(answer) for answer in answers], indent=2))
    if not all(answer.ok for answer in answers):
        raise typer.Exit(1)


def _lines(rows: list[ModelRow]) -> list[str]:
    lines = []
    for row in rows:
        names = f"{row.name} ({', '.join(row.aliases)})" if row.aliases else row.name
        if row.left_out:
            lines.append(f"{names}  left out: {row.left_out}")
            continue
        lines.append(f"{names}  {_about(row)}".rstrip())
        lines += [f"    {_target(target, several=len(row.targets) > 1)}" for target in row.targets]
    return lines


def _about(row: ModelRow) -> str:
    if row.cheapest_of:
        return f"the cheapest suitable one of {', '.join(row.cheapest_of)}"
    facts = []
    if row.context_tokens:
        facts.append(f"context {row.context_tokens:,}")
    if row.max_output_tokens:
        facts.append(f"answers {row.max_output_tokens:,}")
    if row.fallbacks:
        facts.append(f"then {', '.join(row.fallbacks)}")
    return "; ".join(facts)


def _target(target: TargetRow, *, several: bool) -> str:
    share = f"order {target.order}, weight {target.weight}  " if several else ""
    price = f"{target.price} USD/M" if "/" in target.price else target.price
    return f"{target.state:<16} {target.model}  {share}{price}"


def _answer(answer: Answer) -> str:
    if not answer.ok:
        return f"FAIL {answer.model} ({answer.id})  {answer.milliseconds} ms  {answer.said}"
    tokens = f"{answer.prompt_tokens} tokens in"
    if answer.answer_tokens is not None:
        tokens += f", {answer.answer_tokens} out"
    tool = {None: "", True: "  tool call ok", False: "  no tool call"}[answer.tool_call]
    return f"ok   {answer.model} ({answer.id})  {answer.milliseconds} ms  {tokens}{tool}"
