"""The image of each service: one that exists, one that is pulled, one that is built, or none.

A stand-in for `docker` lists the images of a file. A build or a successful pull adds a line to that file.
"""

from __future__ import annotations

import shutil
import tarfile
from collections.abc import Collection
from pathlib import Path

import pytest

from tollgate.config.env.settings import parse
from tollgate.errors import StepError
from tollgate.site import Site
from tollgate.stack.host.progress import PlainProgress
from tollgate.stack.images import build
from tollgate.stack.images.recipes import ON_DEMAND, RECIPES
from tollgate.stack.images.registry import Registries
from tollgate.stack.images.resolve import UNTESTED, Images, ImageSet
from tollgate.stack.images.sources import ImageSources
from tollgate.stack.images.versions import RegistryImage

ROOT = Site.here().root
IN_REGISTRIES_ONLY = {"GRAFANA_IMAGE", "LOKI_IMAGE", "ALLOY_IMAGE", "SOCKET_PROXY_IMAGE"}
DOCKER = """#!/bin/sh
echo "$*" >> "HERE/calls"
case "$1" in
image) cat "HERE/images" ;;
import) shift; while [ $# -gt 1 ]; do shift; done; echo "$1" >> "HERE/images" ;;
build)
    cat > /dev/null
    for argument; do [ "$previous" != -t ] || tag=$argument; previous=$argument; done
    if [ -e "HERE/broken" ] && case $tag in */$(cat "HERE/broken"):*) true ;; *) false ;; esac; then
        printf '#5 0.2 E: Unable to locate package\\n#5 ERROR: exit code: 100\\n'
        echo 'ERROR: failed to solve: process "apt-get install" did not complete successfully: exit code: 100'
        exit 1
    fi
    echo "#5 [2/3] RUN something"
    echo "$tag" >> "HERE/images" ;;
pull)
    case $2 in REACHED*) ;; *) echo "Error response from daemon: dial tcp: no such host" >&2; exit 1 ;; esac
    case $2 in *grafana/loki*) echo "Error response from daemon: manifest unknown"; exit 1 ;; esac
    echo "x: Pulling from $2"; echo "Status: Downloaded"
    image=${2#docker.io/}; echo "${image#library/}" >> "HERE/images" ;;
esac
"""


class Machine:
    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        for name in ("calls", "images"):
            (folder / name).touch()
        (folder / "bin").mkdir()
        self.reach("none")
        monkeypatch.setenv("PATH", f"{folder / 'bin'}:/usr/bin:/bin")
        monkeypatch.setattr(build.packages, "missing", lambda _: [])
        monkeypatch.setattr(build.packages, "debian_sources", lambda *_: [])
        monkeypatch.setattr(build, "as_root", lambda *_: ("true",))
        root = folder / "kit"
        shutil.copytree(ROOT / "images", root / "images", ignore=shutil.ignore_patterns("node_modules"))
        (root / "src" / "tollgate").mkdir(parents=True)
        self.site = Site(root, folder / "home")

    def reach(self, registry: str) -> None:
        docker = self.folder / "bin" / "docker"
        docker.write_text(DOCKER.replace("HERE", str(self.folder)).replace("REACHED", registry))
        docker.chmod(0o755)

    def asked(self, command: str) -> list[str]:
        return [line for line in (self.folder / "calls").read_text().splitlines() if line.startswith(command)]

    def provide(
        self,
        source: str,
        wanted: Collection[str] | None = None,
        *,
        grafana: str = "on",
        progress: PlainProgress | None = None,
    ) -> ImageSet:
        """Provide `wanted`, by default the images of a deploy of this kit."""
        settings = parse(f"IMAGE_SOURCE={source}\nGRAFANA={grafana}\n", self.site.env_file)
        images = Images(settings, self.site, progress or PlainProgress())
        return images.provide(images.core if wanted is None else wanted)

    def forget(self) -> None:
        (self.folder / "calls").write_text("")


def pin(site: Site, name: str, reference: str) -> None:
    file = site.root / "images" / "versions.env"
    lines = [line for line in file.read_text().splitlines() if not line.startswith(f"{name}=")]
    file.write_text("\n".join([*lines, f"{name}={reference}"]) + "\n")


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(tmp_path, monkeypatch)


def test_without_a_registry_most_images_are_built(machine: Machine) -> None:
    resolved = machine.provide("local")
    assert set(resolved.unavailable) == IN_REGISTRIES_ONLY
    assert "docker.io cannot be reached" in resolved.unavailable["GRAFANA_IMAGE"]
    assert set(resolved.images) == set(RECIPES) - ON_DEMAND | {"TOLLGATE_IMAGE"}
    assert all(reference.startswith("tollgate/") for reference in resolved.images.values())


