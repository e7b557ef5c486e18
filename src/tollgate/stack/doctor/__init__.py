"""`make doctor`: checks everything that a working gateway needs: host, files, containers, one real request.

A check yields findings and does not raise. If a check cannot run, it yields SKIP and the reason.
"""

from __future__ import annotations

from collections.abc import Iterator

from tollgate.site import Site
from tollgate.stack.doctor import files, host, running
from tollgate.stack.doctor.finding import Finding

__all__ = ["Finding", "examine"]


def examine(site: Site) -> Iterator[Finding]:
    """Every finding. An early failure often explains the later ones."""
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
