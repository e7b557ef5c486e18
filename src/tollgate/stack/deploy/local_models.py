"""Checks what a local backend that we run needs on this machine: its model, its image, and perhaps a GPU."""

from __future__ import annotations

import stat
from collections.abc import Mapping
from pathlib import Path

from tollgate.config.gateway.backend import Backend
from tollgate.errors import StepError, TollgateError
from tollgate.render.backends import run_here
from tollgate.site import Site
from tollgate.stack.host.commands import ask
from tollgate.stack.images.resolve import ImageSet

MAGIC = b"GGUF"


def check(site: Site, backends: Mapping[str, Backend]) -> None:
    """Check the models and the GPU. Raises TollgateError if something is missing.

    A deploy does this first, so that an image of ten gigabytes is not pulled for a missing model.
    """
    chosen = run_here(backends)
    for name, backend in chosen.items():
        check_model(site.home, name, backend)
    if any(backend.wants_gpu for backend in chosen.values()) and not gpu_here():
        name, backend = next((name, b) for name, b in chosen.items() if b.wants_gpu)
        raise TollgateError(
            f"backends.{name}: {backend.kind.title} needs an NVIDIA GPU, and Docker found none on this machine",
            "install NVIDIA's driver and container toolkit; or run it on a machine with a GPU and set its url",
        )


def images(backends: Mapping[str, Backend]) -> frozenset[str]:
    """The variables of the images that the backends need."""
    return frozenset(backend.image for backend in run_here(backends).values())


def raise_if_missing(backends: Mapping[str, Backend], provided: ImageSet) -> None:
    """Raise StepError with the backend whose image is not in `provided`."""
    for name, backend in run_here(backends).items():
        if backend.image in provided.unavailable:
            reason = provided.unavailable[backend.image]
            raise StepError(
                "images",
                f"backends.{name}: the image of {backend.kind.title} is not available here: {reason}",
                "run the engine on another machine and set its url; only llama.cpp without gpus needs no registry",
            )


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
