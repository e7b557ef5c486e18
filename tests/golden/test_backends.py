"""Local backends as they are rendered: one service each with its engine's flags, and LiteLLM pointed at them."""

from __future__ import annotations

import itertools
import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from tests.support.images import stand_ins
from tests.support.site import new_home
from tollgate.cli.app import app
from tollgate.config.gateway.backend import Backend
from tollgate.config.gateway.engines import ENGINES, FEATURES
from tollgate.render.backends import render_backends, run_here
from tollgate.render.litellm import deployments
from tollgate.render.output import Rendered, write
from tollgate.site import Site
from tollgate.stack import configuration
from tollgate.stack.basic import setup
from tollgate.stack.containers.compose import Compose
from tollgate.stack.deploy import render
from tollgate.stack.images.recipes import ON_DEMAND
from tollgate.stack.images.resolve import ImageSet
from tollgate.stack.secrets import publish
from tollgate.stack.secrets import store as secrets

GOLDEN = Path(__file__).with_name("backends")
RUN = {
    "vllm": "{engine: vllm, run: true, model: /srv/models/Qwen3-30B, alias: a-vllm, tool_parser: hermes, gpus: 2, "
    "context_tokens: 65536, gpu_memory: 0.95, needs: [tools, vision]}",
    "llama": "{engine: llama.cpp, run: true, model: models/qwen.gguf, mmproj: models/eyes.gguf, alias: a-llama, "
    "memory_gb: 16, context_tokens: 8192, needs: [tools, vision]}",
    "cuda": "{engine: llama.cpp, run: true, model: /srv/models/qwen.gguf, alias: a-cuda, gpus: all, "
    'arguments: ["--parallel", "4"]}',
    "trtllm": "{engine: trtllm, run: true, model: /srv/models/Qwen3-8B, alias: a-trtllm, tool_parser: qwen3, "
    "context_tokens: 8192, gpu_memory: 0.9}",
    "sglang": "{engine: sglang, run: true, model: /srv/models/Qwen3-8B, alias: a-sglang, tool_parser: qwen25, "
    "gpu_memory: 0.9, context_tokens: 32768}",
    "ollama": '{engine: ollama, run: true, model: "qwen3:8b", models: /srv/ollama, alias: a-ollama, '
    "context_tokens: 32768}",
}
ELSEWHERE = {
    "far-vllm": "{engine: vllm, url: http://gpu-1:8000/v1, model: /models/GLM-FP8}",
    "far-ollama": '{engine: ollama, url: http://gpu-2:11434, model: "qwen3:8b", alias: far, api_key: env:GPU_API_KEY}',
}


def site_with(home: Path, backends: dict[str, str], *lines: str) -> Site:
    site = new_home(home, *lines)
    text = site.gateway_file.read_text()
    listed = "".join(f"  {name}: {backend}\n" for name, backend in backends.items())
    site.gateway_file.write_text(f"{text}\nbackends:\n{listed}" if backends else text)
    return site


def images(backends: dict[str, str], *, watchers: bool) -> ImageSet:
    """With the engines' images, as `deploy` finds them."""
    found = stand_ins(watchers=watchers)
    return ImageSet(
        {**found.images, **{name: f"example.invalid/{name.lower()}:1" for name in ON_DEMAND}}, found.unavailable
    )


def rendered(home: Path, backends: dict[str, str], *, watchers: bool = False) -> tuple[Site, list[Rendered]]:
    site = site_with(home, backends, "REPLICAS=2", "GATEWAYS=1")
    secrets.ensure(site)
    loaded, found = configuration.load(site), images(backends, watchers=watchers)
    files = render.rendered_files(site, loaded, render.watchers(loaded, stand_ins(watchers=watchers)))
    published = publish.published(site, loaded.settings)
    return site, [*files, render.compose_env(site, loaded, found, files, published)]


def text_of(files: list[Rendered], path: str) -> str:
    return next(file.text for file in files if str(file.path) == path)


