"""Where the running services are, as a person or a script wants to read it."""

from __future__ import annotations

from tollgate.stack.compose import Compose

PUBLISHED = {
    "gateway": ("nginx", 4000),
    "admin": ("nginx", 4001),
    "prometheus": ("prometheus", 9090),
    "grafana": ("grafana", 3000),
}


def addresses(compose: Compose) -> dict[str, str]:
    """http addresses of the published services that run, by what people call them."""
    running = compose.running()
    return {
        name: "http://{}:{}".format(*compose.address(service, port))
        for name, (service, port) in PUBLISHED.items()
        if service in running
    }
