"""One deployment as a value: its files, its settings, its Compose project, where it answers, its master key."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from tollgate.config.env.settings import Settings
from tollgate.config.secret import Secret
from tollgate.site import Site
from tollgate.stack import configuration
from tollgate.stack.containers.compose import Compose
from tollgate.stack.secrets import store as secrets


class Port(NamedTuple):
    """A port of a container that Compose publishes on this host."""

    service: str
    number: int


PUBLIC, ADMIN, ENCRYPTED = Port("nginx", 4000), Port("nginx", 4001), Port("nginx", 4443)
PROMETHEUS, GRAFANA = Port("prometheus", 9090), Port("grafana", 3000)
# The one replica of `make basic`, which has no nginx in front of it.
BASIC = Port("litellm", 4000)


@dataclass(frozen=True)
class Deployment:
    """`of` is the full stack, `basic` the small one. Nothing is asked of Docker before it is needed."""

    site: Site
    settings: Settings
    compose: Compose

    @classmethod
    def of(cls, site: Site, settings: Settings | None = None) -> Deployment:
        """The full stack. `settings` are those of .env unless the caller has read them already."""
        settings = settings or configuration.settings(site)
        return cls(site, settings, Compose.core(site, settings.compose_project_name))

    @classmethod
    def basic(cls, site: Site, settings: Settings | None = None) -> Deployment:
        settings = settings or configuration.settings(site)
        return cls(site, settings, Compose.basic(site, settings.compose_project_name))

    @property
    def public_url(self) -> str:
        """Where clients reach nginx over HTTP; TollgateError where it does not run."""
        return self.url(PUBLIC)

    @property
    def admin_url(self) -> str:
        """Where nginx lets the operator reach LiteLLM's administration, on this host only."""
        return self.url(ADMIN)

    @property
    def master_key(self) -> Secret:
        """Read each time: a rotation of passwords changes it."""
        return secrets.read(self.site, "litellm_master_key")

    def url(self, port: Port, scheme: str = "http") -> str:
        """A published port as this host reaches it; TollgateError where its service does not run."""
        host, number = self.address(port)
        return f"{scheme}://{host}:{number}"

    def address(self, port: Port) -> tuple[str, int]:
        return self.compose.address(port.service, port.number)
