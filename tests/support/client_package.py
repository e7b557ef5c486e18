"""The wheel of tollgate-client, and a Python that has it and what it brings, and nothing else."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tollgate.site import Site

ROOT = Site.here().root
CLIENT = ROOT / "client"
LOCK = ROOT / "requirements-dev.lock"
KEPT = ROOT / "var" / "test-python-client"


def build(into: Path, client: Path = CLIENT, epoch: int = 1_700_000_000) -> Path:
    """The wheel, as scripts/dist.sh builds it."""
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(into)]
    environment = {**os.environ, "SOURCE_DATE_EPOCH": str(epoch)}
    subprocess.run(command, cwd=client, env=environment, check=True, capture_output=True, timeout=120)
    [wheel] = into.glob("*.whl")
    return wheel


def bare_python() -> Path:
    """A Python in whose environment only the wheel was installed. It is kept until the package or the lock changes.

    pip resolves what the wheel needs; the versions are those of our lock.
    """
    place = KEPT / _digest()
    python = place / "bin" / "python"
    if not (place / "complete").is_file():
        shutil.rmtree(KEPT, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(place)], check=True, timeout=120)
        with tempfile.TemporaryDirectory() as partial:
            versions = Path(partial) / "constraints.txt"
            versions.write_text("\n".join(re.findall(r"^[\w.\[\]-]+==\S+", LOCK.read_text(), re.MULTILINE)))
            options = ["-q", "--disable-pip-version-check", "--constraint", str(versions), str(build(Path(partial)))]
            command = [sys.executable, "-m", "pip", "--python", str(python), "install", *options]
            subprocess.run(command, check=True, timeout=600)
        (place / "complete").touch()
    return python


def _digest() -> str:
    files = [file for file in sorted(CLIENT.rglob("*")) if file.is_file() and "__pycache__" not in file.parts]
    digest = hashlib.sha256(LOCK.read_bytes())
    for file in files:
        digest.update(str(file.relative_to(CLIENT)).encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()[:12]