def test_the_engine_of_a_local_backend_is_provided_on_demand(machine: Machine) -> None:
    assert set(ImageSources.read("local", machine.site).ways) >= ON_DEMAND
    asked = {"LLAMA_CPP_IMAGE", "VLLM_IMAGE"}
    resolved = machine.provide("local", asked)
    assert resolved.images.keys() == {"LLAMA_CPP_IMAGE"}
    assert resolved.images["LLAMA_CPP_IMAGE"].startswith("tollgate/llama-cpp:")
    assert resolved.unavailable.keys() == {"VLLM_IMAGE"}


def test_an_unreachable_registry_is_asked_once_in_a_run(machine: Machine) -> None:
    machine.provide("local")
    hosts = [line.split()[1].split("/")[0] for line in machine.asked("pull")]
    assert sorted(hosts) == sorted(set(hosts))


def test_a_second_run_only_lists_the_images(machine: Machine) -> None:
    first = machine.provide("local")
    machine.forget()
    second = machine.provide("local", first.images)
    assert second.images == first.images
    assert machine.asked("") == machine.asked("image ls")
    assert len(machine.asked("image ls")) == 1


def test_a_changed_dockerfile_rebuilds_that_image(machine: Machine) -> None:
    machine.provide("local")
    machine.forget()
    with (machine.site.root / "images/redis/Dockerfile").open("a") as file:
        file.write("LABEL changed=yes\n")
    machine.provide("local")
    assert ["tollgate/redis" in line for line in machine.asked("build")] == [True]


def test_a_changed_base_rebuilds_everything(machine: Machine) -> None:
    first = machine.provide("local")
    with (machine.site.root / "images/base/build.sh").open("a") as file:
        file.write("# changed\n")
    second = machine.provide("local")
    assert not set(first.images.values()) & set(second.images.values())


def test_with_a_registry_pinned_images_are_pulled_and_ours_built(machine: Machine) -> None:
    machine.reach("")
    resolved = machine.provide("registry", {"REDIS_IMAGE", "TOLLGATE_IMAGE"})
    assert resolved.images["REDIS_IMAGE"] == "docker.io/library/redis:8.10.2"
    assert resolved.images["TOLLGATE_IMAGE"].startswith("tollgate/tollgate:")
    assert "BASE_IMAGE=docker.io/library/debian:trixie-slim" in machine.asked("build")[0]
    machine.forget()
    assert machine.provide("registry", resolved.images) == resolved
    assert not machine.asked("pull")


def test_only_an_image_without_a_recipe_is_pulled(machine: Machine) -> None:
    machine.reach("")
    resolved = machine.provide("local")
    assert {line.split()[1].split(":")[0].split("/")[-1] for line in machine.asked("pull")} == {
        "grafana", "loki", "alloy", "socket-proxy",
    }  # fmt: skip
    assert resolved.images["NGINX_IMAGE"].startswith("tollgate/nginx:")
    # A registry that answers and lacks one image does not affect other images.
    assert resolved.unavailable == {"LOKI_IMAGE": "manifest unknown"}
    assert resolved.images["GRAFANA_IMAGE"] == "docker.io/grafana/grafana:12.4.11"


def test_an_unreachable_registry_does_not_affect_another(machine: Machine) -> None:
    pin(machine.site, "ALLOY_IMAGE", "ghcr.io/grafana/alloy:v1.21.2")
    machine.reach("docker.io/")
    resolved = machine.provide("local", {"GRAFANA_IMAGE", "ALLOY_IMAGE"})
    assert resolved.images == {"GRAFANA_IMAGE": "docker.io/grafana/grafana:12.4.11"}
    assert "registry ghcr.io cannot be reached" in resolved.unavailable["ALLOY_IMAGE"]


def test_a_pulled_image_is_used_while_its_registry_is_down(machine: Machine) -> None:
    machine.reach("docker.io/")
    wanted = {"GRAFANA_IMAGE", "LOKI_IMAGE"}
    first = machine.provide("local", wanted)
    machine.reach("none")
    assert machine.provide("local", wanted).images == first.images
    assert set(first.images) == {"GRAFANA_IMAGE"}


def test_one_error_lists_every_needed_image_that_is_missing(machine: Machine) -> None:
    only = {"REDIS_IMAGE", "NGINX_IMAGE", "LITELLM_IMAGE", "GRAFANA_IMAGE"}
    with pytest.raises(StepError) as failure:
        machine.provide("registry", only)
    message = str(failure.value)
    assert "pull image litellm: registry ghcr.io cannot be reached: no such host" in message
    assert "pull image nginx, redis: registry docker.io cannot be reached: no such host" in message
    assert "grafana" not in message
    assert "IMAGE_SOURCE=local" in failure.value.hint


