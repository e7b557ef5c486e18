"""The addresses of the running services, for people and scripts."""

from __future__ import annotations

from tollgate.stack.containers import gateways
from tollgate.stack.containers.compose import TLS
from tollgate.stack.deployment import ADMIN, ENCRYPTED, GRAFANA, PROMETHEUS, PUBLIC, Deployment

PUBLISHED = {
    "gateway": PUBLIC,
    "admin": ADMIN,
    "prometheus": PROMETHEUS,
    "grafana": GRAFANA,
}


def addresses(deployment: Deployment) -> dict[str, str]:
    """Name to URL of the published services that run, and of the console if a gateway process runs."""
    running = deployment.compose.running()
    if "nginx" in running and deployment.site.rendered(TLS).is_file():
        encrypted = {"https": deployment.url(ENCRYPTED, "https")}
    else:
        encrypted = {}
    urls = {name: deployment.url(port) for name, port in PUBLISHED.items() if port.service in running}
    console = {"console": f"{urls['admin']}/console"} if "admin" in urls and gateways.names(running) else {}
    return encrypted | urls | console
