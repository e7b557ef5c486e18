"""Runs the commands of README and docs, exactly as they are written, against the stack."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.claude_code import binary
from tests.support.client_package import bare_python
from tests.support.docs import Block, blocks, pages
from tests.support.stack import ROOT, Stack

RUN = [block for page in pages() for block in blocks(page) if block.runs]


@pytest.fixture(scope="module")
def path(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> str:
    """`claude` and `tollgate` as a reader has them, the latter for this deployment."""
    programs = tmp_path_factory.mktemp("bin")
    (programs / "claude").symlink_to(binary())
    tollgate = programs / "tollgate"
    tollgate.write_text(f'#!/bin/sh\nexec {sys.executable} -m tollgate --home {stack.home} "$@"\n')
    tollgate.chmod(0o755)
    return f"{programs}:{Path(sys.executable).parent}:{os.environ['PATH']}"


@pytest.mark.parametrize("block", RUN, ids=str)
def test_it_does_what_it_says(stack: Stack, path: str, tmp_path: Path, block: Block) -> None:
    text = block.text
    for shown, real in {4000: stack.url, 4001: stack.admin_url, 9090: stack.prometheus_url}.items():
        text = text.replace(f"http://localhost:{shown}", real)
    command = ["bash", "-euo", "pipefail", "-c", text]
    if block.language == "python":
        # Programs with the client package run where only that package is installed.
        python = str(bare_python()) if "tollgate_client" in text else sys.executable
        command = [python, "-c", text]
    environment = {"PATH": path, "HOME": str(tmp_path), "TERM": "dumb"}
    done = subprocess.run(
        command,
        cwd=stack.home,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, f"{block}\n{done.stdout}\n{done.stderr}"
    assert block.words in done.stdout, f"{block}\n{done.stdout}\n{done.stderr}"


def test_the_readme_is_among_them() -> None:
    assert ROOT / "README.md" in {block.file for block in RUN}
