"""What Prometheus, Alertmanager, Loki, Alloy and Grafana read, from the templates under config/<service>/.

Each service's directory below var/rendered is mounted as a whole: prometheus at /etc/prometheus, alertmanager at
/etc/alertmanager, loki at /etc/loki, alloy at /etc/alloy, grafana at /etc/grafana/provisioning.
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Any

from tollgate.render.output import Rendered, fill
from tollgate.render.stack import replica_names

# Scraped in every deployment: (job, target). The job names are what alerts and dashboards select by.
JOBS = (
    ("postgres", "postgres-exporter:9187"),
    ("redis", "redis-exporter:9121"),
    ("nginx", "nginx-exporter:9113"),
    ("node", "node-exporter:9100"),
    ("prometheus", "localhost:9090"),
    ("alertmanager", "alertmanager:9093"),
)
# Their images exist in registries only. Where they cannot be had they must not count as targets that are down.
GRAFANA_JOBS = (
    ("grafana", "grafana:3000"),
    ("loki", "loki:3100"),
    ("alloy", "alloy:12345"),
)


def render_observability(
    root: Path, replicas: int, project: str, *, grafana: bool = False, webhook: bool = False
) -> list[Rendered]:
    """Every observability file of one deployment, sorted by path.

    `root` is the kit's checkout and `project` the Compose project, by which Alloy finds the containers. `grafana` says
    that the Compose profile of that name runs, `webhook` that secrets/alertmanager_webhook_url holds an address.
    """
    names = replica_names(replicas)
    values: dict[str, dict[str, Any]] = {
        "alertmanager/alertmanager.yml": {"webhook": webhook, "receiver": "webhook" if webhook else "nowhere"},
        "alloy/config.alloy": {"project": project},
        "grafana/dashboards/tollgate.yaml": {},
        "grafana/datasources/tollgate.yaml": {},
        "loki/loki.yaml": {},
        "loki/rules/fake/logs.yml": {},
        "prometheus/prometheus.yml": {
            "project": project,
            "replicas": names,
            "jobs": JOBS + (GRAFANA_JOBS if grafana else ()),
        },
        # One replica left of several has no spare, which is worth waking someone; a lone replica never had one.
        "prometheus/rules/replicas.yml": {"replica_count": replicas, "least_replicas": min(2, replicas)},
        "prometheus/rules/services.yml": {},
    }
    return [_rendered(root, path, given) for path, given in sorted(values.items())]


def _rendered(root: Path, path: str, values: dict[str, Any]) -> Rendered:
    return Rendered(PurePosixPath(path), fill(root / "config" / f"{path}.j2", **values))
