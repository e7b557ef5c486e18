"""What a local backend that we run needs of this machine: its model, a GPU where it wants one, its image."""

from __future__ import annotations

import stat
from collections.abc import Mapping
from pathlib import Path

from tollgate.config.backends import Backend
from tollgate.config.env import Settings
from tollgate.errors import StepError, TollgateError
from tollgate.render.backends import run_here
from tollgate.site import Site
from tollgate.stack.commands import ask
from tollgate.stack.images import resolve
from tollgate.stack.progress import Progress

MAGIC = b"GGUF"


def provide(site: Site, settings: Settings, backends: Mapping[str, Backend], progress: Progress) -> dict[str, str]:
    """Check what can be checked, then make the images available; return them by their variables.

    Quick checks come first: an image of ten gigabytes is not pulled for a model that is not there.
    """
    chosen = run_here(backends)
    for name, backend in chosen.items():
        check_model(site.home, name, backend)
    if any(backend.wants_gpu for backend in chosen.values()) and not gpu_here():
        name, backend = next((name, b) for name, b in chosen.items() if b.wants_gpu)
        raise TollgateError(
            f"backends.{name}: {backend.kind.title} needs an NVIDIA GPU, and Docker here has none to give",
            "install NVIDIA's driver and container toolkit; or run it on a machine that has one and give its url",
        )
    wanted = {backend.image: name for name, backend in chosen.items()}
    if not wanted:
        return {}
    mirror = settings.debian_mirror or ""
    found = resolve(
        settings.image_source, site, progress, ca_bundle=settings.ca_bundle, mirror=mirror, only=set(wanted)
    )
    for variable, reason in found.unavailable.items():
        name = wanted[variable]
        raise StepError(
            "images",
            f"backends.{name}: the image of {chosen[name].kind.title} cannot be had here: {reason}",
            "run the engine elsewhere and give its url; llama.cpp without gpus is built here without a registry",
        )
    return dict(found.images)


def gpu_here() -> bool:
    """Whether Docker can hand an NVIDIA GPU to a container."""
    runtimes = ask("docker", "info", "--format", "{{json .Runtimes}}") or ""
    return '"nvidia"' in runtimes or Path("/dev/nvidiactl").exists()


def check_model(home: Path, name: str, backend: Backend) -> None:
    """TollgateError saying what is wrong with the files of a backend that we run."""
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
        raise _problem(
            name, f"{path} has no config.json", "a model directory as Hugging Face's tools save it is wanted"
        )
    _readable(path, name)
    for file in sorted(path.iterdir()):
        if file.is_symlink() and not file.resolve().is_relative_to(path.resolve()):
            hint = "only this directory is handed to the engine; `hf download --local-dir` makes one without links"
            raise _problem(name, f"{file} is a link to another directory", hint)
        if file.is_file():
            _readable(file, name)


def check_gguf(file: Path, name: str) -> None:
    if not file.is_file():
        raise _problem(name, f"no file {file}", "give the path of a .gguf file on this machine")
    if file.is_symlink() and file.resolve().parent != file.parent.resolve():
        raise _problem(name, f"{file} is a link to another directory", f"name the file itself: {file.resolve()}")
    _readable(file, name)
    _readable(file.parent, name)
    try:
        with file.open("rb") as stream:
            magic = stream.read(len(MAGIC))
    except PermissionError:
        raise _problem(name, f"{file} cannot be read", f"chmod a+r {file}") from None
    if magic != MAGIC:
        raise _problem(
            name, f"{file} is not a GGUF file", "llama.cpp reads GGUF only; its convert_hf_to_gguf.py makes one"
        )


def _readable(path: Path, name: str) -> None:
    """Containers run without the right to read what its owner keeps to himself, root's included."""
    needed = stat.S_IROTH | (stat.S_IXOTH if path.is_dir() else 0)
    if path.stat().st_mode & needed != needed:
        raise _problem(name, f"{path} is for its owner only", f"chmod {'a+rx' if path.is_dir() else 'a+r'} {path}")


def _problem(name: str, message: str, hint: str) -> TollgateError:
    return TollgateError(f"backends.{name}: {message}", hint)
