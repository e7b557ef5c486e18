"""Everything a working gateway needs, checked from the outside in: host, files, containers, one real request.

A check yields findings and never raises for what it finds; a check whose ground is missing says SKIP and why.
"""

from __future__ import annotations

from collections.abc import Iterator

from tollgate.site import Site
from tollgate.stack.doctor import files, host, running
from tollgate.stack.doctor.finding import Finding

__all__ = ["Finding", "examine"]


def examine(site: Site) -> Iterator[Finding]:
    """Every finding, in the order a person would look: what comes first explains what fails later."""
    yield from host.engine()
    yield from host.room()
    yield from host.clock(site)
    yield from files.environment(site)
    yield from files.secret_files(site)
    configuration = None
    for finding, loaded in files.configuration(site):
        configuration = loaded or configuration
        yield finding
    if configuration is None:
        yield Finding.skip("containers", "the configuration could not be read")
        return
    yield from files.exposure(configuration)
    yield from running.examine(site, configuration)
