"""`tollgate serve-local`: serves one local model behind a gateway while the command runs."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from tollgate.cli.progress import StepDisplay
from tollgate.config.gateway.backend import DEFAULT_ALIAS
from tollgate.config.gateway.engines import EngineName
from tollgate.site import Site
from tollgate.stack.basic import serve_local as serving
from tollgate.stack.configuration import engine_install_allowed
from tollgate.stack.host.lock import locked
from tollgate.stack.secrets.store import BASIC_KEY

INTERRUPTED = 130


def serve_local(
    context: typer.Context,
    backend: Annotated[EngineName, typer.Option(help="the engine that serves the model")],
    model: Annotated[str, typer.Option(help="a .gguf file, a model directory, or a model name of Ollama")],
    port: Annotated[int, typer.Option(help="the gateway's port on 127.0.0.1; 0: Docker chooses one")] = 4000,
    alias: Annotated[str, typer.Option(help="the model's name for clients")] = DEFAULT_ALIAS,
    ctx: Annotated[int | None, typer.Option(help="tokens of context")] = None,
    mmproj: Annotated[Path | None, typer.Option(help="llama.cpp: projector file of a vision model")] = None,
    tool_parser: Annotated[str | None, typer.Option(help="vLLM, SGLang, TensorRT-LLM: format of tool calls")] = None,
    gpus: Annotated[str | None, typer.Option(help="number of GPUs, or all")] = None,
    models: Annotated[Path | None, typer.Option(help="Ollama: the directory with its models")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="print the configuration; start nothing")] = False,
) -> None:
    """Start one local model server and a gateway in front of it. Ctrl-C stops both."""
    site: Site = context.obj
    wanted = {
        "engine": backend,
        "model": model if backend == "ollama" else str(Path(model).expanduser().absolute()),
        "alias": alias,
        "context_tokens": ctx,
        "mmproj": str(mmproj.absolute()) if mmproj else None,
        "models": str(models.absolute()) if models else None,
        "tool_parser": tool_parser,
        "gpus": int(gpus) if gpus and gpus.isdigit() else gpus,
    }
    plan = serving.plan(site, wanted, port)
    if dry_run:
        typer.echo(plan.written, nl=False)
        typer.echo("# to serve this permanently, add it to config/gateway.yaml and run `make deploy`")
        return
    display, answered = StepDisplay(), False
    try:
        with (
            locked(plan.site, "serve-local"),
            serving.ended_by_signal(),
            serving.served(plan, display, allow_engine_install=engine_install_allowed()) as running,
        ):
            answered = True
            _say(alias, running.url.replace("127.0.0.1", "localhost"), plan.site.secret(BASIC_KEY))
            serving.watch(plan)
    except KeyboardInterrupt:
        typer.echo("model server and gateway are stopped")
        if not answered:
            raise typer.Exit(INTERRUPTED) from None


def _say(alias: str, url: str, key: Path) -> None:
    typer.echo(f"\n{alias} answers at {url}")
    typer.echo("\nClaude Code (from this directory):")
    typer.echo(f"  export ANTHROPIC_BASE_URL={url}")
    typer.echo(f'  export ANTHROPIC_AUTH_TOKEN="$(cat {os.path.relpath(key)})"')
    typer.echo(f"  claude --model {alias}")
    typer.echo(f'\nOpenAI clients: base_url="{url}/v1" and the same key. Ctrl-C stops both.')
