"""The paths of a deployment: the kit's own files (`root`), and the operator's files and state (`home`).

In an ordinary checkout both are the same directory. Tests give another `home`, and so does an operator who keeps the
state in another place. Then nothing is written to `root`.

    root/  compose/ config/<service>/ nginx/ images/ src/      home/  .env config/gateway.yaml tenants/ secrets/ var/
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePosixPath


@dataclass(frozen=True)
class Site:
    """Absolute paths of one deployment. `Site.here()` is the checkout that this package was installed from."""

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
        """The operator's secrets: a 0700 directory with 0600 files."""
        return self.home / "secrets"

    def secret(self, name: str) -> Path:
        """The file of one secret; `name` is its path below secrets/."""
        return self.secrets_dir / name

    @property
    def tenant_keys_dir(self) -> Path:
        return self.secrets_dir / "tenants"

    @property
    def rendered_dir(self) -> Path:
        """Generated files. Running containers read them; the next deploy writes them again."""
        return self._var / "rendered"

    def rendered(self, path: PurePosixPath | str) -> Path:
        """One generated file; `path` is below var/rendered."""
        return self.rendered_dir / path

    @property
    def compose_env(self) -> Path:
        return self.rendered("compose.env")

    @property
    def basic_env(self) -> Path:
        """The same for the small stack."""
        return self.rendered("basic.env")

    @property
    def published_dir(self) -> Path:
        """The containers' own copies of their secrets."""
        return self.rendered("secrets")

    @property
    def basic_published_dir(self) -> Path:
        return self.rendered("secrets-basic")

    @property
    def secret_labels_file(self) -> Path:
        """Which secrets the labels of running containers belong to."""
        return self.rendered("live-labels.json")

    @property
    def nginx_dir(self) -> Path:
        return self.rendered("nginx")

    @property
    def nginx_read_file(self) -> Path:
        """The digest of what nginx has read last."""
        return self.rendered("nginx-read")

    @property
    def left_out_file(self) -> Path:
        """The services and models that the last deploy left out."""
        return self.rendered("left-out.json")

    @property
    def under_test(self) -> bool:
        """Whether the embedded provider obeys dials and shows its requests. Only tests write that file."""
        return (self._var / "embedded-provider-under-test").is_file()

    @property
    def logs_dir(self) -> Path:
        return self._var / "logs"

    @property
    def lock_file(self) -> Path:
        return self._var / "lock"

    @property
    def backups_dir(self) -> Path:
        return self._var / "backups"

    @property
    def upgrade_file(self) -> Path:
        """The last change of the LiteLLM release."""
        return self._var / "upgrade.json"

    @property
    def volume_owners_file(self) -> Path:
        """The volumes that were given to the users of their services."""
        return self._var / "volume-owners.json"

    @property
    def serve_local(self) -> Site:
        """The site of `tollgate serve-local`, which leaves this one as it is."""
        return Site(self.root, self._var / "serve-local")

    @property
    def metrics_dir(self) -> Path:
        """Metric files. The user who deploys writes them; node-exporter mounts and reads them as its own user."""
        return self.rendered("metrics")

    @property
    def _var(self) -> Path:
        return self.home / "var"
