"""Docker Compose for one deployment: its files, its project, and the state of its containers."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from dotenv import dotenv_values

from tollgate.errors import TollgateError
from tollgate.render.watchers import ON_REQUEST, WATCHERS
from tollgate.site import Site
from tollgate.stack.containers.container import LISTED, Container, published, read
from tollgate.stack.containers.probes import Probes
from tollgate.stack.host.commands import Command
from tollgate.stack.host.docker import docker
from tollgate.stack.host.progress import Progress
from tollgate.stack.host.run import become, follow

MIGRATE = "migrate"
# Rendered only if a local backend runs here.
BACKENDS, BASIC_BACKENDS = "compose/backends.yaml", "basic-backends.yaml"
# Rendered only if there are gateway processes.
GATEWAYS = "compose/gateways.yaml"
# Rendered only if TLS is on.
TLS, ACME = "compose/tls.yaml", "compose/acme.yaml"
# Rendered only if a schedule takes backups.
BACKUP = "compose/backup.yaml"
# The services that only a setting adds, with the file that describes them.
OF_A_SETTING = {"acme": ACME, "backup": BACKUP, "gateway": GATEWAYS}
# Which service depends on which. Only these commands read it: for `up`, the hash of a service must not depend on the
# other services that the command names.
ORDER, ORDERED = "compose/order.yaml", {"stop", "down", "rm", "restart", "start"}
DATABASES = ("postgres", "redis")
# No request needs these: the watchers, the service that fetches certificates, the service that takes backups.
OPTIONAL = frozenset({*WATCHERS, *ON_REQUEST})
# Only requests for its own model need a local backend. All backends have this profile too.
BACKEND, ALL_BACKENDS = "backend-", "backends"
TERMINAL_CODES = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
HALF_RECREATED = re.compile(r"[0-9a-f]{12}_")
PROJECT_LABEL, SERVICE_LABEL = "com.docker.compose.project", "com.docker.compose.service"
# Docker 20.10 writes the IPv6 one without brackets.
WILDCARDS = ("0.0.0.0", "::", "[::]", "")  # noqa: S104


@dataclass(frozen=True)
class Compose:
    """One Compose project; paths are absolute. `extra` are files that exist only in some deployments.

    `order` says which service depends on which (docs/decisions/0011).
    """

    project: str
    files: tuple[Path, ...]
    env_file: Path
    extra: tuple[Path, ...] = ()
    order: Path | None = None
    probes: Probes = field(default_factory=Probes, compare=False, repr=False)

    @classmethod
    def core(cls, site: Site, project: str) -> Compose:
        files = (
            site.root / "compose" / "compose.yaml",
            site.rendered("compose/replicas.yaml"),
            site.root / "compose" / "observability.yaml",
        )
        extra = tuple(site.rendered(file) for file in (GATEWAYS, BACKENDS, TLS, ACME, BACKUP))
        return cls(project, files, site.compose_env, extra, site.rendered(ORDER))

    @classmethod
    def basic(cls, site: Site, project: str) -> Compose:
        files = (site.root / "compose" / "basic.yaml",)
        return cls(f"{project}-basic", files, site.basic_env, (site.rendered(BASIC_BACKENDS),))

    def argv(self, *arguments: str) -> list[str]:
        ordered = self.order is not None and self.order.is_file() and not ORDERED.isdisjoint(arguments)
        read = (*self.present, self.order) if ordered else self.present
        files = [word for file in read for word in ("-f", str(file))]
        return ["docker", "compose", "-p", self.project, "--env-file", str(self.env_file), *files, *arguments]

    @property
    def present(self) -> tuple[Path, ...]:
        """Every file that describes a service."""
        return (*self.files, *(file for file in self.extra if file.is_file()))

    def describes(self, service: str) -> bool:
        """Whether this deployment has the service. False for one whose setting is off."""
        file = OF_A_SETTING.get(service)
        return file is None or any(present.name == Path(file).name for present in self.present)

    @property
    def environment(self) -> dict[str, str]:
        """The env file as variables. Compose prefers the process environment to --env-file, and a REDIS_IMAGE that was
        exported for another project must not reach this one."""
        return {name: value or "" for name, value in dotenv_values(self.env_file, interpolate=False).items()}

    @property
    def rendered(self) -> bool:
        """Whether the files of a deploy exist, so that Compose can run."""
        return self.env_file.is_file() and all(file.is_file() for file in self.files)

    def must_be_rendered(self) -> None:
        """TollgateError before the first deploy."""
        if not self.rendered:
            raise TollgateError("nothing is deployed here yet", "run `make deploy`")

    def run(self, step: str, progress: Progress, *arguments: str, hint: str = "") -> str:
        """Run one Compose command to its end. Its lines go to `progress`. Raises StepError if it fails."""
        return Command(step, self.argv(*arguments), hint, env=self.environment).run(progress)

    def ask(self, *arguments: str, timeout: float = 60, given: str = "") -> str:
        """The output of a read-only Compose command. `given` is its input. Raises TollgateError with its message."""
        self.must_be_rendered()
        what = f"docker compose {arguments[0]}"
        return docker(self.argv(*arguments), env=self.environment, timeout=timeout, what=what, given=given)

    def lines(self, *arguments: str) -> Iterator[str]:
        """Yield each line of a Compose command as it comes, without terminal codes; TollgateError if it fails."""
        self.must_be_rendered()
        with follow(self.argv(*arguments), env=self.environment) as process:
            assert process.stdout is not None  # noqa: S101  asked for above
            for line in process.stdout:
                yield plain(line.rstrip("\n"))
        if process.returncode:
            raise TollgateError(
                f"docker compose {arguments[0]} ended with {process.returncode}", "the lines above say why"
            )

    def become(self, *arguments: str) -> None:
        """Replace this process by a Compose command, which then has the terminal and gets the signals itself."""
        self.must_be_rendered()
        become(self.argv(*arguments), self.environment)

    def containers(self) -> list[Container]:
        """Every container of the project, also stopped ones, sorted by service name.

        Asks the engine, because `docker compose ps` takes five times the CPU, and a deploy asks all the time.
        """
        self.must_be_rendered()
        of_project = f"label={PROJECT_LABEL}={self.project}"
        listing = docker(["docker", "ps", "--all", "--filter", of_project, "--format", LISTED])
        containers = [read(line) for line in listing.splitlines() if line]
        passing = self.probes.passing([row.id for row in containers if row.state == "running" and row.unproven])
        containers = [replace(row, health="healthy") if row.id in passing else row for row in containers]
        return sorted(containers, key=lambda container: container.service)

    def running(self) -> dict[str, tuple[str, str]]:
        """Container id and start time of each running service. Both a restart and a new container change the pair."""
        ids = {row.service: row.id for row in self.containers() if row.state == "running"}
        if not ids:
            return {}
        started = docker(["docker", "inspect", "--format", "{{.State.StartedAt}}", *ids.values()]).split()
        return {service: (ids[service], moment) for service, moment in zip(ids, started, strict=True)}

    def any_running(self) -> bool:
        """Whether a container of this project runs. Asks the engine: Compose refuses files whose variables are not all
        set, and the kit's files can be newer than compose.env."""
        return bool(docker(["docker", "ps", "--quiet", "--filter", f"label={PROJECT_LABEL}={self.project}"]).strip())

    def owner(self) -> str:
        """The Compose files of the project's containers, separated by commas; empty if there is no container."""
        shown = '{{.Label "com.docker.compose.project.config_files"}}'
        listing = ["docker", "ps", "--all", "--filter", f"label={PROJECT_LABEL}={self.project}", "--format", shown]
        return next((line for line in docker(listing).splitlines() if line), "")

    def remove_half_recreated(self) -> list[str]:
        """Remove the renamed containers of an interrupted `up`; return their names.

        Compose renames the old container to <12 hex>_<name> while it creates the new one. If it is killed in between,
        both stay, and every later `up` fails with "name is already in use".
        """
        of_project = f"label={PROJECT_LABEL}={self.project}"
        listing = ["docker", "ps", "--all", "--filter", of_project, "--format", "{{.Names}}"]
        left = [name for name in docker(listing).split() if HALF_RECREATED.match(name)]
        if left:
            docker(["docker", "rm", "--force", *left], timeout=120)
        return left

    def remove(self, step: str, progress: Progress, *, volumes: bool) -> None:
        """Remove every container and network of the project, with `volumes` also every volume.

        Compose alone would keep those of a profile that is off, or of a file that is not rendered any more.
        """
        profiles = {"COMPOSE_PROFILES": ",".join((*WATCHERS, ALL_BACKENDS))}
        words = ("down", "--remove-orphans", *(["--volumes"] if volumes else []))
        Command(step, self.argv(*words), env=self.environment | profiles).run(progress)
        for kind in ("network", "volume") if volumes else ("network",):
            of_project = f"label={PROJECT_LABEL}={self.project}"
            if left := docker(["docker", kind, "ls", "--quiet", "--filter", of_project]).split():
                docker(["docker", kind, "rm", *left])

    def services(self) -> list[str]:
        """The services of the enabled profiles, one-shot ones included, sorted."""
        return sorted(self.ask("config", "--services").split())

    def backends(self) -> set[str]:
        """Every local backend that the files describe, enabled or not."""
        services = self.ask("--profile", ALL_BACKENDS, "config", "--services").split()
        return {name for name in services if name.startswith(BACKEND)}

    def address(self, service: str, port: int) -> tuple[str, int]:
        """The address on this host that publishes `port` of `service`; a wildcard address becomes loopback.

        Asks the engine, because `docker compose port` takes three times the CPU.
        """
        self.must_be_rendered()
        labels = (f"{PROJECT_LABEL}={self.project}", f"{SERVICE_LABEL}={service}")
        filters = [word for label in labels for word in ("--filter", f"label={label}")]
        found = published(docker(["docker", "ps", *filters, "--format", "{{.Ports}}"]), port)
        if found is None:
            raise TollgateError(f"{service} does not publish port {port}: it is not running", "run `make start`")
        host, number = found
        return ("127.0.0.1" if host in WILDCARDS else host), number

    def tail(self, service: str, lines: int = 20) -> list[str]:
        """The last log lines of a service, without Compose's prefix; empty if Compose cannot read them."""
        command = self.argv("logs", "--no-color", "--no-log-prefix", "--tail", str(lines), service)
        try:
            text = docker([*command], env=self.environment)
        except TollgateError:  # the caller reports another failure; this log would only explain it
            return []
        return [line for line in plain(text).splitlines() if line.strip()]


def needed(services: Iterable[str]) -> list[str]:
    """Those of `services` that must be up before the gateway answers requests."""
    return [name for name in services if not is_optional(name) and name != MIGRATE]


def is_optional(service: str) -> bool:
    """Whether the gateway answers without it. Without a local backend, only requests for its model fail."""
    return service in OPTIONAL or service.startswith(BACKEND)


def plain(text: str) -> str:
    """`text` without terminal codes: even with --no-color, Compose 2.26 puts "erase line" before each log line."""
    return TERMINAL_CODES.sub("", text)