def test_the_rendered_file_is_the_reviewed_one(tmp_path: Path) -> None:
    site, files = rendered(tmp_path / "home", RUN)
    text = text_of(files, "compose/backends.yaml").replace(str(site.home), "/home")
    file = GOLDEN / "backends.yaml"
    if os.environ.get("UPDATE_GOLDEN"):
        file.write_text(text)
    assert text == file.read_text(), f"changed: review it, then UPDATE_GOLDEN=1 pytest {__file__}"


def test_litellm_is_pointed_at_each(tmp_path: Path) -> None:
    site = site_with(tmp_path / "home", {**RUN, **ELSEWHERE}, "GPU_API_KEY=secret-of-the-gpu")
    found = {d["name"]: dict(d["params"]) for d in deployments(configuration.load(site).catalogue)}  # type: ignore[call-overload]
    where = {
        json.loads(str(name)): [json.loads(params[key]) for key in ("model", "api_base", "api_key")]
        for name, params in found.items()
    }
    assert (
        where.items()
        >= {
            "a-vllm": ["hosted_vllm/a-vllm", "http://backend-vllm:8000/v1", "none"],
            "a-llama": ["hosted_vllm/a-llama", "http://backend-llama:8080/v1", "none"],
            "a-trtllm": ["hosted_vllm/a-trtllm", "http://backend-trtllm:8000/v1", "none"],
            "a-sglang": ["hosted_vllm/a-sglang", "http://backend-sglang:30000/v1", "none"],
            "a-ollama": ["ollama_chat/qwen3:8b", "http://backend-ollama:11434", "none"],
            "local-model": ["hosted_vllm//models/GLM-FP8", "http://gpu-1:8000/v1", "none"],
            "far": ["ollama_chat/qwen3:8b", "http://gpu-2:11434", "os.environ/GPU_API_KEY"],
        }.items()
    )


def test_no_deployment_of_a_backend_is_taken_for_anthropics(tmp_path: Path) -> None:
    """Only a deployment that says so is sent what Claude Code sends: these are translated, and stripped first."""
    site = site_with(tmp_path / "home", {**RUN, **ELSEWHERE}, "GPU_API_KEY=secret-of-the-gpu")
    catalogue = configuration.load(site).catalogue
    ours = {backend.alias for backend in configuration.load(site).gateway.backends.values()}
    infos = {json.loads(str(d["name"])): dict(d["info"]) for d in deployments(catalogue)}  # type: ignore[call-overload]
    assert {name for name, info in infos.items() if "supported_endpoints" in info}.isdisjoint(ours)
    assert "supported_endpoints" in infos["test-model"], "the twin: an upstream that does speak Messages"


def test_without_a_backend_run_here_nothing_is_added(tmp_path: Path) -> None:
    _, files = rendered(
        tmp_path / "home", ELSEWHERE | {"far-ollama": ELSEWHERE["far-ollama"].replace("env:GPU_API_KEY", "none")}
    )
    assert not [file for file in files if "backends" in str(file.path)]
    [profiles] = [line for line in text_of(files, "compose.env").splitlines() if line.startswith("COMPOSE_PROFILES=")]
    assert "backends" not in profiles


def config(compose: Compose) -> dict[str, Any]:
    environment = {name: value for name, value in os.environ.items() if not re.match("COMPOSE_|[A-Z_]+_IMAGE$", name)}
    argv = compose.argv("config", "--format", "json")
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    assert "warn" not in done.stderr.lower(), done.stderr
    return dict(json.loads(done.stdout))


COMBINATIONS = [*((name,) for name in RUN), *itertools.combinations(("vllm", "llama", "ollama"), 2), tuple(RUN)]


