"""A real nginx, as the stack runs it, in front of stand-in replicas on a private Docker network."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from testcontainers.core.config import testcontainers_config
from testcontainers.core.container import DockerContainer
from testcontainers.core.network import Network

from tests.support import plain
from tests.support.engine import on_loopback
from tests.support.eventually import eventually
from tollgate.render.gateway import gateway_names
from tollgate.render.nginx import render_nginx
from tollgate.render.output import write
from tollgate.render.stack import replica_names
from tollgate.stack.containers.drain import DIRECTORY, port_of, prepare

ROOT = Path(__file__).resolve().parents[3]
REPLICA = Path(__file__).with_name("replica.py")
VERSION = "9.8.7"
PUBLIC, TLS, ADMIN, INTERNAL = 4000, 4443, 4001, 8081
# Its reaper is an image of its own, which a machine without a registry cannot have; `edge` cleans up itself.
testcontainers_config.ryuk_disabled = True


Edits = Mapping[str, tuple[str, str] | list[tuple[str, str]]]
WITH_KEY = {"Authorization": "Bearer sk-test-key-0001"}


@dataclass(frozen=True)
class Images:
    nginx: str
    python: str


@dataclass(frozen=True)
class Limits:
    """config/gateway.yaml's `edge`, with times that suit a test."""

    requests_per_second: int = 500
    burst: int = 500
    connections_per_address: int = 1000
    max_body_mb: int = 1
    read_timeout_s: float = 60
    connect_timeout_s: float = 2


@dataclass
class Edge:
    """`replicas` maps each name to its container. `url` is the public listener, `admin_url` the other one."""

    images: Images
    directory: Path
    network: Network
    cleanup: ExitStack
    tmp_size: str
    tls: bool = False
    replicas: dict[str, DockerContainer] = field(default_factory=dict)
    nginx: DockerContainer = field(init=False)

    @property
    def url(self) -> str:
        return address(self.nginx, PUBLIC)

    @property
    def admin_url(self) -> str:
        return address(self.nginx, ADMIN)

    @property
    def tls_url(self) -> str:
        return address(self.nginx, TLS).replace("http://", "https://")

    @property
    def bundle(self) -> Path:
        """nginx's key and certificate. A test writes over this mounted file, as a deploy does."""
        return self.directory / "tls.pem"

    def client(self, headers: Mapping[str, str] | None = None, **options: Any) -> httpx.Client:
        """A client with a key, unless `headers` say otherwise: requests without one are rationed by address."""
        headers = WITH_KEY if headers is None else {**WITH_KEY, **headers}
        return plain.Client(base_url=self.url, timeout=30, follow_redirects=False, headers=headers, **options)

    def stranger(self, **options: Any) -> httpx.Client:
        """A client without a key."""
        return plain.Client(base_url=self.url, timeout=30, follow_redirects=False, **options)

    def drain(self, name: str) -> None:
        """As a rollout does, but without waiting."""
        (self.directory / DIRECTORY / name).touch()

    def put_back(self, name: str) -> None:
        (self.directory / DIRECTORY / name).unlink()

    def run(self, *command: str) -> str:
        """Run a command in nginx's container; its output, or AssertionError with it."""
        status, output = self.nginx.get_wrapped_container().exec_run(list(command))
        assert status == 0, f"{command}: {output.decode()}"
        return str(output.decode())

    def log(self) -> str:
        """Everything nginx's container wrote: access lines, error lines and the entrypoint's."""
        return b"\n".join(self.nginx.get_logs()).decode()

    def access_log(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log().splitlines() if line.startswith("{")]

    def start_nginx(self) -> None:
        """As compose.yaml runs it: a user of its own, read-only, no capabilities, two small tmpfs."""
        container = (
            DockerContainer(self.images.nginx)
            .with_network(self.network)
            .with_network_aliases("nginx")
            .with_volume_mapping(str(self.directory / "nginx"), "/etc/nginx/tollgate", "ro")
            .with_volume_mapping(str(prepare(self.directory)), "/run/drain", "ro")
            .with_tmpfs_mount("/run/nginx", "uid=65520,gid=65520,mode=0755")
            .with_tmpfs_mount("/tmp", f"uid=65520,gid=65520,mode=0700,size={self.tmp_size}")  # noqa: S108
            .with_kwargs(
                entrypoint=["/bin/sh", "/etc/nginx/tollgate/entrypoint.sh"],
                user="65520:65520",
                read_only=True,
                cap_drop=["ALL"],
                security_opt=["no-new-privileges:true"],
                stop_signal="SIGQUIT",
            )
        )
        if self.tls:
            container.with_volume_mapping(str(self.bundle), "/run/secrets/tls.pem", "ro")
        self.nginx = self._started(on_loopback(container, PUBLIC, ADMIN, *([TLS] if self.tls else [])))

    def start_replica(self, name: str) -> None:
        container = (
            DockerContainer(self.images.python)
            .with_network(self.network)
            .with_network_aliases(name)
            .with_volume_mapping(str(REPLICA), "/srv/replica.py", "ro")
            .with_env("REPLICA", name)
            .with_env("PYTHONDONTWRITEBYTECODE", "1")
            .with_kwargs(entrypoint=["python3", "/srv/replica.py"], init=True)
        )
        container.with_env("PORT", str(port_of(name)))
        self.replicas[name] = self._started(on_loopback(container, port_of(name)))

    def remove_replica(self, name: str) -> None:
        self.replicas.pop(name).get_wrapped_container().remove(force=True)

    def kill_replica(self, name: str) -> None:
        self.replicas[name].get_wrapped_container().kill()

    def own_url(self, name: str) -> str:
        """The address of a replica itself, without nginx."""
        return address(self.replicas[name], port_of(name))

    def ip(self, name: str) -> str:
        container = self.replicas[name].get_wrapped_container()
        container.reload()
        return str(container.attrs["NetworkSettings"]["Networks"][self.network.name]["IPAddress"])

    def tell(self, name: str, order: str) -> None:
        """POST /_release, /_rearm or /_hold straight to one replica."""
        plain.post(f"{self.own_url(name)}/_{order}", timeout=10).raise_for_status()

    def seen(self, name: str) -> dict[str, Any]:
        return dict(plain.get(f"{self.own_url(name)}/_seen", timeout=10).json())

    def posts(self, name: str) -> list[dict[str, Any]]:
        """The POST requests one replica got, oldest first; health probes are none."""
        return [request for request in self.seen(name)["seen"] if request["method"] == "POST"]

    def in_rotation(self) -> set[str]:
        """Addresses nginx balances over now, as the watcher saw nginx take them, without those marked down."""
        lines = self.run("cat", "/run/nginx/in-use.conf").splitlines()
        return {line.split()[1] for line in lines if line.startswith("server") and " down;" not in line}

    def wait_for(self, *names: str) -> None:
        """Until nginx balances over exactly these replicas and each of them answers."""
        self.wait_for_rotation(*names)
        for name in names:
            url = f"{self.own_url(name)}/_seen"
            eventually(lambda url=url: answers(url), within=60)

    def wait_for_rotation(self, *names: str) -> None:
        """Until nginx balances over exactly these replicas."""
        wanted = {f"{self.ip(name)}:{port_of(name)}" for name in names}
        eventually(lambda: self.in_rotation() == wanted, within=60, every=0.5)

    def wait_until_open(self) -> None:
        """Until nginx takes requests and passes them on."""
        eventually(lambda: answers(f"{self.url}/gateway/health"), within=60)

    def _started(self, container: DockerContainer) -> DockerContainer:
        container.start()
        self.cleanup.callback(remove, container)
        return container


