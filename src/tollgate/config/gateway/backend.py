"""`backends:` of config/gateway.yaml: your own model servers, here or elsewhere, as models of the gateway."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from tollgate.config.endpoint import Endpoint
from tollgate.config.gateway.engines import CUDA_IMAGE, ENGINES, Engine, EngineName, Feature
from tollgate.config.gateway.fields import key_reference, model_name
from tollgate.config.gateway.model import PriceOrWord
from tollgate.config.validate import Input
from tollgate.config.yaml.document import Document
from tollgate.errors import Mistake, Problem

DEFAULT_ALIAS = "local-model"
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")
# Settings of an engine that we start. For a server that runs elsewhere, they are set there.
EVERY_ENGINE = ("memory_gb", "arguments")
RUN_ONLY = ("mmproj", "models", "tool_parser", "gpus", "gpu_memory", *EVERY_ENGINE)


def _backend_name(value: str) -> str:
    if not _NAME.fullmatch(value):
        raise Mistake(f"not a name for a backend: {value[:60]!r}", "lower-case letters, digits and -, at most 40")
    return value


def _path(value: str) -> str:
    if value.startswith("~") or any(ord(character) < 32 for character in value):
        raise Mistake(f"expected a path, found {value[:60]!r}", "~ is not expanded: write the directory's full path")
    return value


BackendName = Annotated[str, AfterValidator(_backend_name)]
HostPath = Annotated[str, Field(min_length=1, max_length=1000), AfterValidator(_path)]


class Backend(Input):
    """One model server: `url` if it runs already, `run: true` if the deployment starts it."""

    engine: EngineName
    model: Annotated[str, Field(min_length=1, max_length=500)] = Field(
        description="with run: the directory or .gguf file on this machine; with url: the name that the server uses"
    )
    url: Endpoint | None = Field(default=None, description="the server's address, as in http://gpu-1:8000")
    run: bool = Field(default=False, description="true: the stack starts it, and only the replicas can reach it")
    alias: Annotated[str, AfterValidator(model_name)] = Field(
        default=DEFAULT_ALIAS, description="the model's name for clients and tenant files"
    )
    api_key: Annotated[str, AfterValidator(key_reference)] = Field(
        default="none", description="with url: env:NAME_API_KEY for a key in .env, if the server asks for one"
    )
    needs: Annotated[tuple[Feature, ...], Field(strict=False)] = Field(
        default=(), description="tools, vision: the file is refused if the engine cannot do it"
    )
    price: PriceOrWord = Field(default="free", description="free, or a price as for any model")
    context_tokens: int | None = Field(default=None, ge=256, description="the context window")
    max_output_tokens: int | None = Field(default=None, ge=1)
    mmproj: HostPath | None = Field(default=None, description="llama.cpp: the projector file of a vision model")
    models: HostPath | None = Field(default=None, description="Ollama: the directory that stores its models")
    tool_parser: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,60}$")] | None = Field(
        default=None, description="vLLM, SGLang, TensorRT-LLM: the parser for the model's tool calls"
    )
    gpus: Annotated[int, Field(ge=1, le=64)] | Literal["all"] | None = Field(
        default=None, description="how many GPUs to reserve, or all"
    )
    gpu_memory: Annotated[float, Field(gt=0, le=1)] | None = Field(
        default=None, description="the share of a GPU's memory that it may use"
    )
    memory_gb: int | None = Field(default=None, ge=1, le=4096, description="the most memory that it may use")
    arguments: Annotated[tuple[str, ...], Field(strict=False)] = Field(
        default=(), description="further arguments of the engine, from its own documentation"
    )

    @model_validator(mode="after")
    def _servers_own_name(self) -> Self:
        if self.url is not None and (not self.model.isascii() or " " in self.model):
            raise ValueError(f"model: expected the name that the server uses, found {self.model[:60]!r}")
        return self

    @property
    def somewhere(self) -> bool:
        """Whether exactly one of `url` and `run` is set."""
        return self.run != (self.url is not None)

    @property
    def kind(self) -> Engine:
        return ENGINES[self.engine]

    @property
    def image(self) -> str:
        """The variable in versions.env that names its image."""
        return CUDA_IMAGE.get(self.engine, self.kind.image) if self.gpus else self.kind.image

    @property
    def wants_gpu(self) -> bool:
        return self.kind.gpu or self.gpus is not None

    def can(self, feature: Feature) -> bool:
        """False if the engine certainly cannot do it, True otherwise."""
        support = self.kind.features[feature]
        if not self.run:
            return True
        return not support.never and (not support.option or getattr(self, support.option) is not None)

    def known(self, feature: Feature) -> bool | None:
        """Whether it can; None if it runs elsewhere and `needs` does not name the feature."""
        return self.can(feature) if self.run else (True if feature in self.needs else None)


def service(name: str) -> str:
    """The container and network name of a backend that we run."""
    return f"backend-{name}"


def target(name: str, backend: Backend) -> dict[str, Any]:
    """The backend as a target of gateway.yaml."""
    engine = backend.kind
    # An engine that we run serves its model under our alias. Ollama uses only its own names.
    model = backend.alias if backend.run and engine.model != "name" else backend.model
    base = f"http://{service(name)}:{engine.port}" if backend.run else (backend.url or "").removesuffix("/v1")
    return {
        "model": f"{engine.prefix}/{model}",
        "api_base": f"{base}{engine.path}",
        "api_key": backend.api_key,
        "price": backend.price,
    }


def problems(backends: Mapping[str, Backend], taken: Mapping[str, str], document: Document) -> Iterator[Problem]:
    """`taken` maps each name that is in use to the place that uses it."""
    names: dict[str, str] = dict(taken)
    for name, backend in backends.items():
        loc = ("backends", name)
        yield from _one(backend, document, loc)
        if backend.alias in names:
            hint = "give it an alias of its own; to spread one model over servers, list them as a model's targets"
            where = names[backend.alias]
            yield document.problem((*loc, "alias"), f"{backend.alias} is already the name of {where}", hint)
        names[backend.alias] = f"backend {name}"


def _one(backend: Backend, document: Document, loc: tuple[str | int, ...]) -> Iterator[Problem]:
    engine = backend.kind
    if not backend.somewhere:
        yield document.problem(
            loc,
            f"expected either url or run: true, found {'both' if backend.run else 'neither'}",
            "write url for a server that runs already",
        )
    for option in RUN_ONLY:
        if not getattr(backend, option):
            continue
        if not backend.run:
            yield document.problem((*loc, option), "only for run: true", "with url, set it at the server itself")
        elif option not in EVERY_ENGINE and option not in engine.options:
            takes = ", ".join(sorted(engine.options))
            yield document.problem((*loc, option), f"{engine.title} has no such option", f"it takes: {takes}")
    if backend.run:
        yield from _model(backend, document, (*loc, "model"))
        if backend.api_key != "none":
            yield document.problem(
                (*loc, "api_key"), "only for url", "remove it: only the replicas reach an engine that runs here"
            )
    for index, feature in enumerate(backend.needs):
        if not backend.can(feature):
            support = engine.features[feature]
            what = f"{engine.title} cannot do {feature} the way we run it: {support.never or support.why}"
            hint = "run it yourself and give its url" if support.never else f"set {support.option}"
            yield document.problem((*loc, "needs", index), what, hint)


def _model(backend: Backend, document: Document, loc: tuple[str | int, ...]) -> Iterator[Problem]:
    kind, gguf = backend.kind.model, PurePosixPath(backend.model).suffix.lower() == ".gguf"
    if kind == "file" and not gguf:
        yield document.problem(loc, f"expected a .gguf file, found {backend.model[:80]!r}", "llama.cpp reads GGUF only")
    if kind == "directory" and gguf:
        hint = "give the directory with config.json and the weights; engine: llama.cpp serves GGUF files"
        yield document.problem(loc, f"expected a directory, found {backend.model[:80]!r}", hint)
    if kind == "name" and backend.models is None:
        hint = "models: the directory Ollama stores its models in, such as /usr/share/ollama/.ollama/models"
        yield document.problem(loc[:-1], "models is missing", hint)
    if kind != "name" and backend.model.startswith("~"):
        yield document.problem(loc, f"expected a path, found {backend.model[:60]!r}", "~ is not expanded")