def test_a_missing_tag_of_a_watcher_leaves_out_only_that_watcher(machine: Machine) -> None:
    machine.reach("")
    resolved = machine.provide("registry")
    assert resolved.unavailable == {"LOKI_IMAGE": "manifest unknown"}


def test_only_source_registry_prints_that_it_is_not_tested(machine: Machine) -> None:
    machine.reach("")
    printed = {}
    for source in ("registry", "local"):
        progress = PlainProgress()
        machine.provide(source, progress=progress)
        machine.provide(source, {"ACME_IMAGE"}, progress=progress)
        printed[source] = progress.said.count(UNTESTED)
    assert printed == {"registry": 1, "local": 0}


def test_an_unreachable_registry_leaves_out_only_its_own_images(machine: Machine) -> None:
    machine.reach("docker.io/")
    asked = {"REDIS_IMAGE", "POSTGRES_EXPORTER_IMAGE", "GRAFANA_IMAGE"}
    resolved = machine.provide("registry", asked)
    assert resolved.images.keys() == {"REDIS_IMAGE", "GRAFANA_IMAGE"}
    assert "quay.io cannot be reached" in resolved.unavailable["POSTGRES_EXPORTER_IMAGE"]


def test_a_watcher_whose_build_fails_is_left_out(machine: Machine) -> None:
    (machine.folder / "broken").write_text("redis-exporter")
    asked = {"REDIS_IMAGE", "REDIS_EXPORTER_IMAGE"}
    resolved = machine.provide("local", asked)
    assert resolved.images.keys() == {"REDIS_IMAGE"}
    assert "build image redis-exporter" in resolved.unavailable["REDIS_EXPORTER_IMAGE"]
    assert "build-redis-exporter.log" in resolved.unavailable["REDIS_EXPORTER_IMAGE"]


def test_an_image_that_is_turned_off_is_not_pulled(machine: Machine) -> None:
    resolved = machine.provide("local", grafana="off")
    assert not resolved.unavailable
    assert not IN_REGISTRIES_ONLY & resolved.images.keys()


