"""The host's distribution: which packages carry Docker there, and single files out of the archive.

Package archives are always the ones the host already uses (or DEBIAN_MIRROR); no address is written down here.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tollgate.errors import StepError, TollgateError
from tollgate.stack.commands import Command, as_root, ask
from tollgate.stack.progress import Progress

OS_RELEASE = Path("/etc/os-release")
SYSTEM_PLUGINS = Path("/usr/local/lib/docker/cli-plugins")
USER_PLUGINS = Path("~/.docker/cli-plugins")
PLUGIN_PATHS = ("usr/libexec/docker/cli-plugins", "usr/lib/docker/cli-plugins")
"""Where Debian and Ubuntu keep Docker's CLI plugins inside their packages."""
APT = ("apt-get", "-o", "DPkg::Lock::Timeout=300", "-o", "Acquire::Retries=3")
QUIET = {"DEBIAN_FRONTEND": "noninteractive"}


@dataclass(frozen=True)
class Distribution:
    """What one release offers. `plugins` maps a CLI plugin (compose, buildx) to the package that carries it."""

    name: str
    codename: str
    engine: tuple[str, ...]
    """Packages for a working engine, CLI plugins included where this release has them."""
    plugins: dict[str, str]
    plugin_suites: tuple[str, ...]
    """Suites to take a single plugin from: the release's own, or the next one where it has none."""
    components: str
    keyring: Path


