"""Where things are: the kit's own files (`root`) and the operator's files and state (`home`).

They are one directory in an ordinary checkout. Tests, and an operator who keeps the state elsewhere, give
another `home`; the kit's files are then used as they are and nothing is written beside them.

    root/  compose/ config/<service>/ nginx/ images/ src/      home/  .env config/gateway.yaml tenants/ secrets/ var/
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Site:
    """Absolute paths of one deployment; `Site.here()` for the checkout this package was installed from."""

    root: Path
    home: Path

    @classmethod
    def here(cls, home: Path | None = None) -> Site:
        root = Path(__file__).resolve().parents[2]
        return cls(root=root, home=(home or root).resolve())

    @property
    def env_file(self) -> Path:
        return self.home / ".env"

    @property
    def env_example(self) -> Path:
        return self.root / ".env.example"

    @property
    def gateway_file(self) -> Path:
        return self.home / "config" / "gateway.yaml"

    @property
    def tenants_dir(self) -> Path:
        return self.home / "tenants"

    @property
    def secrets_dir(self) -> Path:
        """The operator's secrets, 0700 with 0600 files; the only place a secret is kept."""
        return self.home / "secrets"

    @property
    def rendered_dir(self) -> Path:
        """Everything generated; the next deploy writes it again, but containers that run read from it."""
        return self.home / "var" / "rendered"

    @property
    def logs_dir(self) -> Path:
        return self.home / "var" / "logs"
