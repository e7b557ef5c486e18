"""A Docker engine that answers is used unchanged. A missing one is installed, or refused if that is forbidden.

A directory of stand-in commands plays the host. They record their calls.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tollgate.errors import StepError, TollgateError
from tollgate.stack.host import engine, packages
from tollgate.stack.host.progress import PlainProgress

DEBIAN_12 = 'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nID=debian\nVERSION_ID="12"\nVERSION_CODENAME=bookworm\n'
TOOLS = ("sh", "cat", "cp", "chmod", "env", "mkdir", "sleep", "tail", "touch", "grep", "dirname", "ls")

STAND_INS = {
    "sudo": '[ "$1" = -V ] || exec "$@"',
    "docker": """
case "$1" in compose|buildx) exec "HOST/plugins/docker-$1" ;; esac
[ -e HOST/running ] || exit 1
echo 20.10.24""",
    "setsid": "touch HOST/running; sleep 5",
    "dpkg": "exit 0",
    "dpkg-query": "[ -e HOST/installed ] && printf installed",
    "apt-get": """
case "$*" in
*indextargets*) echo "bookworm main http://archive.example/debian" ;;
*" install "*) touch HOST/installed ;;
*" download docker-compose") touch docker-compose_2.deb ;;
*" download docker-buildx") touch docker-buildx_1.deb ;;
esac""",
    "dpkg-deb": """
mkdir -p "$3/usr/libexec/docker/cli-plugins"
for plugin in compose buildx; do
    printf '#!/bin/sh\necho Docker version v2.26.1-4\n' > "$3/usr/libexec/docker/cli-plugins/docker-$plugin"
done""",
}


class Host:
    """Stand-ins on PATH: a docker client, an engine that runs while `running` exists, and Debian's package tools."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.bin, self.calls = folder, folder / "bin", folder / "calls"
        self.bin.mkdir()
        self.calls.touch()
        for tool in TOOLS:
            program = next(p for d in ("/usr/bin", "/bin") if (p := Path(d) / tool).exists())
            (self.bin / tool).symlink_to(program)
        for name, body in STAND_INS.items():
            self.stub(name, body.replace("HOST", str(folder)))

    def stub(self, name: str, body: str) -> None:
        file = self.bin / name
        file.unlink(missing_ok=True)
        file.write_text(f'#!/bin/sh\necho "{name} $*" >> "{self.calls}"\n{body}\n')
        file.chmod(0o755)

    def asked(self, words: str) -> list[str]:
        return [line for line in self.calls.read_text().splitlines() if words in line]


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    host = Host(tmp_path)
    monkeypatch.setenv("PATH", str(host.bin))
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    (tmp_path / "os-release").write_text(DEBIAN_12)
    detect = packages.detect
    monkeypatch.setattr(packages, "detect", lambda: detect(tmp_path / "os-release"))
    monkeypatch.setattr(packages, "SYSTEM_PLUGINS", tmp_path / "plugins")
    monkeypatch.setattr(packages, "USER_PLUGINS", tmp_path / "plugins")
    monkeypatch.setattr(engine, "SYSTEMD", tmp_path / "no-systemd")
    monkeypatch.setattr(engine, "DAEMON_LOG", tmp_path / "dockerd.log")
    return host


def have_plugins(host: Host, *plugins: str) -> None:
    (host.folder / "plugins").mkdir(exist_ok=True)
    for plugin in plugins:
        file = host.folder / "plugins" / f"docker-{plugin}"
        file.write_text("#!/bin/sh\necho Docker Compose version v2.26.1-4\n")
        file.chmod(0o755)


def test_an_engine_that_answers_is_not_changed(host: Host) -> None:
    (host.folder / "running").touch()
    have_plugins(host, "compose", "buildx")
    ensured = engine.ensure_engine(PlainProgress(), allow_install=True)
    assert ensured == engine.Engine("20.10.24", "2.26.1-4", "2.26.1-4")
    assert not host.asked("apt-get")
    assert not host.asked("setsid")


def test_a_missing_engine_is_installed_started_and_reported(host: Host) -> None:
    progress = PlainProgress()
    ensured = engine.ensure_engine(progress, allow_install=True)
    assert ensured.version == "20.10.24"
    assert [line.split(" install ")[1] for line in host.asked(" install ")] == [
        "-y --no-install-recommends docker.io iptables"
    ]
    assert host.asked("setsid dockerd")
    assert progress.said[0].startswith("No Docker engine answers: installing docker.io, iptables for Debian")
    assert (host.folder / "plugins" / "docker-compose").stat().st_mode & 0o777 == 0o755


def test_a_second_run_installs_nothing(host: Host) -> None:
    engine.ensure_engine(PlainProgress(), allow_install=True)
    host.calls.write_text("")
    engine.ensure_engine(PlainProgress(), allow_install=True)
    assert not host.asked("apt-get")


def test_only_the_missing_plugin_is_added(host: Host) -> None:
    (host.folder / "running").touch()
    have_plugins(host, "compose")
    progress = PlainProgress()
    engine.ensure_engine(progress, allow_install=True)
    assert not host.asked(" install ")
    assert [line.split()[-1] for line in host.asked(" download ")] == ["docker-buildx"]
    assert progress.said[0] == "Adding the Docker CLI plugin buildx (docker-buildx from trixie)"


def test_skip_engine_install_refuses_and_explains(host: Host) -> None:
    with pytest.raises(TollgateError) as refusal:
        engine.ensure_engine(PlainProgress(), allow_install=False)
    assert "SKIP_ENGINE_INSTALL=1" in str(refusal.value)
    assert "unset SKIP_ENGINE_INSTALL" in refusal.value.hint
    assert not host.asked("apt-get")


