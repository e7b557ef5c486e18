"""Drains replicas and gateway processes: takes one out of rotation without cutting a request, and puts it back.

A file in var/rendered/drain names each drained one (docs/decisions/0020). nginx's entrypoint reads that directory, and
writes the list that nginx uses to /run/nginx/in-use.conf. Each gateway process reads it too, and says in its readiness
which replicas it sends calls to. `take_out` waits for all of them, and then until the running requests have ended.
"""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from tollgate.errors import TollgateError
from tollgate.render.times import Times
from tollgate.stack.containers.callers import calls
from tollgate.stack.containers.compose import Compose
from tollgate.stack.containers.container import Container
from tollgate.stack.host.docker import docker
from tollgate.stack.host.progress import Progress

NGINX = "nginx"
DIRECTORY = "drain"
IN_USE = "/run/nginx/in-use.conf"
REPLICA, GATEWAY = "litellm-", "gateway-"
# Where each kind of server behind nginx listens, by the beginning of its name.
PORTS = {REPLICA: 4000, GATEWAY: 4100}
# The entrypoint checks each second, and a reload ends when the last old worker has stopped listening.
CONFIRMED_WITHIN_S = 30.0
# Each look is a process that the engine starts in a container, a tenth of a second of one core. Servers look at their
# directory once a second, and streams end in seconds.
LOOK_AGAIN_S, IDLE_AGAIN_S = 0.5, 1.0
ESTABLISHED = "01"  # the state column of /proc/net/tcp
_SERVER = re.compile(r"^server (?P<address>[0-9.]+):\d+ (?P<rest>.*); # (?P<name>\S+)$", re.MULTILINE)


def prepare(rendered: Path) -> Path:
    """Create the directory, so that containers' users can read it, and return it. Docker would make it root's."""
    directory = rendered / DIRECTORY
    directory.mkdir(parents=True, exist_ok=True)
    directory.chmod(0o755)
    return directory


@dataclass(frozen=True)
class Drain:
    """Takes servers of one deployment out of rotation and puts them back. It waits only for those that run."""

    compose: Compose
    progress: Progress
    streams_may_take: float = Times().streams
    clock: Callable[[], float] = time.monotonic

    def take_out(self, name: str) -> None:
        """Send `name` no new request, and wait until its requests end, or for `streams_may_take` seconds."""
        (prepare(self._rendered) / name).touch()
        self._wait_in_use(f"{name} to leave its list of replicas", lambda active: name not in active)
        self._wait_callers(name, takes=False)
        self.wait_idle(name)

    def put_back(self, name: str) -> None:
        """Send requests to `name` again."""
        self.forget([name])
        self._wait_in_use(f"{name} to enter its list of replicas", lambda active: name in active)
        self._wait_callers(name, takes=True)

    def forget(self, names: Iterable[str]) -> None:
        """Remove the drain files of replicas that do not come back."""
        for name in names:
            (self._rendered / DIRECTORY / name).unlink(missing_ok=True)

    def drained(self) -> set[str]:
        """Those that have a drain file."""
        directory = self._rendered / DIRECTORY
        return {file.name for file in directory.iterdir()} if directory.is_dir() else set()

    def wait_idle(self, name: str) -> None:
        """Wait until neither nginx nor a gateway process has a request there. Progress lines count those that run."""
        addresses = _addresses(self._container(name))
        began = self.clock()
        while addresses and (running := self._requests(name, addresses)):
            waited = self.clock() - began
            if waited > self.streams_may_take:
                self.progress.say(f"{name}: {running} request(s) still ran after {waited:.0f} s and will be cut")
                return
            self.progress.detail(f"draining {name}: {running} request(s) still running, {waited:.0f} s")
            time.sleep(IDLE_AGAIN_S)

    def _requests(self, name: str, addresses: Iterable[str]) -> int:
        """The requests at `name`. A gateway process that does not answer cannot be waited for."""
        total = 0
        for container in self._running(NGINX, *_senders(name)):
            if container.service == NGINX:
                total += connections(self._run(container, "cat", "/proc/net/tcp"), addresses, port_of(name))
            elif (answer := calls(container, name)) is not None:
                total += answer.running
        return total

    def _wait_in_use(self, what: str, reached: Callable[[set[str]], bool]) -> None:
        began = self.clock()
        # If the file is missing, nginx has not written its list yet.
        read_list = ("sh", "-c", f"cat {IN_USE} 2>/dev/null || true")
        for nginx in self._running(NGINX):
            while not ((text := self._run(nginx, *read_list)) and reached(active(text))):
                if self.clock() - began > CONFIRMED_WITHIN_S:
                    raise _not_confirmed(NGINX, what, "what is wrong with its configuration")
                self.progress.detail(f"waiting for {what}")
                time.sleep(LOOK_AGAIN_S)

    def _wait_callers(self, name: str, *, takes: bool) -> None:
        """Wait until each gateway process sends calls to `name`, or none any more."""
        what = f"{name} to {'enter' if takes else 'leave'} its list of replicas"
        began = self.clock()
        for process in self._running(*_senders(name)):
            while (answer := calls(process, name)) is None or answer.takes not in (takes, None):
                if self.clock() - began > CONFIRMED_WITHIN_S:
                    if answer is not None:
                        raise _not_confirmed(process.service, what, "whether it finds the replicas")
                    # The new containers may be the remedy, so the rollout goes on.
                    self.progress.say(f"{process.service} does not answer; its requests to {name} may be cut")
                    break
                self.progress.detail(f"{process.service}: waiting for {what}")
                time.sleep(LOOK_AGAIN_S)

    @property
    def _rendered(self) -> Path:
        return Path(self.compose.environment["TOLLGATE_RENDERED"])

    def _running(self, *beginnings: str) -> list[Container]:
        if not beginnings:
            return []
        kinds = re.compile(rf"({'|'.join(beginnings)})\d*")
        return [row for row in self.compose.containers() if row.state == "running" and kinds.fullmatch(row.service)]

    def _container(self, service: str) -> Container | None:
        return next((row for row in self.compose.containers() if row.service == service), None)

    def _run(self, nginx: Container, *command: str) -> str:
        return docker(["docker", "exec", nginx.id, *command], what=f"docker exec nginx {command[0]}")


def _senders(name: str) -> tuple[str, ...]:
    """The senders of calls to `name` beside nginx, by the beginning of their names."""
    return (GATEWAY,) if name.startswith(REPLICA) else ()


def _not_confirmed(service: str, what: str, shown: str) -> TollgateError:
    return TollgateError(
        f"{service}: waited {CONFIRMED_WITHIN_S:.0f} s for {what}",
        f"`make logs S={service}` shows {shown}; then run the command again",
    )


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
