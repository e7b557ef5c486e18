"""The host's distribution: the packages that contain Docker, and single plugins from the archive.

Packages come only from archives that the host already uses, or from DEBIAN_MIRROR. This file contains no address.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tollgate import disk
from tollgate.errors import StepError, TollgateError
from tollgate.stack.host.commands import Command, as_root, ask
from tollgate.stack.host.progress import Progress

OS_RELEASE = Path("/etc/os-release")
SYSTEM_PLUGINS = Path("/usr/local/lib/docker/cli-plugins")
USER_PLUGINS = Path("~/.docker/cli-plugins")
PLUGIN_PATHS = ("usr/libexec/docker/cli-plugins", "usr/lib/docker/cli-plugins")
"""The directories of Docker's CLI plugins inside Debian's and Ubuntu's packages."""
APT = ("apt-get", "-o", "DPkg::Lock::Timeout=300", "-o", "Acquire::Retries=3")
QUIET = {"DEBIAN_FRONTEND": "noninteractive"}


@dataclass(frozen=True)
class Distribution:
    """The packages of one release. `plugins` maps a CLI plugin (compose, buildx) to the package that contains it."""

    name: str
    codename: str
    engine: tuple[str, ...]
    """Packages for a working engine, with the CLI plugins if this release has them."""
    plugins: dict[str, str]
    plugin_suites: tuple[str, ...]
    """Suites for a single plugin: those of the release itself, or the next release if it has no plugins."""
    components: str
    keyring: Path


def _debian(name: str, codename: str, engine: tuple[str, ...]) -> Distribution:
    return Distribution(
        name=name,
        codename=codename,
        engine=engine,
        plugins={"compose": "docker-compose", "buildx": "docker-buildx"},
        # bookworm has no Compose v2. trixie's plugins need only libc >= 2.34, so they run on bookworm.
        plugin_suites=("trixie",),
        components="main",
        keyring=Path("/usr/share/keyrings/debian-archive-keyring.gpg"),
    )


def _ubuntu(name: str, codename: str) -> Distribution:
    return Distribution(
        name=name,
        codename=codename,
        engine=("docker.io", "docker-compose-v2", "docker-buildx"),
        plugins={"compose": "docker-compose-v2", "buildx": "docker-buildx"},
        plugin_suites=(codename, f"{codename}-updates"),
        components="main universe",
        keyring=Path("/usr/share/keyrings/ubuntu-archive-keyring.gpg"),
    )


def detect(os_release: Path = OS_RELEASE) -> Distribution:
    """The distribution in os-release. Raises TollgateError if we cannot install Docker on it."""
    try:
        text = os_release.read_text(encoding="utf-8")
    except FileNotFoundError:
        text = ""
    fields = dict(line.split("=", 1) for line in text.splitlines() if "=" in line and not line.startswith("#"))
    fields = {key: value.strip("\"'") for key, value in fields.items()}
    name, codename = fields.get("PRETTY_NAME", "an unknown system"), fields.get("VERSION_CODENAME", "")
    match fields.get("ID"), fields.get("VERSION_ID", ""):
        case "debian", "12":
            # docker.io only recommends iptables, but dockerd needs it to create its bridge.
            return _debian(name, codename, ("docker.io", "iptables"))
        case "debian", "13":
            return _debian(name, codename, ("docker.io", "docker-cli", "docker-compose", "docker-buildx", "iptables"))
        case "ubuntu", version if version >= "22.04":
            return _ubuntu(name, codename)
    raise TollgateError(
        f"no Docker engine answers, and we cannot install Docker on {name} "
        "(only on Debian 12 and 13, Ubuntu 22.04 and newer)",
        "install and start Docker Engine 20.10 or newer with its compose and buildx plugins, and run this again",
    )


def install(packages: Sequence[str], progress: Progress) -> None:
    """Install from the host's own sources. First finish an interrupted installation."""
    if ask("dpkg", "--audit"):
        progress.say("Finishing an interrupted package installation (dpkg --configure -a)")
        Command("finish interrupted installation", as_root("dpkg", "--configure", "-a"), env=QUIET).run(progress)
    hint = "make sure that `apt-get update` works on this machine, then run this again"
    update = as_root(*APT, "update")
    Command("refresh package lists", update, hint).run(progress)
    argv = as_root("env", *(f"{k}={v}" for k, v in QUIET.items()), *APT, "install", "-y", "--no-install-recommends")
    Command(f"install {' '.join(packages)}", (*argv, *packages), hint).run(progress)


