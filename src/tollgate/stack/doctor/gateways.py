"""Checks each gateway process: it answers, ships its calls to Postgres, hears of changed keys, and has Redis.

One that is down or late is a warning: LiteLLM serves its requests, and its calls stay in the journal.
"""

from __future__ import annotations

from collections.abc import Iterator

from tollgate.stack.containers import gateways
from tollgate.stack.containers.compose import Compose
from tollgate.stack.containers.gateways import GatewayProcess, Ledger
from tollgate.stack.doctor.finding import Finding

DOWN, LAGS = "docs/runbooks/a-gateway-process-is-down.md", "docs/runbooks/the-ledger-lags.md"
# As long as a restart of Postgres may take.
LAG_S = 120.0
SHIPPING = "ledger shipping"


def examine(compose: Compose) -> Iterator[Finding]:
    rows = {row.service: row for row in compose.containers()}
    processes = gateways.processes(compose.services(), rows)
    if not processes:
        yield Finding.skip("gateway", "GATEWAYS=0: LiteLLM serves every request")
        return
    for process in processes:
        yield from _process(process)


def _process(process: GatewayProcess) -> Iterator[Finding]:
    name = process.name
    if not process.ready:
        return  # the check of the containers says so
    if process.ledger is None:
        yield Finding.warn(name, "it does not report its state", f"`make logs S={name}` shows why; {DOWN}")
        return
    if process.route == gateways.DIRECT:
        yield Finding.ok(name, f"serves models directly, {process.running} running")
    else:
        # The operator chose this: BYPASS_LITELLM_ENABLED=false, the cache, or `route: litellm` at every model.
        yield Finding.ok(name, "hands every request to LiteLLM, as configured")
    if not process.listening:
        yield Finding.warn(name, "hears nothing of changed keys", f"run `make deploy`, which makes the trigger; {DOWN}")
    if not process.redis:
        yield Finding.warn(name, "counts limits alone, because Redis is away", f"look at redis first; {DOWN}")
    yield _shipping(name, process.ledger)


def _shipping(name: str, ledger: Ledger) -> Finding:
    if ledger.unwritten:
        message = f"{name}: its disk does not take the journal, so it refuses requests"
        return Finding.fail(SHIPPING, message, "free some space; docs/runbooks/the-disk-is-full.md")
    if ledger.lag_s > LAG_S:
        why = f": {ledger.failing}" if ledger.failing else ""
        message = f"{name}: {ledger.waiting} calls wait for Postgres, the oldest for {ledger.lag_s:.0f} s{why}"
        return Finding.fail(SHIPPING, message, f"keep the volume gateway-journal; {LAGS}")
    if ledger.set_aside:
        message = f"{name}: {ledger.set_aside} calls are set aside, because Postgres refuses them"
        return Finding.warn(SHIPPING, message, LAGS)
    if ledger.failing:
        return Finding.warn(SHIPPING, f"{name}: the last try failed: {ledger.failing}", LAGS)
    return Finding.ok(SHIPPING, f"{name}: {ledger.waiting} calls wait for Postgres")