def test_skip_engine_install_also_refuses_to_add_a_plugin(host: Host) -> None:
    (host.folder / "running").touch()
    with pytest.raises(TollgateError, match="docker compose is missing, and SKIP_ENGINE_INSTALL=1"):
        engine.ensure_engine(PlainProgress(), allow_install=False)


def test_an_unreachable_remote_engine_is_not_replaced_by_a_local_one(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", "tcp://elsewhere:2375")
    with pytest.raises(TollgateError, match=r"an engine that does not answer: tcp://elsewhere:2375"):
        engine.ensure_engine(PlainProgress(), allow_install=True)
    assert not host.asked("apt-get")


def test_an_engine_we_may_not_use_is_not_installed_again(host: Host) -> None:
    host.stub("docker", 'case "$*" in --version) exit 0 ;; esac\necho "permission denied while trying" >&2; exit 1')
    with pytest.raises(TollgateError, match="may not use it"):
        engine.ensure_engine(PlainProgress(), allow_install=True)
    assert not host.asked("apt-get")


def test_a_daemon_that_stops_is_reported_with_its_last_lines(host: Host) -> None:
    # The stand-in's output goes to the log, as dockerd's output does.
    host.stub("setsid", "echo failed to start daemon: no space left on device")
    with pytest.raises(StepError) as failure:
        engine.ensure_engine(PlainProgress(), allow_install=True)
    assert "dockerd stopped" in str(failure.value)
    assert "no space left on device" in "\n".join(failure.value.log)


def test_a_zombie_daemon_counts_as_stopped() -> None:
    """Its new parent may reap it late or never."""
    with subprocess.Popen(["true"]) as ended:
        os.waitid(os.P_PID, ended.pid, os.WEXITED | os.WNOWAIT)
        assert Path("/proc", str(ended.pid)).exists(), "twin: its entry is still there"
        assert not engine._lives(Path("/proc", str(ended.pid), "stat"))
    assert not engine._lives(Path("/proc", str(ended.pid), "stat"))
    assert engine._lives(Path("/proc/self/stat"))


def test_a_failing_installation_names_the_step_and_keeps_the_reason(host: Host) -> None:
    host.stub("apt-get", 'case "$*" in *" install "*) echo "E: Unable to locate package docker.io"; exit 100 ;; esac')
    with pytest.raises(StepError) as failure:
        engine.ensure_engine(PlainProgress(), allow_install=True)
    assert failure.value.step == "install docker.io iptables"
    assert failure.value.log[-1] == "E: Unable to locate package docker.io"


def test_an_interrupted_installation_is_finished_first(host: Host) -> None:
    host.stub("dpkg", '[ "$1" = --audit ] && echo "docker.io is half configured"; exit 0')
    engine.ensure_engine(PlainProgress(), allow_install=True)
    asked = host.calls.read_text()
    assert asked.index("dpkg --configure -a") < asked.index(" install ")


@pytest.mark.parametrize(
    ("fields", "engine_packages", "suite"),
    [
        ("ID=debian\nVERSION_ID=12\nVERSION_CODENAME=bookworm", ("docker.io", "iptables"), "trixie"),
        (
            'ID=debian\nVERSION_ID="13"\nVERSION_CODENAME=trixie',
            ("docker.io", "docker-cli", "docker-compose", "docker-buildx", "iptables"),
            "trixie",
        ),
        (
            'ID=ubuntu\nVERSION_ID="24.04"\nVERSION_CODENAME=noble',
            ("docker.io", "docker-compose-v2", "docker-buildx"),
            "noble",
        ),
    ],
)
def test_distributions(tmp_path: Path, fields: str, engine_packages: tuple[str, ...], suite: str) -> None:
    (tmp_path / "os-release").write_text(f"PRETTY_NAME='Some Linux'\n# comment\n{fields}\n")
    distribution = packages.detect(tmp_path / "os-release")
    assert distribution.engine == engine_packages
    assert distribution.plugin_suites[0] == suite


@pytest.mark.parametrize(
    "fields", ["ID=fedora\nVERSION_ID=43", "ID=ubuntu\nVERSION_ID=20.04", "ID=debian\nVERSION_ID=11", ""]
)
def test_other_distributions_are_refused_with_a_hint(tmp_path: Path, fields: str) -> None:
    (tmp_path / "os-release").write_text(f'PRETTY_NAME="Some Linux"\n{fields}\n')
    with pytest.raises(TollgateError) as refusal:
        packages.detect(tmp_path / "os-release")
    assert "Some Linux" in str(refusal.value)
    assert "install and start Docker Engine" in refusal.value.hint


def test_the_base_image_uses_the_hosts_own_archive(monkeypatch: pytest.MonkeyPatch) -> None:
    archives = {"bookworm": "http://mirror.example/debian", "bookworm-security": "http://mirror.example/security"}
    monkeypatch.setattr(packages, "archive", archives.get)
    monkeypatch.setattr(packages, "ask", lambda *_: "bookworm")
    assert packages.debian_sources("trixie") == [
        "deb http://mirror.example/debian trixie main",
        "deb http://mirror.example/debian trixie-updates main",
        "deb http://mirror.example/security trixie-security main",
    ]
    assert packages.debian_sources("trixie", "http://ours/debian")[0] == "deb http://ours/debian trixie main"


def test_a_host_without_debian_has_no_source_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "ask", lambda *_: "")
    assert packages.debian_sources("trixie") == []
