"""Reads the ledger: one read-only question to the Postgres container, which is published nowhere, through psql."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from tollgate.config import gateway
from tollgate.config.validate import did_you_mean
from tollgate.errors import TollgateError
from tollgate.ledger import queries, rows
from tollgate.ledger.month import Month, month
from tollgate.ledger.rows import Json, Size
from tollgate.ledger.usage import Line, Usage, overview, usage, windows_of
from tollgate.ledger.windows import Window, month_before
from tollgate.site import Site
from tollgate.stack.compose import Compose

# -X: nobody's psqlrc; -A -t: the JSON and nothing around it. The socket inside the container needs no password.
PSQL = ("psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-U", "litellm", "-d", "litellm")


def now() -> datetime:
    return datetime.now(UTC)


def ask(compose: Compose, question: str, **values: str) -> Json:
    """The answer to one of `queries`. psql quotes the values where the question names them, so none can be SQL."""
    compose.must_be_rendered()
    if "postgres" not in compose.running():
        raise TollgateError("the ledger is in Postgres, which is not running", "run `make start`")
    return rows.loads(compose.ask("exec", "-T", "postgres", *psql(values), timeout=90, given=question))


def psql(values: Mapping[str, str]) -> list[str]:
    """The client in the container, reading a question from its standard input, with `values` for its variables."""
    # A process's argument cannot hold a NUL, and no tenant's name does.
    return [*PSQL, *(word for name, value in values.items() for word in ("-v", f"{name}={value}".replace("\0", "?")))]


def usage_of(site: Site, compose: Compose, tenant: str) -> Usage:
    """One tenant today, this week and this month; TollgateError for one that the ledger does not know."""
    moment = now()
    windows = [window for _, window in windows_of(moment)]
    since, until = min(window.since for window in windows), max(window.until for window in windows)
    answer = ask(compose, queries.TENANT, tenant=tenant, since=f"{since}", until=f"{until}")
    found = usage(answer, tenant, moment, gateway.load(site.gateway_file).aliases)
    if found is None:
        raise _unknown(site, compose, tenant)
    return found


def everybody(compose: Compose) -> tuple[Line, ...]:
    """Every tenant in one line, who spent most this month first."""
    moment = now()
    day, week, running = (window for _, window in windows_of(moment))
    values = {"today": day.since, "tomorrow": day.until, "week": week.since, "week_end": week.until}
    values |= {"month": running.since, "month_end": running.until}
    answer = ask(compose, queries.EVERYBODY, **{name: f"{value}" for name, value in values.items()})
    return overview(answer, moment)


def month_of(site: Site, compose: Compose, tenant: str, window: Window) -> Month:
    """One tenant's month; TollgateError for one that the ledger does not know."""
    moment = now()
    values = {"tenant": tenant, "until": f"{window.until}"}
    answer = ask(compose, queries.TENANT, since=f"{month_before(window).since}", **values)
    found = month(answer, None, tenant, window, moment)
    if found is None:
        raise _unknown(site, compose, tenant)
    if found.total.failed:
        reasons = ask(compose, queries.FAILURES, since=f"{window.since}", **values)
        return month(answer, reasons, tenant, window, moment) or found
    return found


def size(compose: Compose) -> Size | None:
    """How much room the ledger takes; None where it cannot be asked, which is not what its caller is after."""
    try:
        return rows.size(ask(compose, queries.SIZE)["size"][0])
    except TollgateError:
        return None


def _unknown(site: Site, compose: Compose, tenant: str) -> TollgateError:
    known = [line.team.id for line in everybody(compose)]
    if tenant in {file.stem for file in site.tenants_dir.glob("*.yaml")}:
        return TollgateError(f"{tenant} is not in LiteLLM yet: its file was not applied", "run `make apply`")
    hint = did_you_mean(tenant, known) or "`tollgate tenant usage` lists every tenant"
    return TollgateError(f"no tenant is called {tenant[:80]!r}", hint)
