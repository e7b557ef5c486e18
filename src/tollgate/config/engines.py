"""The engines a local backend may be: how LiteLLM speaks to each, what each can do, which options each takes.

`Support` is what each engine's own documentation promises; a model must be able to do it too. docs/local-backends.md
shows the same table, and a test holds the two together.
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
    """`option` is the setting of a backend without which an engine that we run cannot do it; `never` says that our
    way of running it cannot at all, and why."""

    word: Literal["yes", "partial", "limited"]
    option: str = ""
    why: str = ""
    never: str = ""


@dataclass(frozen=True)
class Engine:
    """`prefix` is LiteLLM's provider, `path` what follows the address; `options` are those of `run: true` it takes."""

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
    return Support(word, "tool_parser", "it must know in which form its model writes a call")


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
                "vision": Support("yes", "mmproj", "its eyes are a projector file of their own"),
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
                "vision": Support("limited", never="it needs a configuration file made for its model"),
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
# llama.cpp's and Ollama's own builds run without a GPU; with `gpus` llama.cpp is another image.
CUDA_IMAGE = {"llama.cpp": "LLAMA_CPP_CUDA_IMAGE"}
