"""The operator's configuration for a command, with what is worth a warning said on standard error."""

from __future__ import annotations

import typer

from tollgate.site import Site
from tollgate.stack import configuration
from tollgate.stack.configuration import Configuration


def load(site: Site) -> Configuration:
    found = configuration.load(site)
    for warning in found.tenants.warnings:
        typer.echo(str(warning), err=True)
    return found
