"""Checks the machine: engine, plugins, disk, memory, clock."""

from __future__ import annotations

import ctypes
import time
from collections.abc import Iterator
from datetime import UTC, datetime

from tollgate.site import Site
from tollgate.stack.deploy import preflight
from tollgate.stack.doctor.finding import Finding
from tollgate.stack.host.engine import PLUGINS, engine_version, plugin_version

# adjtimex(2) returns this if no time daemon keeps the clock.
TIME_ERROR = 5
LOW_DISK_GIB = 2.0


def engine() -> Iterator[Finding]:
    version = engine_version()
    if version is None:
        yield Finding.fail("engine", "no Docker engine answers", "run `make deploy`, which installs or starts it")
    else:
        yield Finding.ok("engine", f"Docker {version}")
    for plugin in PLUGINS:
        version = plugin_version(plugin)
        if version is None:
            yield Finding.fail(plugin, f"docker {plugin} is missing", "run `make deploy`, which adds it")
        else:
            yield Finding.ok(plugin, f"docker {plugin} {version}")


def room() -> Iterator[Finding]:
    free = preflight.disk_free_gib()
    if free < LOW_DISK_GIB:
        hint = "a full disk stops Postgres; free some space: `docker system df` shows what Docker uses"
        yield Finding.fail("disk", f"expected {LOW_DISK_GIB:.0f} GiB free, found {free:.1f}", hint)
    elif free < preflight.DISK_GIB:
        yield Finding.warn("disk", f"{free:.1f} GiB free", "an upgrade needs space for a second set of images")
    else:
        yield Finding.ok("disk", f"{free:.0f} GiB free")
    memory = preflight.memory_gib()
    if memory < preflight.MEMORY_GIB:
        hint = "each replica holds about half a GiB: lower REPLICAS in .env, or use a larger machine"
        yield Finding.warn("memory", f"expected {preflight.MEMORY_GIB:.0f} GiB, found {memory:.1f}", hint)
    else:
        yield Finding.ok("memory", f"{memory:.0f} GiB")


def clock(site: Site) -> Iterator[Finding]:
    """Budgets follow the clock: a wrong clock resets every tenant's budget too early or too late."""
    newest = max(path.stat().st_mtime for path in (site.root / "compose").iterdir())
    now = time.time()
    if now < newest - 86400:
        shown = datetime.fromtimestamp(now, UTC).date()
        yield Finding.fail(
            "clock", f"the clock says {shown}, before this kit was released", "set the clock, and run a time daemon"
        )
        return
    state = _kernel_clock_state()
    if state == TIME_ERROR:
        hint = "budgets follow the clock: run a time daemon such as chrony, unless the host of this VM sets the clock"
        yield Finding.warn("clock", "no time daemon keeps this machine's clock", hint)
    else:
        yield Finding.ok("clock", f"{datetime.fromtimestamp(now, UTC):%Y-%m-%d %H:%M:%S} UTC")


def _kernel_clock_state() -> int:
    """The result of a read-only adjtimex(2). struct timex is 208 bytes; `modes` = 0 changes nothing."""
    buffer = ctypes.create_string_buffer(256)
    return int(ctypes.CDLL(None, use_errno=True).adjtimex(buffer))