def test_a_python_without_archive_filters_builds_too(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Debian 12 has Python 3.11.2; the filters came with 3.11.4."""
    plain = tarfile.TarFile.extractall
    monkeypatch.setattr(tarfile.TarFile, "extractall", lambda archive, path: plain(archive, path))
    monkeypatch.delattr(tarfile, "data_filter", raising=False)
    assert "REDIS_IMAGE" in machine.provide("local", {"REDIS_IMAGE"}).images


def test_a_failing_build_names_the_image_the_reason_and_its_log(machine: Machine) -> None:
    (machine.folder / "broken").write_text("redis")
    with pytest.raises(StepError) as failure:
        machine.provide("local", {"REDIS_IMAGE"})
    log = machine.site.logs_dir / "build-redis.log"
    assert "build image redis: process" in str(failure.value)
    assert str(log) in failure.value.hint
    assert "E: Unable to locate package" in failure.value.log
    assert "E: Unable to locate package" in log.read_text()


def test_a_build_gets_secrets_as_files_and_never_as_arguments(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "https://me:hunter2@index.example/simple")
    monkeypatch.setenv("HTTPS_PROXY", "http://me:hunter2@proxy:3128")
    machine.provide("local", {"TOLLGATE_IMAGE"})
    [command] = machine.asked("build")
    assert "--secret id=pip_conf,src=" in command
    assert "--build-arg HTTPS_PROXY " in command
    assert "hunter2" not in (machine.folder / "calls").read_text()


REDIS = RegistryImage("docker.io", "library/redis", "8")
NGINX = RegistryImage("docker.io", "library/nginx", "1")


def docker_says(tmp_path: Path, script: str) -> None:
    """`script` gets the image as $2, and in $count the number of calls, including this one."""
    count = f"echo >> {tmp_path}/count; count=$(wc -l < {tmp_path}/count)"
    docker = tmp_path / "bin" / "docker"
    docker.parent.mkdir(exist_ok=True)
    docker.write_text(f"#!/bin/sh\n{count}\n{script}\n")
    docker.chmod(0o755)


@pytest.fixture
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    return tmp_path


def asked(tmp_path: Path) -> int:
    return len((tmp_path / "count").read_text())


def test_a_silent_registry_is_not_asked_again_in_a_run(docker: Path) -> None:
    docker_says(docker, "exec sleep 60")
    registries = Registries(first_answer=(0.1, 0.2))
    reason = registries.pull(REDIS, PlainProgress())
    assert reason == "registry docker.io did not answer within 0.2 s"
    assert registries.pull(NGINX, PlainProgress()) == reason
    assert asked(docker) == 2


def test_a_registry_that_is_slow_once_is_retried(docker: Path) -> None:
    docker_says(docker, "[ $count -gt 1 ] || exec sleep 60; echo Status: Downloaded")
    registries = Registries(first_answer=(0.3, 10))
    assert registries.pull(REDIS, PlainProgress()) == ""
    assert registries.pull(NGINX, PlainProgress()) == ""
    assert asked(docker) == 3


@pytest.mark.parametrize(
    "first",
    [
        'Get "https://mirror/v2/": net/http: request canceled (Client.Timeout exceeded while awaiting headers)',
        'Get "https://registry-1.docker.io/v2/": read tcp 10.0.0.1:1->1.2.3.4:443: read: connection reset by peer',
        'Get "https://registry-1.docker.io/v2/": EOF',
        'Get "https://registry-1.docker.io/v2/": net/http: TLS handshake timeout',
    ],
)
def test_a_temporary_error_is_retried(docker: Path, first: str) -> None:
    docker_says(docker, f"[ $count -gt 1 ] || {{ echo 'Error response from daemon: {first}' >&2; exit 1; }}; echo fine")
    assert Registries(first_answer=(10, 10)).pull(REDIS, PlainProgress()) == ""


@pytest.mark.parametrize(
    "error",
    [
        "dial tcp: lookup registry-1.docker.io: no such host",
        "dial tcp 1.2.3.4:443: connect: connection refused",
        "tls: failed to verify certificate: x509: certificate signed by unknown authority",
        "http: server gave HTTP response to HTTPS client",
    ],
)
def test_a_permanent_connection_error_is_not_retried(docker: Path, error: str) -> None:
    docker_says(docker, f"echo 'Error response from daemon: Get \"https://x/v2/\": {error}' >&2; exit 1")
    registries = Registries(first_answer=(10, 10))
    assert registries.pull(REDIS, PlainProgress()).startswith("registry docker.io cannot be reached: ")
    registries.pull(NGINX, PlainProgress())
    assert asked(docker) == 1


@pytest.mark.parametrize(
    "error",
    [
        "manifest for mirror.example:5000/x/tls-timeout-proxy:1 not found: manifest unknown: manifest unknown",
        "toomanyrequests: You have reached your pull rate limit",
        "received unexpected HTTP status: 503 Service Unavailable",
        "pull access denied for x, repository does not exist or may require docker login",
    ],
)
def test_a_refused_image_does_not_stop_other_pulls(docker: Path, error: str) -> None:
    docker_says(docker, f"case $2 in *redis*) echo 'Error response from daemon: {error}' >&2; exit 1 ;; esac; echo ok")
    registries = Registries(first_answer=(10, 10))
    assert registries.pull(REDIS, PlainProgress()) == error
    assert registries.pull(NGINX, PlainProgress()) == ""
    assert asked(docker) == 2


def test_a_registry_that_has_answered_never_counts_as_down(docker: Path) -> None:
    docker_says(docker, "case $2 in *redis*) exec sleep 60 ;; esac; echo ok")
    registries = Registries(first_answer=(0.2, 0.3))
    assert registries.pull(NGINX, PlainProgress()) == ""
    assert registries.pull(REDIS, PlainProgress()) == "registry docker.io did not answer within 0.3 s"
    assert registries.pull(NGINX, PlainProgress()) == ""


def test_only_a_download_without_progress_is_stopped(docker: Path) -> None:
    docker_says(docker, "echo 8: Pulling from library/redis; exec sleep 60")
    reason = Registries(first_answer=(10, 10), stall=0.2).pull(REDIS, PlainProgress())
    assert reason == "the download of library/redis:8 made no progress for 0.2 s, so it was stopped"
    bars = r"printf '\033[1A\033[2K\rabc: Downloading [==>  ] %sMB/9MB\r\033[1B' $part; sleep 0.3"
    docker_says(docker, f"echo 8: Pulling; for part in 1 2 3 4 5; do {bars}; done; echo Status: Downloaded")
    progress = PlainProgress()
    assert Registries(first_answer=(10, 10), stall=1).pull(REDIS, progress) == ""
    assert "abc: Downloading [==>  ] 3MB/9MB" in progress.details


def test_a_pull_runs_on_a_terminal_to_show_its_progress(docker: Path) -> None:
    docker_says(docker, "[ -t 1 ] && echo on a terminal || { echo Error: on a pipe; exit 1; }")
    assert Registries().pull(REDIS, PlainProgress()) == ""
