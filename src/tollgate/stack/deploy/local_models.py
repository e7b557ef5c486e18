"""Checks what a local backend that we run needs on this machine: its model, its image, and perhaps a GPU."""

from __future__ import annotations

import stat
from collections.abc import Collection, Mapping
from pathlib import Path

from tollgate.config.gateway.backend import Backend, service
from tollgate.errors import StepError, TollgateError
from tollgate.render.backends import run_here
from tollgate.site import Site
from tollgate.stack.host.commands import ask
from tollgate.stack.images.resolve import ImageSet

MAGIC = b"GGUF"


def check(site: Site, backends: Mapping[str, Backend]) -> None:
    """Raise TollgateError for the first backend whose model or GPU is missing."""
    for problem in unfit(site, backends).values():
        raise problem


def unfit(site: Site, backends: Mapping[str, Backend]) -> dict[str, TollgateError]:
    """Each backend that this machine cannot run, with the reason: its model, or a GPU.

    A deploy asks this first, so that an image of ten gigabytes is not pulled for a missing model.
    """
    chosen, problems = run_here(backends), dict[str, TollgateError]()
    without_gpu = any(backend.wants_gpu for backend in chosen.values()) and not gpu_here()
    for name, backend in chosen.items():
        try:
            check_model(site.home, name, backend)
        except TollgateError as problem:
            problems[name] = problem
            continue
        if backend.wants_gpu and without_gpu:
            problems[name] = TollgateError(
                f"backends.{name}: {backend.kind.title} needs an NVIDIA GPU, and Docker found none on this machine",
                "install NVIDIA's driver and container toolkit; or run it on a machine with a GPU and set its url",
            )
    return problems


def images(backends: Mapping[str, Backend], unfit: Collection[str] = ()) -> frozenset[str]:
    """The variables of the images that the backends need, without those in `unfit`."""
    return frozenset(backend.image for name, backend in run_here(backends).items() if name not in unfit)


def able(backends: Mapping[str, Backend], provided: ImageSet) -> list[str]:
    """The services of the backends that this machine can run."""
    return [
        service(name)
        for name, backend in run_here(backends).items()
        if name not in provided.unfit and backend.image in provided.images
    ]


def unable(backends: Mapping[str, Backend], provided: ImageSet) -> dict[str, TollgateError]:
    """The other backends that the file wants here, by service, with the reason."""
    problems = {service(name): provided.unfit[name] for name in run_here(backends) if name in provided.unfit}
    for name, backend in run_here(backends).items():
        if backend.image in provided.unavailable and service(name) not in problems:
            problems[service(name)] = TollgateError(
                f"backends.{name}: the image of {backend.kind.title} is not available here: "
                f"{provided.unavailable[backend.image]}",
                "run the engine on another machine and set its url; only llama.cpp without gpus needs no registry",
            )
    return problems


def raise_if_missing(backends: Mapping[str, Backend], provided: ImageSet) -> None:
    """Raise StepError with the first backend whose image is not in `provided`."""
    for problem in unable(backends, provided).values():
        raise StepError("images", problem.message, problem.hint)


def gpu_here() -> bool:
    """Whether Docker can give an NVIDIA GPU to a container."""
    runtimes = ask("docker", "info", "--format", "{{json .Runtimes}}") or ""
    return '"nvidia"' in runtimes or Path("/dev/nvidiactl").exists()


def check_model(home: Path, name: str, backend: Backend) -> None:
    """Check the model files of a backend that we run. Raises TollgateError."""
    kind = backend.kind.model
    path = home / ((backend.models or "") if kind == "name" else backend.model)
    if kind == "file":
        check_gguf(path, name)
        if backend.mmproj:
            check_gguf(home / backend.mmproj, name)
        return
    if not path.is_dir():
        raise _problem(name, f"no directory {path}", "model: names a directory on this machine")
    if kind == "directory" and not (path / "config.json").is_file():
        raise _problem(name, f"{path} has no config.json", "give a model directory as Hugging Face's tools save it")
    _readable(path, name)
    for file in sorted(path.iterdir()):
        if file.is_symlink() and not file.resolve().is_relative_to(path.resolve()):
            hint = "the engine sees only this directory; `hf download --local-dir` makes one without links"
            raise _problem(name, f"{file} is a link to another directory", hint)
        if file.is_file():
            _readable(file, name)


def check_gguf(file: Path, name: str) -> None:
    if not file.is_file():
        raise _problem(name, f"no file {file}", "give the path of a .gguf file on this machine")
    if file.is_symlink() and file.resolve().parent != file.parent.resolve():
        raise _problem(
            name, f"{file} is a link to another directory", f"give the path of the file itself: {file.resolve()}"
        )
    _readable(file, name)
    _readable(file.parent, name)
    try:
        with file.open("rb") as stream:
            magic = stream.read(len(MAGIC))
    except PermissionError:
        raise _problem(name, f"{file} cannot be read", f"run chmod a+r {file}") from None
    if magic != MAGIC:
        raise _problem(
            name, f"{file} is not a GGUF file", "llama.cpp reads only GGUF; its convert_hf_to_gguf.py converts a model"
        )


def _readable(path: Path, name: str) -> None:
    """Raise TollgateError if others cannot read `path`. Containers run without the capability to read it then."""
    needed = stat.S_IROTH | (stat.S_IXOTH if path.is_dir() else 0)
    if path.stat().st_mode & needed != needed:
        hint = f"run chmod {'a+rx' if path.is_dir() else 'a+r'} {path}"
        raise _problem(name, f"only its owner can read {path}", hint)


def _problem(name: str, message: str, hint: str) -> TollgateError:
    return TollgateError(f"backends.{name}: {message}", hint)