def answers(url: str) -> bool:
    try:
        return plain.get(url, timeout=5).is_success
    except httpx.TransportError:
        return False


def address(container: DockerContainer, port: int) -> str:
    return f"http://127.0.0.1:{container.get_exposed_port(port)}"


def remove(container: DockerContainer) -> None:
    """Also when the test has removed it already."""
    wrapped = container.get_wrapped_container()
    if wrapped.client.containers.list(all=True, filters={"id": wrapped.id}):
        container.stop()


def render(directory: Path, limits: Limits, replicas: int, edits: Edits, tls: str, gateways: int = 0) -> None:
    """Render as a deploy does, then apply `edits` (file name to one or several (old, new)), for twins without a rule.

    Docker mounts the directory for nginx's user, so it must be open to others.
    """
    write(directory, render_nginx(ROOT, limits, replicas, VERSION, gateways=gateways, tls=bool(tls)))
    if tls:
        (directory / "tls.pem").write_text(tls)
    for name, changes in edits.items():
        file = directory / "nginx" / name
        for old, new in [changes] if isinstance(changes, tuple) else changes:
            text = file.read_text()
            assert old in text, f"{name} no longer has {old!r}: the twin would prove nothing"
            file.write_text(text.replace(old, new))
    for path in (directory, *directory.rglob("*")):
        path.chmod(0o755)


@contextmanager
def running_edge(
    images: Images,
    directory: Path,
    *,
    replicas: int = 2,
    gateways: int = 0,
    limits: Limits | None = None,
    edits: Edits | None = None,
    tmp_size: str = "512m",
    tls: str = "",
) -> Iterator[Edge]:
    """nginx and its replicas, ready for requests; every container and the network are gone afterwards.

    `tls`: key and certificate for port 4443, which is closed without.
    """
    render(directory, limits or Limits(), replicas, edits or {}, tls, gateways)
    with ExitStack() as cleanup:
        edge = Edge(images, directory, cleanup.enter_context(Network()), cleanup, tmp_size, bool(tls))
        names = [*replica_names(replicas), *gateway_names(gateways)]
        for name in names:
            edge.start_replica(name)
        edge.start_nginx()
        edge.wait_for(*names)
        edge.wait_until_open()
        yield edge
