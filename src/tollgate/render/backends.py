"""compose/backends.yaml: one service for each local backend with `run: true`, and the network of its clients.

What each flag is for stands in the engine's documentation; docs/local-backends.md says which of ours sets which.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path, PurePosixPath

from tollgate.config.gateway.backend import Backend, service
from tollgate.render.output import Rendered, fill

# The path of the model in the container: one directory, mounted read-only.
MODELS, PROJECTOR = "/models", "/mmproj"
FILE = PurePosixPath("compose/backends.yaml")


def run_here(backends: Mapping[str, Backend]) -> dict[str, Backend]:
    return {name: backend for name, backend in backends.items() if backend.run}


def render_backends(
    root: Path,
    home: Path,
    backends: Mapping[str, Backend],
    clients: Iterable[str],
    networks: Iterable[str] = (),
    path: PurePosixPath = FILE,
) -> list[Rendered]:
    """Nothing if no backend runs here. `clients` are the services that may reach them. `networks` are the networks of
    each client, which must be repeated; `default` if the client's own file names none.

    Relative paths in the configuration are below `home`.
    """
    chosen = run_here(backends)
    if not chosen:
        return []
    text = fill(
        root / "compose" / "backends.yaml.j2",
        services=[_service(home, name, backend) for name, backend in chosen.items()],
        clients=[(client, json.dumps([*networks, "backends"])) for client in clients],
    )
    return [Rendered(path, text)]


def _service(home: Path, name: str, backend: Backend) -> dict[str, object]:
    """The values of one service, each already written as YAML."""
    return {
        "name": service(name),
        "profile": service(name),
        "title": backend.kind.title,
        "engine": backend.engine,
        "image": f"${{{backend.image}:?run make deploy}}",
        "own_user": not backend.kind.gpu,
        "shared_memory": backend.kind.gpu,
        "entrypoint": _yaml(ENTRYPOINTS.get(backend.engine, [])),
        "command": _yaml([*COMMANDS[backend.engine](backend), *backend.arguments]),
        "environment": [(key, _yaml(value)) for key, value in sorted(_environment(backend).items())],
        "mounts": [(_yaml(str(source)), place) for source, place in mounts(home, backend)],
        "memory": f"{backend.memory_gb}g" if backend.memory_gb else "",
        "gpus": _gpus(backend),
        "health": _yaml(_health(backend)),
    }


def mounts(home: Path, backend: Backend) -> list[tuple[Path, str]]:
    """(directory here, path in the container). For a file, its directory, because engines read files beside it."""
    model = home / (backend.models or backend.model)
    pairs = [(model.parent if backend.kind.model == "file" else model, MODELS)]
    if backend.mmproj:
        pairs.append(((home / backend.mmproj).parent, PROJECTOR))
    return pairs


def _vllm(backend: Backend) -> list[str]:
    words = [MODELS, "--host", "0.0.0.0", "--port", "8000", "--served-model-name", backend.alias]  # noqa: S104
    if backend.tool_parser:
        words += ["--enable-auto-tool-choice", "--tool-call-parser", backend.tool_parser]
    words += _given("--max-model-len", backend.context_tokens)
    words += _given("--gpu-memory-utilization", backend.gpu_memory)
    return words + _given("--tensor-parallel-size", _count(backend))


def _sglang(backend: Backend) -> list[str]:
    words = ["--model-path", MODELS, "--host", "0.0.0.0", "--port", "30000"]  # noqa: S104
    words += ["--served-model-name", backend.alias]
    words += _given("--tool-call-parser", backend.tool_parser)
    words += _given("--context-length", backend.context_tokens)
    words += _given("--mem-fraction-static", backend.gpu_memory)
    return words + _given("--tp-size", _count(backend))


def _trtllm(backend: Backend) -> list[str]:
    words = [MODELS, "--host", "0.0.0.0", "--port", "8000"]  # noqa: S104
    words += _given("--tool_parser", backend.tool_parser)
    words += _given("--max_seq_len", backend.context_tokens)
    words += _given("--kv_cache_free_gpu_memory_fraction", backend.gpu_memory)
    return words + _given("--tp_size", _count(backend))


def _llama_cpp(backend: Backend) -> list[str]:
    words = ["--model", f"{MODELS}/{PurePosixPath(backend.model).name}", "--alias", backend.alias]
    words += ["--host", "0.0.0.0", "--port", "8080", "--jinja", "--no-webui"]  # noqa: S104
    words += _given("--ctx-size", backend.context_tokens)
    if backend.mmproj:
        words += ["--mmproj", f"{PROJECTOR}/{PurePosixPath(backend.mmproj).name}"]
    if backend.gpus:
        words += ["--n-gpu-layers", "999"]
    return words


def _ollama(_: Backend) -> list[str]:
    return ["serve"]


ENTRYPOINTS = {
    # The entrypoint is named because vLLM's image changed it between releases, and the other two have a shell.
    "vllm": ["vllm", "serve"],
    "sglang": ["python3", "-m", "sglang.launch_server"],
    "trtllm": ["trtllm-serve"],
}
COMMANDS: Mapping[str, Callable[[Backend], list[str]]] = {
    "vllm": _vllm,
    "sglang": _sglang,
    "trtllm": _trtllm,
    "llama.cpp": _llama_cpp,
    "ollama": _ollama,
}


def _environment(backend: Backend) -> dict[str, str]:
    values = {"TZ": "UTC"}
    if backend.engine == "ollama":
        # The store is read-only, so Ollama must not pull or prune.
        values |= {"HOME": "/tmp", "OLLAMA_HOST": "0.0.0.0:11434", "OLLAMA_MODELS": MODELS, "OLLAMA_NOPRUNE": "1"}  # noqa: S108
        if backend.context_tokens:
            values["OLLAMA_CONTEXT_LENGTH"] = str(backend.context_tokens)
    elif backend.kind.gpu:
        # The network has no route to the internet. Without these settings the engine would wait for one.
        values |= {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1"}
    return values


def _health(backend: Backend) -> list[str]:
    url = f"http://127.0.0.1:{backend.kind.port}/health"
    if backend.engine == "ollama":
        return ["CMD", "ollama", "list"]
    if backend.engine == "llama.cpp":
        return ["CMD", "curl", "-fsS", "-o", "/dev/null", url]
    return ["CMD", "python3", "-c", f"import urllib.request as r; r.urlopen('{url}', timeout=8).read()"]


def _gpus(backend: Backend) -> str:
    """The `count` of the GPU reservation, or ""."""
    if not backend.wants_gpu:
        return ""
    return str(backend.gpus or "all")


def _count(backend: Backend) -> int | None:
    """The number of GPUs for one copy of the model. With `all` the engine counts them."""
    return backend.gpus if isinstance(backend.gpus, int) and backend.gpus > 1 else None


def _given(flag: str, value: object) -> list[str]:
    return [] if value is None else [flag, str(value)]


def _yaml(value: object) -> str:
    """The value as JSON, which is YAML. A dollar sign is doubled, because Compose would take it for a variable."""
    return json.dumps(value, ensure_ascii=True).replace("$", "$$")
