"""Which image each service gets: what is here, what a registry gives, what is built, and what is left out.

`docker` is a stand-in that lists the images in a file, builds by adding a line to it, and pulls what it is told to.
"""

from __future__ import annotations

import shutil
import tarfile
from pathlib import Path

import pytest

from tollgate.errors import StepError
from tollgate.site import Site
from tollgate.stack import image_build, images
from tollgate.stack.image_registry import Registries
from tollgate.stack.image_versions import RegistryImage
from tollgate.stack.progress import PlainProgress

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
    if [ -e "HERE/broken" ] && case $tag in *redis:*) true ;; *) false ;; esac; then
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
        monkeypatch.setattr(image_build.packages, "missing", lambda _: [])
        monkeypatch.setattr(image_build.packages, "debian_sources", lambda *_: [])
        monkeypatch.setattr(image_build, "as_root", lambda *_: ("true",))
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

    def forget(self) -> None:
        (self.folder / "calls").write_text("")


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(tmp_path, monkeypatch)


def test_without_a_registry_all_but_a_few_are_built(machine: Machine) -> None:
    found = images.resolve("auto", machine.site, PlainProgress())
    assert set(found.unavailable) == IN_REGISTRIES_ONLY
    assert "docker.io cannot be reached" in found.unavailable["GRAFANA_IMAGE"]
    assert set(found.images) == set(images.RECIPES) - images.ON_DEMAND | {"TOLLGATE_IMAGE"}
    assert all(reference.startswith("tollgate/") for reference in found.images.values())


def test_an_engine_of_a_local_backend_is_made_available_only_when_asked_for(machine: Machine) -> None:
    assert set(images.Catalogue.read("auto", machine.site).ways) >= images.ON_DEMAND
    asked = {"LLAMA_CPP_IMAGE", "VLLM_IMAGE"}
    found = images.resolve("auto", machine.site, PlainProgress(), only=asked)
    assert found.images.keys() == {"LLAMA_CPP_IMAGE"}
    assert found.images["LLAMA_CPP_IMAGE"].startswith("tollgate/llama-cpp:")
    assert found.unavailable.keys() == {"VLLM_IMAGE"}


def test_a_registry_is_asked_once_a_run(machine: Machine) -> None:
    images.resolve("auto", machine.site, PlainProgress())
    hosts = [line.split()[1].split("/")[0] for line in machine.asked("pull")]
    assert sorted(hosts) == sorted(set(hosts))


def test_a_second_run_builds_nothing_and_asks_for_the_list_only(machine: Machine) -> None:
    first = images.resolve("local", machine.site, PlainProgress())
    machine.forget()
    second = images.resolve("local", machine.site, PlainProgress(), only=first.images)
    assert second.images == first.images
    assert machine.asked("") == machine.asked("image ls")
    assert len(machine.asked("image ls")) == 1


def test_a_changed_dockerfile_builds_that_image_again(machine: Machine) -> None:
    images.resolve("local", machine.site, PlainProgress())
    machine.forget()
    with (machine.site.root / "images/redis/Dockerfile").open("a") as file:
        file.write("LABEL changed=yes\n")
    images.resolve("local", machine.site, PlainProgress())
    assert ["tollgate/redis" in line for line in machine.asked("build")] == [True]


def test_a_changed_base_builds_everything_again(machine: Machine) -> None:
    first = images.resolve("local", machine.site, PlainProgress())
    with (machine.site.root / "images/base/build.sh").open("a") as file:
        file.write("# changed\n")
    second = images.resolve("local", machine.site, PlainProgress())
    assert not set(first.images.values()) & set(second.images.values())


def test_with_a_registry_the_pinned_images_are_pulled_and_our_own_is_built_on_debian(machine: Machine) -> None:
    machine.reach("")
    found = images.resolve("registry", machine.site, PlainProgress(), only={"REDIS_IMAGE", "TOLLGATE_IMAGE"})
    assert found.images["REDIS_IMAGE"] == "docker.io/library/redis:8.10.2"
    assert found.images["TOLLGATE_IMAGE"].startswith("tollgate/tollgate:")
    assert "BASE_IMAGE=docker.io/library/debian:trixie-slim" in machine.asked("build")[0]
    machine.forget()
    assert images.resolve("registry", machine.site, PlainProgress(), only=found.images) == found
    assert not machine.asked("pull")


def test_auto_pulls_where_one_registry_answers_and_builds_the_rest(machine: Machine) -> None:
    machine.reach("docker.io/")
    found = images.resolve("auto", machine.site, PlainProgress())
    assert found.images["NGINX_IMAGE"] == "docker.io/library/nginx:1.30.5"
    assert found.images["LITELLM_IMAGE"].startswith("tollgate/litellm:")
    # a registry that answers but lacks one image says so for that image alone
    assert found.unavailable["LOKI_IMAGE"] == "manifest unknown"
    assert found.images["GRAFANA_IMAGE"] == "docker.io/grafana/grafana:12.4.11"


def test_a_registry_that_must_answer_and_does_not_is_an_error(machine: Machine) -> None:
    with pytest.raises(StepError, match=r"pull image redis: registry docker\.io cannot be reached") as failure:
        images.resolve("registry", machine.site, PlainProgress(), only={"REDIS_IMAGE"})
    assert "IMAGE_SOURCE=auto" in failure.value.hint


def test_local_never_asks_a_registry(machine: Machine) -> None:
    found = images.resolve("local", machine.site, PlainProgress())
    assert not machine.asked("pull")
    assert "IMAGE_SOURCE=local" in found.unavailable["LOKI_IMAGE"]


def test_a_python_without_filters_for_archives_builds_too(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Debian 12's, 3.11.2: they came with 3.11.4."""
    plain = tarfile.TarFile.extractall
    monkeypatch.setattr(tarfile.TarFile, "extractall", lambda archive, path: plain(archive, path))
    monkeypatch.delattr(tarfile, "data_filter", raising=False)
    assert "REDIS_IMAGE" in images.resolve("local", machine.site, PlainProgress(), only={"REDIS_IMAGE"}).images


def test_a_failing_build_names_the_image_the_reason_and_its_log(machine: Machine) -> None:
    (machine.folder / "broken").touch()
    with pytest.raises(StepError) as failure:
        images.resolve("local", machine.site, PlainProgress(), only={"REDIS_IMAGE"})
    log = machine.site.logs_dir / "build-redis.log"
    assert "build image redis: process" in str(failure.value)
    assert str(log) in failure.value.hint
    assert "E: Unable to locate package" in failure.value.log
    assert "E: Unable to locate package" in log.read_text()


def test_secrets_reach_a_build_as_files_and_never_as_arguments(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "https://me:hunter2@index.example/simple")
    monkeypatch.setenv("HTTPS_PROXY", "http://me:hunter2@proxy:3128")
    images.resolve("local", machine.site, PlainProgress(), only={"TOLLGATE_IMAGE"})
    [command] = machine.asked("build")
    assert "--secret id=pip_conf,src=" in command
    assert "--build-arg HTTPS_PROXY " in command
    assert "hunter2" not in (machine.folder / "calls").read_text()


def test_a_silent_registry_is_given_up(machine: Machine, tmp_path: Path) -> None:
    (tmp_path / "bin" / "docker").write_text("#!/bin/sh\nexec sleep 60\n")
    registries = Registries(first_answer_seconds=0.1)
    reason = registries.pull(RegistryImage("docker.io", "library/redis", "8"), PlainProgress())
    assert reason == "registry docker.io did not answer within 0.1 s"
    assert registries.pull(RegistryImage("docker.io", "library/nginx", "1"), PlainProgress()) == reason
