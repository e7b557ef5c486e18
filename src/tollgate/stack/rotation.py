"""nginx's rotation: take a replica out so that nobody notices it going, and put it back.

nginx's entrypoint watches /run/nginx/drain and says in /run/nginx/in-use.conf which list it works with
(docs/decisions/0005). A replica that is out gets no new request; those it is answering are waited for.
"""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from tollgate.errors import TollgateError
from tollgate.stack.compose import Compose, Container
from tollgate.stack.docker import docker
from tollgate.stack.progress import Progress

NGINX = "nginx"
DRAIN = "/run/nginx/drain"
IN_USE = "/run/nginx/in-use.conf"
PORT = 4000
# The watcher looks each second, and a reload ends when the last old worker has stopped listening.
CONFIRMED_WITHIN_S = 30.0
# As long as the longest stream nginx lets through (edge.read_timeout_s), and below the replicas' stop_grace_period.
STREAMS_MAY_TAKE_S = 600.0
ESTABLISHED = "01"  # the state column of /proc/net/tcp
_SERVER = re.compile(r"^server (?P<address>[0-9.]+):\d+ (?P<rest>.*); # (?P<name>\S+)$", re.MULTILINE)


@dataclass(frozen=True)
class Rotation:
    """The rotation of one deployment. Without a running nginx there is none, and every method returns at once."""

    compose: Compose
    progress: Progress
    streams_may_take: float = STREAMS_MAY_TAKE_S
    clock: Callable[[], float] = time.monotonic

    def take_out(self, name: str) -> None:
        """No new request reaches `name` from here on, and none is running on it; or `streams_may_take` is over."""
        nginx = self._nginx()
        if nginx is None:
            return
        # nginx may have been started a moment ago, as by a deploy that replaces it together with the replicas.
        self._run(nginx, "mkdir", "-p", DRAIN)
        self._run(nginx, "touch", f"{DRAIN}/{name}")
        self._wait_in_use(nginx, f"{name} to leave the rotation", lambda active: name not in active)
        self.wait_idle(name)

    def put_back(self, name: str) -> None:
        """`name` gets requests again, from now on."""
        nginx = self._nginx()
        if nginx is None:
            return
        self._run(nginx, "rm", "-f", f"{DRAIN}/{name}")
        self._wait_in_use(nginx, f"{name} to enter the rotation", lambda active: name in active)

    def forget(self, names: Iterable[str]) -> None:
        """Remove the drain files of replicas that are being taken away for good, or were left by an interrupted run."""
        nginx = self._nginx()
        files = [f"{DRAIN}/{name}" for name in names]
        if nginx is not None and files:
            self._run(nginx, "rm", "-f", *files)

    def drained(self) -> set[str]:
        """The replicas that have a drain file."""
        nginx = self._nginx()
        return set() if nginx is None else set(self._run(nginx, "sh", "-c", f"ls {DRAIN} 2>/dev/null || true").split())

    def wait_idle(self, name: str) -> None:
        """Until nginx holds no connection to `name`; a line says how many requests are still running."""
        nginx = self._nginx()
        addresses = _addresses(self._container(name))
        began = self.clock()
        while nginx is not None and addresses:
            running = connections(self._run(nginx, "cat", "/proc/net/tcp"), addresses)
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
        # Without a file it has not said yet what it works with.
        said = ("sh", "-c", f"cat {IN_USE} 2>/dev/null || true")
        while not ((text := self._run(nginx, *said)) and reached(active(text))):
            if self.clock() - began > CONFIRMED_WITHIN_S:
                raise TollgateError(
                    f"nginx: waited {CONFIRMED_WITHIN_S:.0f} s for {what}",
                    "`make logs S=nginx` says what it made of its configuration; then run the command again",
                )
            self.progress.detail(f"waiting for {what}")
            time.sleep(0.2)

    def _nginx(self) -> Container | None:
        found = self._container(NGINX)
        return found if found is not None and found.state == "running" else None

    def _container(self, service: str) -> Container | None:
        return next((row for row in self.compose.containers() if row.service == service), None)

    def _run(self, nginx: Container, *command: str) -> str:
        return docker(["docker", "exec", nginx.id, *command], what=f"docker exec nginx {command[0]}")


def active(in_use: str) -> set[str]:
    """The replicas that get new requests, from the text of in-use.conf."""
    return {found["name"] for found in _SERVER.finditer(in_use) if not found["rest"].endswith(" down")}


def connections(table: str, addresses: Iterable[str]) -> int:
    """How many connections of /proc/net/tcp lead to one of `addresses` on the replicas' port.

    nginx's leaving workers close their idle connections, and the new ones never opened any to a replica that is out:
    what is left carries a request.
    """
    wanted = {f"{_hexadecimal(address)}:{PORT:04X}" for address in addresses}
    rows = (line.split() for line in table.splitlines()[1:])
    return sum(1 for row in rows if len(row) > 3 and row[2] in wanted and row[3] == ESTABLISHED)


def _hexadecimal(address: str) -> str:
    """An IPv4 address as the kernel prints it on a little-endian machine; the images are built for no other."""
    return socket.inet_aton(address)[::-1].hex().upper()


def _addresses(container: Container | None) -> list[str]:
    if container is None:
        return []
    shown = "{{range .NetworkSettings.Networks}}{{.IPAddress}} {{end}}"
    return docker(["docker", "inspect", "--format", shown, container.id]).split()
