"""Renders the files of Prometheus, Alertmanager, Loki, Alloy and Grafana, from the templates in config/<service>/.

Each service's directory below var/rendered is mounted as a whole: prometheus at /etc/prometheus, alertmanager at
/etc/alertmanager, loki at /etc/loki, alloy at /etc/alloy, grafana at /etc/grafana/provisioning.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path, PurePosixPath
from typing import Any

from tollgate.render import expressions
from tollgate.render.gateway import gateway_names
from tollgate.render.output import Rendered, fill
from tollgate.render.receivers import Receivers
from tollgate.render.stack import replica_names
from tollgate.render.watchers import GRAFANA_SET, WATCHERS

WITHOUT_GRAFANA = tuple(name for name in WATCHERS if name not in GRAFANA_SET)
NOBODY = Receivers()

# (job, target), scraped if the service runs. Alerts and dashboards select by the job names.
JOBS = (
    ("postgres", "postgres-exporter:9187"),
    ("redis", "redis-exporter:9121"),
    ("nginx", "nginx-exporter:9113"),
    ("node", "node-exporter:9100"),
    ("prometheus", "localhost:9090"),
    ("alertmanager", "alertmanager:9093"),
    ("grafana", "grafana:3000"),
    ("loki", "loki:3100"),
    ("alloy", "alloy:12345"),
)


def render_observability(
    root: Path,
    replicas: int,
    project: str,
    *,
    gateways: int = 0,
    watchers: Collection[str] = WITHOUT_GRAFANA,
    receivers: Receivers = NOBODY,
    grafana_port: int = 3000,
    proxied: bool = False,
    authorities: str = "",
) -> list[Rendered]:
    """Every observability file of one deployment, sorted by path.

    `root` is the kit's checkout and `project` the Compose project, by which Alloy finds the containers. `watchers` are
    the services that run: Prometheus must not count others as targets that are down. `receivers` get the alerts. Links
    in Loki's notifications lead to Grafana, at `grafana_port` of this host. `proxied`: Alertmanager asks HTTPS
    addresses through EGRESS_PROXY, which compose.env has. `authorities` is the PEM text of CA_BUNDLE.
    """
    names = replica_names(replicas)
    values: dict[str, dict[str, Any]] = {
        "alertmanager/alertmanager.yml": {"receivers": receivers, "proxied": proxied},
        "alloy/config.alloy": {"project": project},
        "grafana/alerting/none.yaml": {},
        "grafana/dashboards/tollgate.yaml": {},
        "grafana/datasources/tollgate.yaml": {},
        "grafana/plugins/none.yaml": {},
        "loki/loki.yaml": {"grafana_url": f"http://localhost:{grafana_port}/"},
        "loki/rules/fake/logs.yml": {"project": project},
        "prometheus/prometheus.yml": {
            "project": project,
            "replicas": names,
            "gateways": gateway_names(gateways),
            "jobs": [(job, target) for job, target in JOBS if _service(target) in watchers],
        },
        # Without gateway processes there are no series, so these alerts stay silent.
        "prometheus/rules/gateways.yml": {},
        # With one replica left of several there is no spare, so page somebody. A single replica never had a spare.
        "prometheus/rules/replicas.yml": {"replica_count": replicas, "least_replicas": min(2, replicas)},
        "prometheus/rules/objectives.yml": {
            "windows": expressions.BURN_WINDOWS,
            "late": expressions.LATE_S,
            "may_fail": expressions.MAY_FAIL,
            "may_be_late": expressions.MAY_BE_LATE,
        },
        "prometheus/rules/recorded.yml": {
            "routes": expressions.ROUTES,
            "checks": expressions.HEALTH_CHECKS,
            "clients": expressions.CLIENTS,
            "histograms": expressions.RECORDED_HISTOGRAMS,
            "tokens": expressions.RECORDED_TOKENS,
            "gateway_histograms": expressions.RECORDED_OF_GATEWAYS,
            "late": expressions.LATE_S,
        },
        "prometheus/rules/services.yml": {},
    }
    # Beside Alertmanager's configuration: SSL_CERT_DIR in compose/observability.yaml names the directory.
    trusted = [Rendered(PurePosixPath("alertmanager/authorities/ca.crt"), authorities)] if authorities else []
    return [*(_rendered(root, path, given) for path, given in sorted(values.items())), *trusted]


def _service(target: str) -> str:
    host = target.partition(":")[0]
    return "prometheus" if host == "localhost" else host


def _rendered(root: Path, path: str, values: dict[str, Any]) -> Rendered:
    return Rendered(PurePosixPath(path), fill(root / "config" / f"{path}.j2", **values))
