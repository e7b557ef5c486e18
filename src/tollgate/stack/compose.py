"""Docker Compose for one deployment: which files, which project, and what it says of its containers."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from dotenv import dotenv_values

from tollgate.errors import TollgateError
from tollgate.site import Site
from tollgate.stack.commands import Command
from tollgate.stack.docker import docker
from tollgate.stack.progress import Progress

MIGRATE = "migrate"
# Rendered where a local backend is run here.
BACKENDS, BASIC_BACKENDS = "compose/backends.yaml", "basic-backends.yaml"
# The same where TLS is on.
TLS, ACME = "compose/tls.yaml", "compose/acme.yaml"
# The same while backups are taken on a schedule.
BACKUP = "compose/backup.yaml"
DATABASES = ("postgres", "redis")
TERMINAL_CODES = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
HALF_RECREATED = re.compile(r"[0-9a-f]{12}_")
PROJECT_LABEL = "com.docker.compose.project"
LISTED = "\t".join(
    ('{{.Label "com.docker.compose.service"}}', "{{.Names}}", "{{.ID}}", "{{.State}}", "{{.RunningFor}}", "{{.Status}}")
)
EXITED = re.compile(r"(?:Exited|Restarting) \((\d+)\)")
HEALTH = re.compile(r"\((?:health: )?(starting|healthy|unhealthy)\)")


@dataclass(frozen=True)
class Container:
    """One container as Compose sees it. `health` is healthy, unhealthy, starting, or empty without a health check."""

    service: str
    name: str
    id: str
    state: str
    health: str
    exit_code: int
    running_for: str

    @property
    def ready(self) -> bool:
        return self.state == "running" and self.health in ("healthy", "")

    @property
    def failed(self) -> bool:
        return self.state in ("exited", "dead", "restarting") or self.health == "unhealthy"


@dataclass(frozen=True)
class Compose:
    """One Compose project; paths are absolute. `extra` are files that are there only where something needs them."""

    project: str
    files: tuple[Path, ...]
    env_file: Path
    extra: tuple[Path, ...] = ()

    @classmethod
    def core(cls, site: Site, project: str) -> Compose:
        files = (
            site.root / "compose" / "compose.yaml",
            site.rendered_dir / "compose" / "replicas.yaml",
            site.root / "compose" / "observability.yaml",
        )
        extra = tuple(site.rendered_dir / file for file in (BACKENDS, TLS, ACME, BACKUP))
        return cls(project, files, site.rendered_dir / "compose.env", extra)

    @classmethod
    def basic(cls, site: Site, project: str) -> Compose:
        files = (site.root / "compose" / "basic.yaml",)
        return cls(f"{project}-basic", files, site.rendered_dir / "basic.env", (site.rendered_dir / BASIC_BACKENDS,))

    def argv(self, *arguments: str) -> list[str]:
        files = [word for file in self.present for word in ("-f", str(file))]
        return ["docker", "compose", "-p", self.project, "--env-file", str(self.env_file), *files, *arguments]

    @property
    def present(self) -> tuple[Path, ...]:
        """Every file that counts."""
        return (*self.files, *(file for file in self.extra if file.is_file()))

    @property
    def environment(self) -> dict[str, str]:
        """The env file as variables: Compose prefers the process environment to --env-file, and a REDIS_IMAGE
        somebody exported for another project must not end up in this one."""
        return {name: value or "" for name, value in dotenv_values(self.env_file, interpolate=False).items()}

    @property
    def rendered(self) -> bool:
        """Whether there is anything to talk to Compose about yet."""
        return self.env_file.is_file() and all(file.is_file() for file in self.files)

    def must_be_rendered(self) -> None:
        """TollgateError before the first deploy."""
        if not self.rendered:
            raise TollgateError("nothing is deployed here yet", "run `make deploy`")

    def run(self, step: str, progress: Progress, *arguments: str, hint: str = "") -> str:
        """Run one Compose command to its end, its lines going to `progress`; StepError when it fails."""
        return Command(step, self.argv(*arguments), hint, env=self.environment).run(progress)

    def ask(self, *arguments: str, timeout: float = 60, given: str = "") -> str:
        """The output of a read-only Compose command, `given` its input; TollgateError with its message on failure."""
        self.must_be_rendered()
        what = f"docker compose {arguments[0]}"
        return docker(self.argv(*arguments), env=self.environment, timeout=timeout, what=what, given=given)

    def become(self, *arguments: str) -> None:
        """Replace this process by a Compose command: its own output and signals, nothing in between."""
        self.must_be_rendered()
        argv = self.argv(*arguments)
        os.execvpe(argv[0], argv, {**os.environ, **self.environment})  # noqa: S606  no shell

    def containers(self) -> list[Container]:
        """Every container of the project, stopped ones too, by service name.

        Asks the engine: `docker compose ps` takes five times the CPU, and is asked all the time while a deploy waits.
        """
        self.must_be_rendered()
        of_project = f"label={PROJECT_LABEL}={self.project}"
        listing = docker(["docker", "ps", "--all", "--filter", of_project, "--format", LISTED])
        found = [_container(line) for line in listing.splitlines() if line]
        return sorted(found, key=lambda container: container.service)

    def running(self) -> dict[str, tuple[str, str]]:
        """Container id and start time of each running service: a restart shows as a difference, as a new one does."""
        ids = {row.service: row.id for row in self.containers() if row.state == "running"}
        if not ids:
            return {}
        started = docker(["docker", "inspect", "--format", "{{.State.StartedAt}}", *ids.values()]).split()
        return {service: (ids[service], moment) for service, moment in zip(ids, started, strict=True)}

    def any_running(self) -> bool:
        """Whether a container of this project runs. Asks the engine, not Compose: the files here may be newer than
        what was rendered for them, and Compose refuses files whose variables are not all set."""
        return bool(docker(["docker", "ps", "--quiet", "--filter", f"label={PROJECT_LABEL}={self.project}"]).strip())

    def owner(self) -> str:
        """The Compose files that the project's containers were made from, as one text; empty where there are none."""
        shown = '{{.Label "com.docker.compose.project.config_files"}}'
        listing = ["docker", "ps", "--all", "--filter", f"label={PROJECT_LABEL}={self.project}", "--format", shown]
        return next((line for line in docker(listing).splitlines() if line), "")

    def remove_half_recreated(self) -> list[str]:
        """Remove what an interrupted `up` left behind; return the names.

        Compose renames the old container to <12 hex>_<name> while it makes the new one. Killed in between, both stay,
        and every later `up` fails with "name is already in use".
        """
        listing = [
            "docker",
            "ps",
            "--all",
            "--filter",
            f"label={PROJECT_LABEL}={self.project}",
            "--format",
            "{{.Names}}",
        ]
        left = [name for name in docker(listing).split() if HALF_RECREATED.match(name)]
        if left:
            docker(["docker", "rm", "--force", *left], timeout=120)
        return left

    def services(self) -> list[str]:
        """The services of the enabled profiles, one-shot ones included, sorted."""
        return sorted(self.ask("config", "--services").split())

    def address(self, service: str, port: int) -> tuple[str, int]:
        """Where `service`'s container port is published on this host; a wildcard address becomes loopback."""
        lines = self.ask("port", service, str(port)).split()
        if not lines:
            raise TollgateError(f"{service} does not publish port {port}: it is not running", "run `make start`")
        host, _, published = lines[0].rpartition(":")
        return ("127.0.0.1" if host in ("0.0.0.0", "[::]", "") else host), int(published)  # noqa: S104

    def tail(self, service: str, lines: int = 20) -> list[str]:
        """The last log lines of a service, without Compose's prefix; empty where they cannot be had."""
        command = self.argv("logs", "--no-color", "--no-log-prefix", "--tail", str(lines), service)
        try:
            text = docker([*command], env=self.environment)
        except TollgateError:  # this is asked for to explain another failure, which is the one to report
            return []
        return [line for line in plain(text).splitlines() if line.strip()]


def plain(text: str) -> str:
    """Without terminal codes: Compose 2.26 puts "erase line" before each log line even with --no-color."""
    return TERMINAL_CODES.sub("", text)


def _container(line: str) -> Container:
    """From one line of LISTED. A status is like "Up 2 minutes (health: starting)" or "Exited (137) 3 seconds ago"."""
    service, name, container, state, age, status = line.split("\t")
    exited, health = EXITED.match(status), HEALTH.search(status)
    return Container(service, name, container, state, health[1] if health else "", int(exited[1]) if exited else 0, age)
