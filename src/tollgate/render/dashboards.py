"""The Grafana dashboards: every file of grafana/dashboards, as text.

They are committed, because Grafana reads them from the checkout; a golden test fails when they and this module
differ. The metrics they may use, with their labels: tests/fixtures/metrics. The page /console shows some of the same
panels (render/console.py).
"""

from __future__ import annotations

from collections.abc import Sequence

from tollgate.render.direct_panels import direct
from tollgate.render.log_panels import log_panels
from tollgate.render.model_panels import model_panels
from tollgate.render.overview_panels import overview_panels
from tollgate.render.panels import Panel, choice, dashboard
from tollgate.render.process_panels import process_panels
from tollgate.render.tenant_panels import tenant_panels

# Without "All": the lines of a thousand tenants would cost Prometheus seconds. The overview has the sum of all tenants,
# and two panels of this dashboard have the fullest of all.
TENANT = choice("tenant", "Tenant", "label_values(tollgate_tenant_spend_usd_total, tenant)", everything=None)
MODEL = choice("model", "Model", "label_values(tollgate_gateway_requests_total, model)")
TARGET = choice("target", "Target", "label_values(tollgate_gateway_target_calls_total, target)")
# Not ".*": Loki refuses a query whose every matcher accepts the empty string.
SERVICE = choice("service", "Service", "label_values(service_name)", everything=".+", source="loki")
CHOICES = (TENANT, MODEL, TARGET, SERVICE)


def panels() -> Sequence[Panel]:
    """The panels of the page /console: the overview, then those of the gateway processes.

    Left out: the tenants' dashboard, whose money the page reads from the ledger itself; what helps only somebody who
    searches for a cause (single targets, Redis, Postgres, the host); and logs, which Prometheus does not have.
    """
    return (*overview_panels(), *direct())


def dashboards() -> dict[str, str]:
    """File name below grafana/dashboards -> JSON text."""
    return {
        "overview.json": overview(),
        "tenant.json": tenant(),
        "models.json": models(),
        "processes.json": processes(),
        "logs.json": logs(),
    }


def overview() -> str:
    """Is it up, is it fast, what does it cost: one page."""
    return dashboard(
        "tollgate-overview",
        "Overview",
        "Is the gateway up, is it fast, does it keep its objectives, what does it cost.",
        [],
        overview_panels(),
    )


def tenant() -> str:
    return dashboard(
        "tollgate-tenant",
        "Tenant",
        "Spend of tenants, and the used part of their budgets and limits. Needs gateway processes: without them "
        "nobody reads these figures for Prometheus, and `tollgate tenant usage` has them.",
        [TENANT],
        tenant_panels(),
    )


def models() -> str:
    return dashboard(
        "tollgate-models",
        "Models and providers",
        "Which model or provider fails or is slow, what LiteLLM answers and why, and what caches save.",
        [MODEL, TARGET],
        model_panels(),
    )


def processes() -> str:
    return dashboard(
        "tollgate-processes",
        "Replicas and gateways",
        "The processes and the services they need: event loop, memory, journal, Redis, Postgres, nginx, the host.",
        [],
        process_panels(),
    )


def logs() -> str:
    return dashboard(
        "tollgate-logs",
        "Logs",
        "Lines of all containers, without credentials, and answers of nginx. Needs Loki and Alloy.",
        [SERVICE],
        log_panels(),
    )
