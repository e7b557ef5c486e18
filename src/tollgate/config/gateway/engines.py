"""The engines of local backends: how LiteLLM calls each one, what each one can do, and which options it takes.

`Support` repeats what the engine's own documentation promises; the model must be able to do it too. A test compares
this table with docs/local-backends.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

EngineName = Literal["vllm", "llama.cpp", "trtllm", "sglang", "ollama"]
Feature = Literal["chat", "streaming", "tools", "vision"]
FEATURES: tuple[Feature, ...] = ("chat", "streaming", "tools", "vision")


@dataclass(frozen=True)
class Support:
    """`option` is the setting that an engine needs for this feature when we run it. `never` is the reason why it
    does not work at all the way we run it."""

    word: Literal["yes", "partial", "limited"]
    option: str = ""
    why: str = ""
    never: str = ""


@dataclass(frozen=True)
class Engine:
    """`prefix` is LiteLLM's provider, `path` is appended to the address, `options` are allowed with `run: true`."""

    name: EngineName
    title: str
    prefix: str
    port: int
    path: str
    image: str
    gpu: bool
    model: Literal["file", "directory", "name"]
    options: frozenset[str]
    features: Mapping[Feature, Support]


_YES = Support("yes")


def _parser(word: Literal["yes", "limited"]) -> Support:
    return Support(word, "tool_parser", "the engine must know the form of the model's tool calls")


_GPU_OPTIONS = frozenset({"tool_parser", "gpus", "gpu_memory"})
ENGINES: Mapping[EngineName, Engine] = {
    engine.name: engine
    for engine in (
        Engine(
            name="vllm",
            title="vLLM",
            prefix="hosted_vllm",
            port=8000,
            path="/v1",
            image="VLLM_IMAGE",
            gpu=True,
            model="directory",
            options=_GPU_OPTIONS,
            features={"chat": _YES, "streaming": _YES, "tools": _parser("yes"), "vision": _YES},
        ),
        Engine(
            name="llama.cpp",
            title="llama.cpp",
            prefix="hosted_vllm",
            port=8080,
            path="/v1",
            image="LLAMA_CPP_IMAGE",
            gpu=False,
            model="file",
            options=frozenset({"mmproj", "gpus"}),
            features={
                "chat": _YES,
                "streaming": _YES,
                "tools": Support("partial"),
                "vision": Support("yes", "mmproj", "vision needs a separate projector file"),
            },
        ),
        Engine(
            name="trtllm",
            title="TensorRT-LLM",
            prefix="hosted_vllm",
            port=8000,
            path="/v1",
            image="TRTLLM_IMAGE",
            gpu=True,
            model="directory",
            options=_GPU_OPTIONS,
            features={
                "chat": _YES,
                "streaming": _YES,
                "tools": _parser("limited"),
                "vision": Support("limited", never="it needs a configuration file for its model"),
            },
        ),
        Engine(
            name="sglang",
            title="SGLang",
            prefix="hosted_vllm",
            port=30000,
            path="/v1",
            image="SGLANG_IMAGE",
            gpu=True,
            model="directory",
            options=_GPU_OPTIONS,
            features={"chat": _YES, "streaming": _YES, "tools": _parser("yes"), "vision": _YES},
        ),
        Engine(
            name="ollama",
            title="Ollama",
            prefix="ollama_chat",
            port=11434,
            path="",
            image="OLLAMA_IMAGE",
            gpu=False,
            model="name",
            options=frozenset({"models", "gpus"}),
            features={"chat": _YES, "streaming": _YES, "tools": Support("partial"), "vision": Support("partial")},
        ),
    )
}
# llama.cpp and Ollama run without a GPU. With `gpus`, llama.cpp needs another image.
CUDA_IMAGE = {"llama.cpp": "LLAMA_CPP_CUDA_IMAGE"}
IMAGES = frozenset({engine.image for engine in ENGINES.values()} | set(CUDA_IMAGE.values()))
