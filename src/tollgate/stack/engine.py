"""Docker Engine with Compose v2 and buildx: used as it is where it answers, installed from the distribution if not."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from getpass import getuser
from pathlib import Path

from tollgate.errors import StepError, TollgateError
from tollgate.stack import packages
from tollgate.stack.commands import TAIL_LINES, Command, as_root, ask
from tollgate.stack.progress import Progress

SOCKET = Path("/var/run/docker.sock")
DAEMON_LOG = Path("/var/log/dockerd.log")
SYSTEMD = Path("/run/systemd/system")
"""Exists exactly where systemd is PID 1 (sd_booted(3))."""
START_SECONDS = 90
PLUGINS = ("compose", "buildx")


@dataclass(frozen=True)
class Engine:
    """What answers on this machine, as version strings such as 20.10.24, 2.26.1 and 0.13.1."""

    version: str
    compose: str
    buildx: str

    def __str__(self) -> str:
        return f"Docker Engine {self.version}, Compose {self.compose}, buildx {self.buildx}"


def ensure_engine(progress: Progress, *, allow_install: bool, mirror: str = "") -> Engine:
    """A working engine with both plugins. Adds only what is missing; safe to run again after being killed.

    `mirror` (DEBIAN_MIRROR) replaces the host's archive for single plugins. Raises TollgateError where a person has
    to decide (installation refused, no permission, unknown distribution), StepError where installing went wrong.
    """
    version = engine_version()
    if version is None:
        _refuse_unless_ours_to_start(allow_install)
        version = _install_and_start(progress)
    for plugin in PLUGINS:
        if plugin_version(plugin) is None:
            _add_plugin(plugin, progress, allow_install, mirror)
    engine = Engine(version, plugin_version("compose") or "?", plugin_version("buildx") or "?")
    progress.say(str(engine))
    return engine


def engine_version() -> str | None:
    """The version of the engine the docker client reaches, None where none answers."""
    return ask("docker", "version", "--format", "{{.Server.Version}}") or None


def plugin_version(plugin: str) -> str | None:
    """The version of `docker compose` (v2 or newer) or `docker buildx`; None where the plugin is missing."""
    answer = ask("docker", plugin, "version")
    if not answer:
        return None
    # "Docker Compose version v2.26.1-4" and "github.com/docker/buildx 0.13.1 <commit>"
    words = [word.lstrip("v") for word in answer.split()]
    return next((word for word in words if word[:1].isdigit() and "." in word), None)


def _refuse_unless_ours_to_start(allow_install: bool) -> None:
    """Stop where installing or starting an engine would be wrong: remote, forbidden to us, or not wanted."""
    asked = os.environ.get("DOCKER_HOST") or ask("docker", "context", "inspect", "-f", "{{.Endpoints.docker.Host}}")
    if asked and not asked.endswith("/run/docker.sock"):
        raise TollgateError(
            f"the Docker engine this user's client is set to ({asked}) does not answer",
            "start it; or, to use an engine on this machine, unset DOCKER_HOST and run: docker context use default",
        )
    if _answers_root_only():
        raise TollgateError(
            f"a Docker engine runs here, but user {getuser()} may not use it",
            f"sudo usermod -aG docker {getuser()}, log in again, and run this again; or run this as root",
        )
    if not allow_install:
        raise TollgateError(
            "no Docker engine answers, and SKIP_ENGINE_INSTALL=1 forbids installing or starting one",
            "install and start Docker Engine with the compose and buildx plugins, or unset SKIP_ENGINE_INSTALL",
        )


def _answers_root_only() -> bool:
    done = subprocess.run(["docker", "version"], capture_output=True, text=True, check=False) if _client() else None
    return done is not None and "permission denied" in done.stderr.lower()


def _client() -> bool:
    return ask("docker", "--version") is not None


def _install_and_start(progress: Progress) -> str:
    distribution = packages.detect()
    if absent := packages.missing(distribution.engine):
        how = "" if os.geteuid() == 0 else ", with sudo"
        progress.say(f"No Docker engine answers: installing {', '.join(absent)} for {distribution.name}{how}")
        packages.install(absent, progress)
    if (version := engine_version()) is None:  # the package may have started it already
        progress.say("Starting the Docker engine")
        alive = _start()
        _wait(alive, progress)
        version = engine_version()
    if version is None:
        _share_socket(progress)
        version = engine_version()
    if version is None:
        raise StepError("start Docker", "the engine runs, but the docker client does not reach it", "try: docker info")
    return version


def _start() -> Callable[[], bool]:
    """Start dockerd and return what tells whether it is still alive."""
    if SYSTEMD.is_dir():
        subprocess.run(as_root("systemctl", "enable", "--now", "docker"), check=False, capture_output=True)
        return lambda: ask("systemctl", "is-failed", "docker") is None
    # its own session and files, so that it outlives this process and its terminal
    script = f"setsid dockerd >>{DAEMON_LOG} 2>&1 </dev/null & echo $!"
    pid = ask(*as_root("sh", "-c", script))
    if pid is None:
        raise StepError("start Docker", "dockerd could not be started", f"see {DAEMON_LOG}")
    return lambda: _lives(Path("/proc", pid, "stat"))


def _lives(stat: Path) -> bool:
    """A process that ended lives no more also where nobody has collected it: in a container process 1 may never."""
    try:
        # The state stands after the program's name, which may hold brackets itself.
        return stat.read_text().rpartition(")")[2].split()[0] not in ("Z", "X")
    except OSError:
        return False


def _wait(alive: Callable[[], bool], progress: Progress) -> None:
    """Until the engine answers root; StepError with the daemon's last words where it dies or stays silent."""
    deadline = time.monotonic() + START_SECONDS
    while ask(*as_root("docker", "version", "--format", "{{.Server.Version}}")) is None:
        dead = not alive()
        if dead or time.monotonic() > deadline:
            cause = "dockerd stopped" if dead else f"dockerd did not answer within {START_SECONDS} s"
            raise StepError(
                "start Docker", cause, "the lines above are the daemon's own; fix it and run this again", _log()
            )
        progress.detail("waiting for the Docker engine to answer")
        time.sleep(0.3)


