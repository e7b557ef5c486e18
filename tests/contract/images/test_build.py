"""Builds with the real engine. The error of a failed build names the image and the reason."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.images.conftest import docker
from tollgate.errors import StepError
from tollgate.site import Site
from tollgate.stack.host.progress import PlainProgress
from tollgate.stack.images import build as image_build
from tollgate.stack.images.recipes import Recipe, prepare
from tollgate.stack.images.sources import ImageSources

pytestmark = pytest.mark.docker

RECIPE = Recipe("broken-on-purpose", "V", (("context", "."),))


@pytest.fixture
def base(image: object) -> str:
    """Our own base. Resolving an image on top of it builds it, if it is missing."""
    assert callable(image)
    image("REDIS_IMAGE")
    return ImageSources.read("local", Site.here()).base.tag


@pytest.fixture
def checkout(tmp_path: Path) -> Iterator[Path]:
    (tmp_path / "context").mkdir()
    yield tmp_path
    for tag in docker("image", "ls", "--format", "{{.Repository}}:{{.Tag}}", f"tollgate/{RECIPE.name}").split():
        docker("image", "rm", "-f", tag)


def build(checkout: Path, base: str, dockerfile: str, progress: PlainProgress) -> str:
    (checkout / "context" / "Dockerfile").write_text(f"ARG BASE_IMAGE\nFROM ${{BASE_IMAGE}}\n{dockerfile}\n")
    ready = prepare(RECIPE, checkout, {"V": secrets.token_hex(4)}, base, {})
    return image_build.build(ready, progress, checkout / "logs" / "build.log", ca_bundle=None, mirror="")


def test_a_failing_build_names_the_image_the_cause_and_the_log(checkout: Path, base: str) -> None:
    with pytest.raises(StepError) as failure:
        build(checkout, base, "RUN echo the cable is cut >&2; exit 3", PlainProgress())
    assert failure.value.step == "build image broken-on-purpose"
    assert "exit code: 3" in failure.value.message
    assert "the cable is cut" in "\n".join(failure.value.log)
    assert str(checkout / "logs" / "build.log") in failure.value.hint
    assert "the cable is cut" in (checkout / "logs" / "build.log").read_text()


def test_twin_the_same_build_without_the_fault_succeeds(checkout: Path, base: str) -> None:
    progress = PlainProgress()
    tag = build(checkout, base, "RUN echo the cable is whole", progress)
    assert docker("run", "--rm", tag, "echo", "runs") == "runs"
    assert any(line.startswith("broken-on-purpose: [2/2] RUN") for line in progress.details)


def test_a_build_step_has_the_secret_files_and_the_image_does_not(
    checkout: Path, base: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "https://user:hunter2@index.example/simple")
    step = "RUN --mount=type=secret,id=pip_conf grep -c 'hunter[0-9]' /run/secrets/pip_conf > /seen"
    progress = PlainProgress()
    tag = build(checkout, base, step, progress)
    assert docker("run", "--rm", tag, "cat", "/seen") == "1"
    history = docker("history", "--no-trunc", tag) + docker("image", "inspect", tag)
    assert "hunter2" not in history + "".join(progress.details)
    assert docker("run", "--rm", tag, "sh", "-c", "ls /run/secrets 2>/dev/null | wc -l") == "0"
