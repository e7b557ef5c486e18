"""Loads the operator's configuration for a command, and prints its warnings on standard error."""

from __future__ import annotations

import typer

from tollgate.site import Site
from tollgate.stack import configuration
from tollgate.stack.configuration import Configuration


def load(site: Site) -> Configuration:
    loaded = configuration.load(site)
    for warning in loaded.tenants.warnings:
        typer.echo(str(warning), err=True)
    return loaded
