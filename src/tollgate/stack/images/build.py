"""Builds one image on this machine: the base from Debian packages, the others from their Dockerfile with BuildKit."""

from __future__ import annotations

import io
import os
import re
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tollgate.errors import StepError
from tollgate.stack.host import packages
from tollgate.stack.host.commands import Command, as_root
from tollgate.stack.host.progress import Progress
from tollgate.stack.images import build_secrets
from tollgate.stack.images.recipes import BASE, Build

BASE_TOOLS = ("mmdebstrap", "debian-archive-keyring")
NOISE = re.compile(r"#\d+ (?:\d+\.\d+ )?")
"""BuildKit's plain output: `#7 [2/3] RUN ...` begins a step, `#7 1.234 text` is its output."""
FAILED = re.compile(r"ERROR: (?:failed to solve: )?(.*)")


@dataclass(frozen=True)
class Labelled:
    """A Progress that puts the image's name before each line of build output."""

    progress: Progress
    label: str

    def say(self, text: str) -> None:
        self.progress.say(f"{self.label}: {text}")

    def detail(self, text: str) -> None:
        if line := NOISE.sub("", text, count=1).strip():
            self.progress.detail(f"{self.label}: {line}")


def build(build: Build, progress: Progress, log: Path, *, ca_bundle: Path | None, mirror: str) -> str:
    """Build the image and return its tag. Raises StepError with the image, the reason and the name of the whole log."""
    log.parent.mkdir(parents=True, exist_ok=True)
    name = build.recipe.name
    labelled = Labelled(progress, name)
    if name == BASE:
        return _base(build, labelled, log, mirror)
    with build_secrets.secret_files(ca_bundle) as secrets, tempfile.TemporaryFile() as context:
        context.write(build.context)
        context.seek(0)
        argv = ["docker", "build", "--progress=plain", "--pull=false", "-f", "Dockerfile", "-t", build.tag]
        argv += ["--target", build.recipe.target] if build.recipe.target else []
        for key, value in build.arguments.items():
            argv += ["--build-arg", f"{key}={value}"]
        for variable in build_secrets.proxy_arguments(os.environ):
            argv += ["--build-arg", variable]
        for key, file in secrets.items():
            argv += ["--secret", f"id={key},src={file}"]
        # A builder in the plugin's own settings might not see our local images.
        environment = {"DOCKER_BUILDKIT": "1", "BUILDX_BUILDER": ""}
        hint = "behind a corporate proxy, see CA_BUNDLE and DEBIAN_MIRROR in images/README.md; then run this again"
        command = Command(f"build image {name}", (*argv, "-"), hint, environment)
        try:
            command.run(labelled, log, context)
        except StepError as error:
            raise _with_cause(error, log) from None
    return build.tag


def _with_cause(error: StepError, log: Path) -> StepError:
    """The same error, with BuildKit's own reason instead of an exit status."""
    reasons = [m[1] for line in log.read_text(encoding="utf-8").splitlines() if (m := FAILED.search(line))]
    cause = reasons[-1] if reasons else error.cause
    return StepError(error.step, cause, error.hint, [NOISE.sub("", line, count=1) for line in error.log])


def _base(build: Build, progress: Progress, log: Path, mirror: str) -> str:
    """Bootstrap a minimal Debian with mmdebstrap, and import it. Needs root. Installs mmdebstrap if it is missing."""
    if absent := packages.missing(BASE_TOOLS):
        progress.say(f"installing {' and '.join(absent)} for the build")
        packages.install(absent, progress)
    suite = build.arguments["DEBIAN_SUITE"]
    with tempfile.TemporaryDirectory(prefix="tollgate-base-") as name:
        script, tar = Path(name) / "build.sh", Path(name) / "base.tar"
        _unpack(build, Path(name))
        step, hint = "build image base", "set DEBIAN_MIRROR in .env to the address of a full Debian archive"
        argv = as_root("sh", str(script), suite, str(tar), *packages.debian_sources(suite, mirror))
        Command(step, argv, hint).run(progress, log)
        changes = ["--change", "ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8"]
        changes += ["--change", 'CMD ["sh"]']
        Command(step, ("docker", "import", *changes, str(tar), build.tag)).run(progress)
    return build.tag


def _unpack(build: Build, target: Path) -> None:
    """Write the context as files, so that exactly the hashed files are built."""
    with tarfile.open(fileobj=io.BytesIO(build.context)) as tar:
        # Debian 12's Python, 3.11.2, has no filters, so extractall gets no argument. We packed the archive ourselves.
        tar.extraction_filter = getattr(tarfile, "data_filter", lambda member, _: member)
        tar.extractall(target)  # noqa: S202
