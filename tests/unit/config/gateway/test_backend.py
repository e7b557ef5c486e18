"""Local backends: what is asked of this machine before one is run, and the feature matrix as rules."""

from __future__ import annotations

from pathlib import Path

import pytest

from tollgate.config.gateway.backend import Backend, target
from tollgate.config.gateway.engines import CUDA_IMAGE, ENGINES, FEATURES
from tollgate.config.gateway.file import Gateway
from tollgate.config.gateway.load import parse
from tollgate.config.gateway.model import Price
from tollgate.errors import InputError, StepError, TollgateError
from tollgate.site import Site
from tollgate.stack.basic.serve_local import plan
from tollgate.stack.deploy import local_models
from tollgate.stack.images.recipes import ENGINES as ENGINE_IMAGES
from tollgate.stack.images.resolve import ImageSet
from tollgate.stack.images.versions import load

TEST_MODEL = "models:\n  m: {targets: [{model: embedded/test-model}], price: free}\n"


def gateway(*lines: str) -> Gateway:
    return parse(TEST_MODEL + "backends:\n" + "".join(f"  {line}\n" for line in lines), Path("gateway.yaml"))


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """A directory that a container may read; pytest's own are 0700."""
    tmp_path.chmod(0o755)
    (tmp_path / "model.gguf").write_bytes(b"GGUF" + b"\0" * 20)
    hf = tmp_path / "hf"
    hf.mkdir()
    hf.chmod(0o755)  # whatever the umask
    for name in ("config.json", "model.safetensors"):
        (hf / name).write_text("{}")
    for path in (*tmp_path.glob("*.gguf"), *hf.iterdir()):
        path.chmod(0o644)
    return tmp_path


def llama(file: Path, **more: object) -> Backend:
    return Backend.model_validate({"engine": "llama.cpp", "run": True, "model": str(file), **more})


def vllm(directory: Path) -> Backend:
    return Backend.model_validate({"engine": "vllm", "run": True, "model": str(directory)})


def test_models_that_can_be_served_pass(models: Path) -> None:
    local_models.check_model(models, "a", llama(models / "model.gguf"))
    local_models.check_model(models, "a", llama(Path("model.gguf"), mmproj="model.gguf"))
    local_models.check_model(models, "a", vllm(models / "hf"))


def refusal(home: Path, backend: Backend) -> str:
    with pytest.raises(TollgateError) as refused:
        local_models.check_model(home, "mine", backend)
    assert "backends.mine: " in str(refused.value)
    assert refused.value.hint
    return str(refused.value)


def test_a_file_that_is_not_there(models: Path) -> None:
    assert "no file" in refusal(models, llama(models / "other.gguf"))


def test_a_file_that_is_not_gguf(models: Path) -> None:
    (models / "zip.gguf").write_bytes(b"PK\x03\x04")
    (models / "zip.gguf").chmod(0o644)
    assert "is not a GGUF file" in refusal(models, llama(models / "zip.gguf"))
    assert "is not a GGUF file" in refusal(models, llama(models / "model.gguf", mmproj=str(models / "zip.gguf")))


def test_a_file_for_its_owner_only(models: Path) -> None:
    """The container is neither its owner nor root with root's rights."""
    (models / "model.gguf").chmod(0o600)
    assert "only its owner can read" in refusal(models, llama(models / "model.gguf"))
    (models / "model.gguf").chmod(0o644)
    models.chmod(0o700)
    assert "chmod a+rx" in refusal(models, llama(models / "model.gguf"))


def test_a_directory_without_a_model(models: Path) -> None:
    assert "has no config.json" in refusal(models, vllm(models))
    assert "no directory" in refusal(models, vllm(models / "nowhere"))


def test_a_directory_of_links_to_elsewhere(models: Path, tmp_path: Path) -> None:
    """Hugging Face's cache: the container would see links that lead nowhere."""
    (models / "hf" / "tokenizer.json").symlink_to(models / "model.gguf")
    assert "is a link to another directory" in refusal(models, vllm(models / "hf"))
    (models / "linked.gguf").symlink_to(models / "hf" / "config.json")
    assert "give the path of the file itself" in refusal(models, llama(models / "linked.gguf"))


def provide(models: Path, monkeypatch: pytest.MonkeyPatch, chosen: Gateway, *, gpu: bool) -> dict[str, str]:
    site = Site.here(models)

    monkeypatch.setattr(local_models, "gpu_here", lambda: gpu)
    local_models.check(site, chosen.backends)
    asked = local_models.images(chosen.backends)
    known = {name: "tollgate/llama-cpp:1" for name in asked if name == "LLAMA_CPP_IMAGE"}
    missing = dict.fromkeys(asked - known.keys(), "registry docker.io cannot be reached")
    local_models.raise_if_missing(chosen.backends, ImageSet(known, missing))
    return known