@pytest.mark.docker
@pytest.mark.parametrize("names", COMBINATIONS, ids="+".join)
def test_compose_accepts_every_combination(tmp_path: Path, names: tuple[str, ...]) -> None:
    site, files = rendered(tmp_path / "home", {name: RUN[name] for name in names}, watchers=len(names) > 1)
    write(site.rendered_dir, files)
    resolved = config(Compose.core(site, "tollgate-test"))
    ours = {name: s for name, s in resolved["services"].items() if name.startswith("backend-")}
    assert ours.keys() == {f"backend-{name}" for name in names}
    assert resolved["networks"]["backends"]["internal"] is True
    for service in ours.values():
        assert "ports" not in service, "never published"
        assert service["networks"].keys() == {"backends"}, "no way out, and none to the databases"
        assert service["cap_drop"] == ["ALL"]
        assert all(volume["read_only"] for volume in service["volumes"])
        assert service["healthcheck"]["test"]
    others = {name for name, s in resolved["services"].items() if "backends" in (s.get("networks") or {})} - ours.keys()
    assert others == {"litellm-1", "litellm-2", "gateway-1"}
    for name in others:
        assert resolved["services"][name]["networks"].keys() > {"backends", "app"}, "what it was on before, too"


@pytest.mark.docker
def test_compose_accepts_them_beside_the_basic_set_up(tmp_path: Path) -> None:
    site = site_with(tmp_path / "home", RUN)
    loaded = configuration.load(site)
    write(site.rendered_dir, [*setup.rendered_backends(site, loaded.gateway), setup._environment()])
    names = (*setup.IMAGES, *ON_DEMAND)
    values = {"TOLLGATE_RENDERED": str(site.rendered_dir), "GATEWAY_PORT": "0", "LITELLM_CONFIG_HASH": "0"}
    values |= dict.fromkeys(names, "example.invalid/image:1") | {"COMPOSE_PROFILES": "backends"}
    (site.rendered_dir / "basic.env").write_text("".join(f"{k}='{v}'\n" for k, v in values.items()))
    services = config(Compose.basic(site, "tollgate-test"))["services"]
    assert services.keys() == {"litellm", "provider", *(f"backend-{name}" for name in RUN)}
    assert services["litellm"]["networks"].keys() == {"default", "backends"}, "it must still reach its provider"


def test_a_gpu_is_reserved_where_one_is_wanted_and_nowhere_else(tmp_path: Path) -> None:
    _, files = rendered(tmp_path / "home", RUN)
    services = yaml.safe_load(text_of(files, "compose/backends.yaml"))["services"]
    counts = {
        name.removeprefix("backend-"): service["deploy"]["resources"]["reservations"]["devices"][0]["count"]
        for name, service in services.items()
        if "deploy" in service
    }
    assert counts == {"vllm": 2, "cuda": "all", "trtllm": "all", "sglang": "all"}


def test_a_dollar_sign_in_a_path_stays_one(tmp_path: Path) -> None:
    site = site_with(tmp_path / "home", {"odd": '{engine: vllm, run: true, model: "/srv/mo$dels/{x}: y"}'})
    [file] = render_backends(site.root, site.home, configuration.load(site).gateway.backends, [])
    [volume] = yaml.safe_load(file.text)["services"]["backend-odd"]["volumes"]
    assert volume["source"] == "/srv/mo$$dels/{x}: y"


def documented() -> list[list[str]]:
    """The rows of every table of the page."""
    text = (Site.here().root / "docs" / "local-backends.md").read_text()
    return [
        [cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("| ")
    ]


def test_the_documentation_has_every_key_and_every_option() -> None:
    first = {row[0].strip("`") for row in documented()}
    keys = {"run: true" if name == "run" else name for name in Backend.model_fields}
    assert keys <= first
    options = {parameter.opts[0] for parameter in typer.main.get_command(app).commands["serve-local"].params}  # type: ignore[attr-defined]
    assert options <= first | {"--help"}
    assert "--backend" in options


def test_the_table_in_the_documentation_is_the_one_in_the_code() -> None:
    rows = documented()
    shown = {
        row[0]: row[1:5] for row in rows if row[0] in {engine.title for engine in ENGINES.values()} and len(row) == 6
    }
    known = {e.title: [e.features[feature].word for feature in FEATURES] for e in ENGINES.values()}
    assert shown == known


def test_every_engine_is_rendered_here(tmp_path: Path) -> None:
    site = site_with(tmp_path / "home", RUN)
    assert {b.engine for b in run_here(configuration.load(site).gateway.backends).values()} == ENGINES.keys()
