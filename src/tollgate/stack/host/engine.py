"""Docker Engine with Compose v2 and buildx. If no engine answers, installs it from the distribution's packages."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from getpass import getuser
from pathlib import Path

from tollgate.errors import StepError, TollgateError
from tollgate.stack.host import packages
from tollgate.stack.host.commands import TAIL_LINES, Command, as_root, ask
from tollgate.stack.host.progress import Progress
from tollgate.stack.host.run import run

SOCKET = Path("/var/run/docker.sock")
DAEMON_LOG = Path("/var/log/dockerd.log")
SYSTEMD = Path("/run/systemd/system")
"""Exists only if systemd is PID 1 (sd_booted(3))."""
START_SECONDS = 90
PLUGINS = ("compose", "buildx")


@dataclass(frozen=True)
class Engine:
    """The versions on this machine, such as 20.10.24, 2.26.1 and 0.13.1."""

    version: str
    compose: str
    buildx: str

    def __str__(self) -> str:
        return f"Docker Engine {self.version}, Compose {self.compose}, buildx {self.buildx}"


def ensure_engine(progress: Progress, *, allow_install: bool, mirror: str = "") -> Engine:
    """Provide a working engine with both plugins. Adds only what is missing. Safe to run again after a kill.

    `mirror` (DEBIAN_MIRROR) replaces the host's archive for single plugins. Raises TollgateError if a person must
    decide (installation forbidden, no permission, unknown distribution), and StepError if the installation fails.
    """
    version = engine_version()
    if version is None:
        _refuse_if_not_allowed(allow_install)
        version = _install_and_start(progress)
    for plugin in PLUGINS:
        if plugin_version(plugin) is None:
            _add_plugin(plugin, progress, allow_install, mirror)
    engine = Engine(version, plugin_version("compose") or "?", plugin_version("buildx") or "?")
    progress.say(str(engine))
    return engine


def engine_version() -> str | None:
    """The version of the engine that the docker client reaches; None if no engine answers."""
    return ask("docker", "version", "--format", "{{.Server.Version}}") or None


def plugin_version(plugin: str) -> str | None:
    """The version of `docker compose` (v2 or newer) or `docker buildx`; None if the plugin is missing."""
    answer = ask("docker", plugin, "version")
    if not answer:
        return None
    # "Docker Compose version v2.26.1-4" and "github.com/docker/buildx 0.13.1 <commit>"
    words = [word.lstrip("v") for word in answer.split()]
    return next((word for word in words if word[:1].isdigit() and "." in word), None)


def _refuse_if_not_allowed(allow_install: bool) -> None:
    """Raise TollgateError if the engine is remote, if we may not use it, or if the operator forbids installing one."""
    address = os.environ.get("DOCKER_HOST") or ask("docker", "context", "inspect", "-f", "{{.Endpoints.docker.Host}}")
    if address and not address.endswith("/run/docker.sock"):
        raise TollgateError(
            f"the docker client of this user is set to an engine that does not answer: {address}",
            "start it; or, to use an engine on this machine, unset DOCKER_HOST and run: docker context use default",
        )
    if _answers_root_only():
        raise TollgateError(
            f"a Docker engine runs here, but user {getuser()} may not use it",
            f"run sudo usermod -aG docker {getuser()}, log in again, and run this again; or run this as root",
        )
    if not allow_install:
        raise TollgateError(
            "no Docker engine answers, and SKIP_ENGINE_INSTALL=1 forbids installing or starting one",
            "install and start Docker Engine with the compose and buildx plugins, or unset SKIP_ENGINE_INSTALL",
        )


def _answers_root_only() -> bool:
    return "permission denied" in run(["docker", "version"]).err.lower()


def _install_and_start(progress: Progress) -> str:
    distribution = packages.detect()
    if absent := packages.missing(distribution.engine):
        how = "" if os.geteuid() == 0 else ", with sudo"
        progress.say(f"No Docker engine answers: installing {', '.join(absent)} for {distribution.name}{how}")
        packages.install(absent, progress)
    if (version := engine_version()) is None:  # the package's installation may have started it
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
    """Start dockerd. Returns a function that says whether it still runs."""
    if SYSTEMD.is_dir():
        run(as_root("systemctl", "enable", "--now", "docker"), timeout=START_SECONDS)
        return lambda: ask("systemctl", "is-failed", "docker") is None
    # In its own session and with its own files, so that it continues after this process and its terminal end.
    script = f"setsid dockerd >>{DAEMON_LOG} 2>&1 </dev/null & echo $!"
    pid = ask(*as_root("sh", "-c", script))
    if pid is None:
        raise StepError("start Docker", "dockerd did not start", f"see {DAEMON_LOG}")
    return lambda: _lives(Path("/proc", pid, "stat"))


def _lives(stat: Path) -> bool:
    """Whether the process runs. A zombie does not: in a container, process 1 may never reap it."""
    try:
        # The state follows the program's name, which can contain brackets.
        return stat.read_text().rpartition(")")[2].split()[0] not in ("Z", "X")
    except OSError:
        return False


def _wait(alive: Callable[[], bool], progress: Progress) -> None:
    """Wait until the engine answers root. Raises StepError with the daemon's last lines if it stops or stays silent."""
    deadline = time.monotonic() + START_SECONDS
    while ask(*as_root("docker", "version", "--format", "{{.Server.Version}}")) is None:
        dead = not alive()
        if dead or time.monotonic() > deadline:
            cause = "dockerd stopped" if dead else f"dockerd did not answer within {START_SECONDS} s"
            raise StepError(
                "start Docker", cause, "the daemon's own lines above say why; correct it and run this again", _log()
            )
        progress.detail("waiting for the Docker engine to answer")
        time.sleep(0.3)


def _log() -> list[str]:
    """The daemon's last lines, from the journal or from our log file."""
    if SYSTEMD.is_dir():
        text = ask(*as_root("journalctl", "-u", "docker", "-n", str(TAIL_LINES), "--no-pager", "-o", "cat"))
    else:
        text = ask(*as_root("tail", "-n", str(TAIL_LINES), str(DAEMON_LOG)))
    return (text or "").splitlines()


def _share_socket(progress: Progress) -> None:
    """After an installation with sudo: let this user use the engine, now and after the next login."""
    user = getuser()
    progress.say(f"Giving {user} access to Docker: now as the socket's owner, from the next login by group docker")
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