def _debian(name: str, codename: str, engine: tuple[str, ...]) -> Distribution:
    return Distribution(
        name=name,
        codename=codename,
        engine=engine,
        plugins={"compose": "docker-compose", "buildx": "docker-buildx"},
        # bookworm has no Compose v2; trixie's plugins need only libc >= 2.34 and run there as they are
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
    """The distribution os-release describes; TollgateError for one we do not install Docker on."""
    try:
        text = os_release.read_text(encoding="utf-8")
    except FileNotFoundError:
        text = ""
    fields = dict(line.split("=", 1) for line in text.splitlines() if "=" in line and not line.startswith("#"))
    fields = {key: value.strip("\"'") for key, value in fields.items()}
    name, codename = fields.get("PRETTY_NAME", "an unknown system"), fields.get("VERSION_CODENAME", "")
    match fields.get("ID"), fields.get("VERSION_ID", ""):
        case "debian", "12":
            # iptables is only a recommendation there, and without it dockerd cannot make its bridge
            return _debian(name, codename, ("docker.io", "iptables"))
        case "debian", "13":
            return _debian(name, codename, ("docker.io", "docker-cli", "docker-compose", "docker-buildx", "iptables"))
        case "ubuntu", version if version >= "22.04":
            return _ubuntu(name, codename)
    raise TollgateError(
        f"no Docker engine answers, and {name} is none we install it on (Debian 12 and 13, Ubuntu 22.04 and newer)",
        "install and start Docker Engine 20.10 or newer with its compose and buildx plugins, and run this again",
    )


def install(packages: Sequence[str], progress: Progress) -> None:
    """Install from the host's own sources, finishing first what an earlier run left half done."""
    if ask("dpkg", "--audit"):
        progress.say("Finishing an interrupted package installation (dpkg --configure -a)")
        Command("finish interrupted installation", as_root("dpkg", "--configure", "-a"), env=QUIET).run(progress)
    hint = "see that apt-get update works on this machine, then run this again"
    update = as_root(*APT, "update")
    Command("refresh package lists", update, hint).run(progress)
    argv = as_root("env", *(f"{k}={v}" for k, v in QUIET.items()), *APT, "install", "-y", "--no-install-recommends")
    Command(f"install {' '.join(packages)}", (*argv, *packages), hint).run(progress)


def missing(packages: Sequence[str]) -> list[str]:
    """Those of `packages` that are not fully installed, in the order given."""
    return [p for p in packages if ask("dpkg-query", "-W", "-f", "${db:Status-Status}", p) != "installed"]


def archive(codename: str) -> str | None:
    """The address of the archive the host takes the release `codename` from; None where it has no such source."""
    targets = ask("apt-get", "indextargets", "--format", "$(RELEASE) $(COMPONENT) $(REPO_URI)", "Created-By: Packages")
    for line in (targets or "").splitlines():
        release, component, uri = (*line.split(" ", 2), "", "")[:3]
        if release == codename and component == "main":
            return uri.rstrip("/")
    return None


def debian_sources(suite: str, mirror: str = "") -> list[str]:
    """Source lines for a Debian `suite`, from `mirror` or the archive this host uses, with its updates.

    Empty on a host that is no Debian and has no mirror set: the bootstrap tool then uses its default archive.
    """
    codename = ask("sh", "-c", f'. {OS_RELEASE} && [ "$ID" = debian ] && echo "$VERSION_CODENAME"') or ""
    main = mirror or (archive(codename) if codename else None)
    if not main:
        return []
    lines = [f"deb {main} {suite} main", f"deb {main} {suite}-updates main"]
    security = archive(f"{codename}-security")
    return [*lines, f"deb {security} {suite}-security main"] if security else lines


def add_plugin(plugin: str, distribution: Distribution, progress: Progress, mirror: str = "") -> Path:
    """Put one Docker CLI plugin where the docker client looks for it, and nothing else; returns its path.

    The package is fetched with a private apt configuration (signatures checked with the archive's keyring) and
    unpacked, not installed: the host's own sources and package database stay as they are.
    """
    package = distribution.plugins[plugin]
    uri = mirror or archive(distribution.codename)
    if not uri:
        raise TollgateError(
            f"no {distribution.codename} package source is configured here to take {package} from",
            "set DEBIAN_MIRROR in .env to the address of a Debian archive, or install the plugin yourself",
        )
    with tempfile.TemporaryDirectory(prefix="tollgate-apt-") as name:
        work = Path(name)
        unpacked = _fetch(package, uri, distribution, work, progress)
        found = [p for base in PLUGIN_PATHS if (p := unpacked / base / f"docker-{plugin}").is_file()]
        if not found:
            raise StepError(f"add docker {plugin}", f"package {package} holds no docker-{plugin} plugin")
        target = (SYSTEM_PLUGINS if os.geteuid() == 0 else USER_PLUGINS.expanduser()) / f"docker-{plugin}"
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_name(f".{target.name}.{os.getpid()}")
        shutil.copyfile(found[0], partial)
        partial.chmod(0o755)
        partial.replace(target)  # whole or not at all, should we be killed here
    return target


def _fetch(package: str, uri: str, distribution: Distribution, work: Path, progress: Progress) -> Path:
    """Download `package` into `work` and unpack it there; returns the directory it was unpacked to."""
    for folder in ("lists/partial", "archives/partial", "etc", "unpacked"):
        (work / folder).mkdir(parents=True)
    sources = work / "etc" / "plugin.sources"
    sources.write_text(
        f"Types: deb\nURIs: {uri}\nSuites: {' '.join(distribution.plugin_suites)}\n"
        f"Components: {distribution.components}\nSigned-By: {distribution.keyring}\n",
        encoding="utf-8",
    )
    options = {
        "Dir::Etc::SourceList": "/dev/null",
        "Dir::Etc::SourceParts": str(work / "etc"),
        "Dir::Etc::PreferencesParts": "/dev/null",
        "Dir::State::Lists": str(work / "lists"),
        "Dir::Cache": str(work),
        "Dir::Cache::Archives": str(work / "archives"),
        "APT::Sandbox::User": "",  # the directory is ours alone, which apt's own user could not enter
        "Acquire::Languages": "none",
        "Acquire::Retries": "3",
    }
    apt = ("apt-get", *(part for key, value in options.items() for part in ("-o", f"{key}={value}")))
    hint = "if this archive is not a full mirror, set DEBIAN_MIRROR in .env to one that is"
    Command(f"read the package list for {package}", (*apt, "update"), hint, cwd=work).run(progress)
    Command(f"download {package}", (*apt, "download", package), hint, cwd=work).run(progress)
    package_file = next(work.glob(f"{package}_*.deb"))
    Command(f"unpack {package}", ("dpkg-deb", "-x", str(package_file), str(work / "unpacked"))).run(progress)
    return work / "unpacked"
