"""A deploy with local backends that cannot start: a missing image, model or GPU ends no deploy, and is said."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.images import stand_ins
from tests.support.site import new_home
from tests.unit.stack.deploy.played import Host, among, run, shown
from tollgate.errors import StepError, TollgateError
from tollgate.site import Site
from tollgate.stack import configuration
from tollgate.stack.deploy import left_out, local_models, steps
from tollgate.stack.images.resolve import ImageSet

AWAY = "registry docker.io cannot be reached"
HERE = ImageSet({**stand_ins().images, "LLAMA_CPP_IMAGE": "example.invalid/llama:1"}, {"VLLM_IMAGE": AWAY})


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """A GGUF file, and a directory that vLLM reads."""
    folder = tmp_path / "models"
    (folder / "hf").mkdir(parents=True)
    (folder / "small.gguf").write_bytes(b"GGUF")
    (folder / "hf" / "config.json").write_text("{}")
    for path in (tmp_path, folder, folder / "hf"):
        path.chmod(0o755)
    return folder


@pytest.fixture
def backends(models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    """One backend that can run, one without its image, one without its model."""
    monkeypatch.setattr(local_models, "gpu_here", lambda: True)
    monkeypatch.setattr(steps.Images, "here", lambda _, wanted: among(HERE, wanted).images)
    monkeypatch.setattr(steps.Images, "provide", lambda _, wanted: among(HERE, wanted))
    monkeypatch.setattr(steps, "present", lambda: set(HERE.images.values()))
    site = new_home(tmp_path / "home")
    with site.gateway_file.open("a") as file:
        file.write(
            "backends:\n"
            f"  good: {{engine: llama.cpp, run: true, model: {models}/small.gguf, alias: good}}\n"
            f"  absent: {{engine: vllm, run: true, model: {models}/hf, alias: absent}}\n"
            f"  gone: {{engine: llama.cpp, run: true, model: {models}/gone.gguf, alias: gone}}\n"
        )
    return site


def test_the_rest_is_deployed_and_each_is_a_warning(host: Host, backends: Site) -> None:
    deploy = run(backends)
    order = [call for call in host.calls if call in ("tenants", "request", "optional")]
    assert order == ["tenants", "request", "optional"]
    problems = {part.service: part for part in deploy.not_up}
    assert problems.keys() == {"backend-absent", "backend-gone"}
    assert AWAY in problems["backend-absent"].why
    assert "set its url" in problems["backend-absent"].hint
    assert "no file" in problems["backend-gone"].why
    assert "requests for its model fail, and all others work" in str(problems["backend-gone"])
    assert "not up: backend-gone, backend-absent" in shown(deploy).results["optional"]


def test_compose_starts_only_the_backend_that_can_run(host: Host, backends: Site) -> None:
    profiles = run(backends).compose.environment["COMPOSE_PROFILES"].split(",")
    assert [name for name in profiles if name.startswith("backend")] == ["backend-good"]
    assert "backend-gone" in backends.rendered("compose/backends.yaml").read_text(), "described, so that it may run on"


def test_status_and_doctor_read_why_later(host: Host, backends: Site) -> None:
    run(backends)
    left = left_out.read(backends)
    assert left.backends.keys() == {"backend-absent", "backend-gone"}
    [line] = [line for line in left.lines if "backend-absent" in line]
    assert AWAY in line
    assert "set its url" in line


def test_a_second_deploy_changes_nothing(host: Host, backends: Site) -> None:
    run(backends)
    before = left_out.read(backends)
    assert run(backends).changes == []
    assert left_out.read(backends) == before


def test_the_image_of_a_backend_without_its_model_is_not_asked_for(
    host: Host, backends: Site, models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: set[str] = set()
    monkeypatch.setattr(steps.Images, "here", lambda _, wanted: asked.update(wanted) or {})
    (models / "hf" / "config.json").unlink()
    run(backends, "images")
    assert "LLAMA_CPP_IMAGE" in asked
    assert "VLLM_IMAGE" not in asked


def test_without_a_gpu_its_backend_is_left_out(host: Host, backends: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_models, "gpu_here", lambda: False)
    problems = {part.service: part.why for part in run(backends).not_up}
    assert "needs an NVIDIA GPU" in problems["backend-absent"]


def test_twin_the_small_set_up_refuses_what_it_cannot_start(backends: Site) -> None:
    """`basic` and `serve-local` have no other model, or were asked for exactly this one."""
    chosen = configuration.load(backends).gateway.backends
    with pytest.raises(TollgateError, match="no file"):
        local_models.check(backends, chosen)
    with pytest.raises(StepError, match="the image of vLLM is not available here"):
        local_models.raise_if_missing(chosen, HERE)


def test_a_file_of_an_older_kit_is_read(host: Host, backends: Site) -> None:
    backends.left_out_file.parent.mkdir(parents=True, exist_ok=True)
    backends.left_out_file.write_text('{"watchers": {"loki": "away"}, "models": []}')
    assert left_out.read(backends).watchers == {"loki": "away"}
    assert not left_out.read(backends).backends
    run(backends)
