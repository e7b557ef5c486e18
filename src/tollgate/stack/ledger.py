"""Reads the ledger with psql inside the Postgres container, because Postgres publishes no port."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from tollgate.config.gateway import load as gateway
from tollgate.config.validate import did_you_mean
from tollgate.errors import TollgateError
from tollgate.ledger import everybody as all_tenants
from tollgate.ledger import queries, rows
from tollgate.ledger.month import Month, month
from tollgate.ledger.rows import Json, Size
from tollgate.ledger.usage import Line, Usage, overview, usage, windows_of
from tollgate.ledger.windows import Window, month_before
from tollgate.stack.containers.compose import Compose
from tollgate.stack.deployment import Deployment

# -X ignores psqlrc; -A -t print only the JSON. The socket inside the container needs no password.
PSQL = ("psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-U", "litellm", "-d", "litellm")


def now() -> datetime:
    return datetime.now(UTC)


def ask(compose: Compose, question: str, **values: str) -> Json:
    """The answer to one of `queries`. psql quotes every value, so a value cannot inject SQL."""
    compose.must_be_rendered()
    if "postgres" not in compose.running():
        raise TollgateError("the ledger is in Postgres, which is not running", "run `make start`")
    return rows.loads(compose.ask("exec", "-T", "postgres", *psql(values), timeout=90, given=question))


def psql(values: Mapping[str, str]) -> list[str]:
    """The psql command, which reads a question from standard input. `values` become psql variables."""
    # An argument cannot hold a NUL, and no tenant's name contains one.
    return [*PSQL, *(word for name, value in values.items() for word in ("-v", f"{name}={value}".replace("\0", "?")))]


def usage_of(deployment: Deployment, tenant: str) -> Usage:
    """One tenant's usage today, this week and this month; TollgateError if the ledger does not know the tenant."""
    moment = now()
    windows = [window for _, window in windows_of(moment)]
    since, until = min(window.since for window in windows), max(window.until for window in windows)
    answer = ask(deployment.compose, queries.TENANT, tenant=tenant, since=f"{since}", until=f"{until}")
    tenant_usage = usage(answer, tenant, moment, gateway.load(deployment.site.gateway_file).aliases)
    if tenant_usage is None:
        raise _unknown(deployment, tenant)
    return tenant_usage


def everybody(compose: Compose) -> tuple[Line, ...]:
    """One line for each tenant. The tenant with the highest spend this month comes first."""
    moment = now()
    return overview(ask(compose, queries.EVERYBODY, **all_tenants.values(moment)), moment)


def month_of(deployment: Deployment, tenant: str, window: Window) -> Month:
    """One tenant's month; TollgateError if the ledger does not know the tenant."""
    moment = now()
    values = {"tenant": tenant, "until": f"{window.until}"}
    answer = ask(deployment.compose, queries.TENANT, since=f"{month_before(window).since}", **values)
    tenant_month = month(answer, None, tenant, window, moment)
    if tenant_month is None:
        raise _unknown(deployment, tenant)
    if tenant_month.total.failed:
        reasons = ask(deployment.compose, queries.FAILURES, since=f"{window.since}", **values)
        return month(answer, reasons, tenant, window, moment) or tenant_month
    return tenant_month


def size(compose: Compose) -> Size | None:
    """The disk space that the ledger takes; None if the query fails, because no caller depends on it."""
    try:
        return rows.size(ask(compose, queries.SIZE)["size"][0])
    except TollgateError:
        return None


def _unknown(deployment: Deployment, tenant: str) -> TollgateError:
    known = [line.team.id for line in everybody(deployment.compose)]
    if tenant in {file.stem for file in deployment.site.tenants_dir.glob("*.yaml")}:
        return TollgateError(f"{tenant} is not in LiteLLM yet: its file was not applied", "run `make apply`")
    hint = did_you_mean(tenant, known) or "`tollgate tenant usage` lists every tenant"
    return TollgateError(f"no tenant is called {tenant[:80]!r}", hint)
