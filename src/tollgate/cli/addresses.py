"""Where the running services are, as a person or a script wants to read it."""

from __future__ import annotations

from pathlib import Path

from tollgate.stack.certificates import TLS_PORT
from tollgate.stack.compose import TLS, Compose

PUBLISHED = {
    "gateway": ("nginx", 4000),
    "admin": ("nginx", 4001),
    "prometheus": ("prometheus", 9090),
    "grafana": ("grafana", 3000),
}


def addresses(compose: Compose) -> dict[str, str]:
    """http addresses of the published services that run, by what people call them."""
    running = compose.running()
    if "nginx" in running and any(file.is_file() for file in compose.extra if file.name == Path(TLS).name):
        encrypted = {"https": "https://{}:{}".format(*compose.address("nginx", TLS_PORT))}
    else:
        encrypted = {}
    return encrypted | {
        name: "http://{}:{}".format(*compose.address(service, port))
        for name, (service, port) in PUBLISHED.items()
        if service in running
    }