def _log() -> list[str]:
    """The daemon's last lines, from the journal or our log file."""
    if SYSTEMD.is_dir():
        text = ask(*as_root("journalctl", "-u", "docker", "-n", str(TAIL_LINES), "--no-pager", "-o", "cat"))
    else:
        text = ask(*as_root("tail", "-n", str(TAIL_LINES), str(DAEMON_LOG)))
    return (text or "").splitlines()


def _share_socket(progress: Progress) -> None:
    """After an installation through sudo: let the person who asked for it use the engine, now and after login."""
    user = getuser()
    progress.say(f"Letting {user} use Docker: group docker from the next login, the socket's owner until then")
    Command("add to group docker", as_root("usermod", "-aG", "docker", user)).run(progress)
    Command("share the Docker socket", as_root("chown", user, str(SOCKET))).run(progress)


def _add_plugin(plugin: str, progress: Progress, allow_install: bool, mirror: str) -> None:
    if not allow_install:
        raise TollgateError(
            f"docker {plugin} is missing, and SKIP_ENGINE_INSTALL=1 forbids adding it",
            f"install the Docker {plugin} plugin, or unset SKIP_ENGINE_INSTALL",
        )
    distribution = packages.detect()
    suite = distribution.plugin_suites[0]
    progress.say(f"Adding the Docker CLI plugin {plugin} ({distribution.plugins[plugin]} from {suite})")
    path = packages.add_plugin(plugin, distribution, progress, mirror)
    if plugin_version(plugin) is None:
        raise StepError(f"add docker {plugin}", f"{path} does not run here", f"try: {path} docker-cli-plugin-metadata")