def missing(packages: Sequence[str]) -> list[str]:
    """The packages of `packages` that are not fully installed, in the same order."""
    return [p for p in packages if ask("dpkg-query", "-W", "-f", "${db:Status-Status}", p) != "installed"]


def archive(codename: str) -> str | None:
    """The address of the archive that the host uses for the release `codename`; None if it has no source for it."""
    targets = ask("apt-get", "indextargets", "--format", "$(RELEASE) $(COMPONENT) $(REPO_URI)", "Created-By: Packages")
    for line in (targets or "").splitlines():
        release, component, uri = (*line.split(" ", 2), "", "")[:3]
        if release == codename and component == "main":
            return uri.rstrip("/")
    return None


def debian_sources(suite: str, mirror: str = "") -> list[str]:
    """Source lines for a Debian `suite` and its updates, from `mirror` or from the archive that this host uses.

    Empty if the host is not Debian and no mirror is set. Then the bootstrap tool uses its default archive.
    """
    codename = ask("sh", "-c", f'. {OS_RELEASE} && [ "$ID" = debian ] && echo "$VERSION_CODENAME"') or ""
    main = mirror or (archive(codename) if codename else None)
    if not main:
        return []
    lines = [f"deb {main} {suite} main", f"deb {main} {suite}-updates main"]
    security = archive(f"{codename}-security")
    return [*lines, f"deb {security} {suite}-security main"] if security else lines


def add_plugin(plugin: str, distribution: Distribution, progress: Progress, mirror: str = "") -> Path:
    """Put one Docker CLI plugin into the docker client's plugin directory. Returns its path.

    Apt downloads the package with its own configuration and checks its signature. The package is unpacked, not
    installed: the host's sources and package database do not change.
    """
    package = distribution.plugins[plugin]
    uri = mirror or archive(distribution.codename)
    if not uri:
        raise TollgateError(
            f"{package} is not available: this machine has no {distribution.codename} package source",
            "set DEBIAN_MIRROR in .env to the address of a Debian archive, or install the plugin yourself",
        )
    with tempfile.TemporaryDirectory(prefix="tollgate-apt-") as name:
        work = Path(name)
        unpacked = _fetch(package, uri, distribution, work, progress)
        programs = [p for base in PLUGIN_PATHS if (p := unpacked / base / f"docker-{plugin}").is_file()]
        if not programs:
            raise StepError(f"add docker {plugin}", f"package {package} contains no docker-{plugin} plugin")
        target = (SYSTEM_PLUGINS if os.geteuid() == 0 else USER_PLUGINS.expanduser()) / f"docker-{plugin}"
        target.parent.mkdir(parents=True, exist_ok=True)
        disk.replace(target, programs[0].read_bytes(), 0o755)
    return target


def _fetch(package: str, uri: str, distribution: Distribution, work: Path, progress: Progress) -> Path:
    """Download `package` into `work` and unpack it there. Returns the directory of the unpacked files."""
    for folder in ("lists/partial", "archives/partial", "etc", "unpacked"):
        (work / folder).mkdir(parents=True)
    sources = work / "etc" / "plugin.sources"
    disk.create(
        sources,
        f"Types: deb\nURIs: {uri}\nSuites: {' '.join(distribution.plugin_suites)}\n"
        f"Components: {distribution.components}\nSigned-By: {distribution.keyring}\n",
        0o644,
    )
    options = {
        "Dir::Etc::SourceList": "/dev/null",
        "Dir::Etc::SourceParts": str(work / "etc"),
        "Dir::Etc::PreferencesParts": "/dev/null",
        "Dir::State::Lists": str(work / "lists"),
        "Dir::Cache": str(work),
        "Dir::Cache::Archives": str(work / "archives"),
        "APT::Sandbox::User": "",  # apt's own user cannot enter our directory
        "Acquire::Languages": "none",
        "Acquire::Retries": "3",
    }
    apt = ("apt-get", *(part for key, value in options.items() for part in ("-o", f"{key}={value}")))
    hint = "if this archive is not a full mirror, set DEBIAN_MIRROR in .env to a full mirror"
    Command(f"read the package list for {package}", (*apt, "update"), hint, cwd=work).run(progress)
    Command(f"download {package}", (*apt, "download", package), hint, cwd=work).run(progress)
    package_file = next(work.glob(f"{package}_*.deb"))
    Command(f"unpack {package}", ("dpkg-deb", "-x", str(package_file), str(work / "unpacked"))).run(progress)
    return work / "unpacked"