def test_only_the_image_of_what_is_run_is_asked_for(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = f"cpu: {{engine: llama.cpp, run: true, model: {models}/model.gguf}}"
    elsewhere = "far: {engine: vllm, url: 'http://gpu-1:8000', model: qwen, alias: far}"
    assert provide(models, monkeypatch, gateway(here, elsewhere), gpu=False) == {
        "LLAMA_CPP_IMAGE": "tollgate/llama-cpp:1"
    }
    assert provide(models, monkeypatch, gateway(elsewhere), gpu=False) == {}


def test_without_a_gpu_an_engine_that_needs_one_is_refused(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for line in (
        f"gpu: {{engine: vllm, run: true, model: {models}/hf}}",
        f"gpu: {{engine: llama.cpp, run: true, model: {models}/model.gguf, gpus: 1}}",
    ):
        with pytest.raises(TollgateError, match=r"backends\.gpu: .* needs an NVIDIA GPU") as refused:
            provide(models, monkeypatch, gateway(line), gpu=False)
        assert "set its url" in refused.value.hint


def test_an_unavailable_image_names_the_backend_and_a_solution(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = gateway(f"gpu: {{engine: vllm, run: true, model: {models}/hf}}")
    with pytest.raises(StepError, match=r"backends\.gpu: the image of vLLM is not available here: registry") as refused:
        provide(models, monkeypatch, chosen, gpu=True)
    assert "set its url" in refused.value.hint


def test_whether_docker_has_a_gpu_is_what_docker_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_models, "ask", lambda *_: '{"io.containerd.runc.v2":{},"nvidia":{"path":"x"},"runc":{}}')
    assert local_models.gpu_here()
    monkeypatch.setattr(local_models, "ask", lambda *_: None)
    assert local_models.gpu_here() is Path("/dev/nvidiactl").exists()


def test_every_engine_has_a_pinned_image_that_is_only_pulled_on_demand() -> None:
    pinned = load(Site.here().root / "images" / "versions.env").registry
    wanted = {engine.image for engine in ENGINES.values()} | set(CUDA_IMAGE.values())
    assert wanted == ENGINE_IMAGES
    assert wanted <= pinned.keys()


def test_every_feature_of_every_engine_is_known() -> None:
    for engine in ENGINES.values():
        assert tuple(engine.features) == FEATURES
        for support in engine.features.values():
            assert not support.option or support.option in engine.options, f"{engine.name}: nobody could set it"


@pytest.mark.parametrize("engine", sorted(ENGINES))
def test_a_server_elsewhere_is_taken_at_its_word(engine: str) -> None:
    """The kit does not know the options of a server that it did not start. `tollgate models test` checks them."""
    server = Backend.model_validate({"engine": engine, "url": "http://gpu-1:9", "model": "m", "needs": FEATURES})
    assert all(server.can(feature) for feature in FEATURES)
    assert gateway(f"far: {{engine: {engine}, url: 'http://gpu-1:9', model: m, needs: [tools, vision]}}")


@pytest.mark.parametrize(
    "url", ["http://gpu-1:8000", "http://gpu-1:8000/", "http://gpu-1:8000/v1", "http://gpu-1:8000/v1/"]
)
def test_an_address_is_understood_with_and_without_its_path(url: str) -> None:
    [model] = [m for name, m in gateway(f"g: {{engine: vllm, url: '{url}', model: q}}").models.items() if name != "m"]
    assert model.targets[0].api_base == "http://gpu-1:8000/v1"
    ollama = Backend.model_validate({"engine": "ollama", "url": url.rstrip("/"), "model": "q"})
    assert target("g", ollama)["api_base"] == "http://gpu-1:8000"


def test_a_backend_is_a_model_like_any_other() -> None:
    text = TEST_MODEL + "backends:\n  g: {engine: vllm, url: 'http://gpu-1:8000', model: q}\n"
    text += "fallbacks: {local-model: [m]}\naliases: {mine: local-model}\n"
    found = parse(text, Path("gateway.yaml"))
    assert found.names >= {"local-model", "mine", "m"}
    with pytest.raises(InputError, match="unknown model 'local-model'"):
        parse(TEST_MODEL + "aliases: {mine: local-model}\n", Path("gateway.yaml"))


def test_a_local_model_has_the_features_of_its_backend(models: Path) -> None:
    """`cheapest` skips a model that lacks a feature which the request needs."""
    blind = gateway(f"cpu: {{engine: llama.cpp, run: true, model: {models}/model.gguf}}").models["local-model"]
    assert (blind.tools, blind.vision) == (True, False)
    told = gateway("far: {engine: vllm, url: 'http://gpu-1:8000', model: q, needs: [tools]}").models["local-model"]
    assert (told.tools, told.vision) == (True, None)


def test_it_is_free_unless_it_has_a_price() -> None:
    free = gateway("far: {engine: vllm, url: 'http://gpu-1:8000', model: q}").models["local-model"]
    assert free.targets[0].price == "free"
    dear = gateway(
        "far: {engine: vllm, url: 'http://gpu-1:8000', model: q, price: {input_per_million: 1, output_per_million: 2}}"
    ).models["local-model"]
    assert isinstance(dear.targets[0].price, Price)
    assert dear.targets[0].price.output_per_million == 2


def test_serve_local_is_the_configuration_it_prints(models: Path) -> None:
    options = {"engine": "llama.cpp", "model": str(models / "model.gguf"), "alias": "mine", "context_tokens": 4096}
    made = plan(Site.here(models), {**options, "mmproj": None}, 4040)
    same = parse(TEST_MODEL + made.written, Path("gateway.yaml"))
    assert same.backends == made.configured.gateway.backends
    assert made.configured.settings.gateway_port == 4040
    assert made.configured.catalogue.names == {"test-model", "mine"}
    assert made.site.home == models / "var" / "serve-local", "what else is deployed here is left alone"


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"engine": "llama.cpp", "model": "qwen"}, r"expected a \.gguf file"),
        ({"engine": "vllm", "model": "x.gguf"}, "expected a directory"),
        ({"engine": "vllm", "model": "x", "mmproj": "y.gguf"}, "vLLM has no such option"),
        ({"engine": "ollama", "model": "qwen3"}, "models is missing"),
        ({"engine": "llama.cpp", "model": "x.gguf", "gpus": "some"}, "gpus"),
    ],
)
def test_serve_local_refuses_what_a_file_would_be_refused_for(
    tmp_path: Path, options: dict[str, str], complaint: str
) -> None:
    with pytest.raises(InputError, match=complaint):
        plan(Site.here(tmp_path), options, 4000)
