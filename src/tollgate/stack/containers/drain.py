"""Drains replicas: takes a replica out of nginx's list without cutting a request, and puts it back.

nginx's entrypoint watches /run/nginx/drain, and writes the list that nginx uses to /run/nginx/in-use.conf
(docs/decisions/0005). A drained replica gets no new request. `take_out` waits until it has answered the running ones.
"""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from tollgate.errors import TollgateError
from tollgate.render.times import Times
from tollgate.stack.containers.compose import Compose
from tollgate.stack.containers.container import Container
from tollgate.stack.host.docker import docker
from tollgate.stack.host.progress import Progress

NGINX = "nginx"
DRAIN = "/run/nginx/drain"
IN_USE = "/run/nginx/in-use.conf"
# Where each kind of server behind nginx listens, by the beginning of its name.
PORTS = {"litellm-": 4000, "gateway-": 4100}
# The entrypoint checks each second, and a reload ends when the last old worker has stopped listening.
CONFIRMED_WITHIN_S = 30.0
ESTABLISHED = "01"  # the state column of /proc/net/tcp
_SERVER = re.compile(r"^server (?P<address>[0-9.]+):\d+ (?P<rest>.*); # (?P<name>\S+)$", re.MULTILINE)


@dataclass(frozen=True)
class Drain:
    """nginx's list of replicas in one deployment. If nginx does not run, every method returns immediately."""

    compose: Compose
    progress: Progress
    streams_may_take: float = Times().streams
    clock: Callable[[], float] = time.monotonic

    def take_out(self, name: str) -> None:
        """Send `name` no new request, and wait until its requests end, or for `streams_may_take` seconds."""
        nginx = self._nginx()
        if nginx is None:
            return
        # nginx may have just started: a deploy can replace it together with the replicas.
        self._run(nginx, "mkdir", "-p", DRAIN)
        self._run(nginx, "touch", f"{DRAIN}/{name}")
        self._wait_in_use(nginx, f"{name} to leave its list of replicas", lambda active: name not in active)
        self.wait_idle(name)

    def put_back(self, name: str) -> None:
        """Send requests to `name` again."""
        nginx = self._nginx()
        if nginx is None:
            return
        self._run(nginx, "rm", "-f", f"{DRAIN}/{name}")
        self._wait_in_use(nginx, f"{name} to enter its list of replicas", lambda active: name in active)

    def forget(self, names: Iterable[str]) -> None:
        """Remove the drain files of replicas that do not come back."""
        nginx = self._nginx()
        files = [f"{DRAIN}/{name}" for name in names]
        if nginx is not None and files:
            self._run(nginx, "rm", "-f", *files)

    def drained(self) -> set[str]:
        """The replicas that have a drain file."""
        nginx = self._nginx()
        return set() if nginx is None else set(self._run(nginx, "sh", "-c", f"ls {DRAIN} 2>/dev/null || true").split())

    def wait_idle(self, name: str) -> None:
        """Wait until nginx has no connection to `name`. Progress lines count the requests that still run."""
        nginx = self._nginx()
        addresses = _addresses(self._container(name))
        began = self.clock()
        while nginx is not None and addresses:
            running = connections(self._run(nginx, "cat", "/proc/net/tcp"), addresses, port_of(name))
            if not running:
                return
            waited = self.clock() - began
            if waited > self.streams_may_take:
                self.progress.say(f"{name}: {running} request(s) still ran after {waited:.0f} s and will be cut")
                return
            self.progress.detail(f"draining {name}: {running} request(s) still running, {waited:.0f} s")
            time.sleep(0.5)

    def _wait_in_use(self, nginx: Container, what: str, reached: Callable[[set[str]], bool]) -> None:
        began = self.clock()
        # If the file is missing, nginx has not written its list yet.
        read_list = ("sh", "-c", f"cat {IN_USE} 2>/dev/null || true")
        while not ((text := self._run(nginx, *read_list)) and reached(active(text))):
            if self.clock() - began > CONFIRMED_WITHIN_S:
                raise TollgateError(
                    f"nginx: waited {CONFIRMED_WITHIN_S:.0f} s for {what}",
                    "`make logs S=nginx` shows what is wrong with its configuration; then run the command again",
                )
            self.progress.detail(f"waiting for {what}")
            time.sleep(0.2)

    def _nginx(self) -> Container | None:
        nginx = self._container(NGINX)
        return nginx if nginx is not None and nginx.state == "running" else None

    def _container(self, service: str) -> Container | None:
        return next((row for row in self.compose.containers() if row.service == service), None)

    def _run(self, nginx: Container, *command: str) -> str:
        return docker(["docker", "exec", nginx.id, *command], what=f"docker exec nginx {command[0]}")


def active(in_use: str) -> set[str]:
    """The replicas that get new requests, from the text of in-use.conf."""
    return {server["name"] for server in _SERVER.finditer(in_use) if not server["rest"].endswith(" down")}


def port_of(name: str) -> int:
    return next(port for beginning, port in PORTS.items() if name.startswith(beginning))


def connections(table: str, addresses: Iterable[str], port: int) -> int:
    """How many connections in /proc/net/tcp go to one of `addresses` on `port`.

    nginx's old workers close their idle connections, and its new workers open none to a drained replica. So each
    connection that is left carries a request.
    """
    wanted = {f"{_hexadecimal(address)}:{port:04X}" for address in addresses}
    rows = (line.split() for line in table.splitlines()[1:])
    return sum(1 for row in rows if len(row) > 3 and row[2] in wanted and row[3] == ESTABLISHED)


def _hexadecimal(address: str) -> str:
    """An IPv4 address as the kernel prints it on a little-endian machine. The images exist only for those."""
    return socket.inet_aton(address)[::-1].hex().upper()


def _addresses(container: Container | None) -> list[str]:
    if container is None:
        return []
    shown = "{{range .NetworkSettings.Networks}}{{.IPAddress}} {{end}}"
    return docker(["docker", "inspect", "--format", shown, container.id]).split()
