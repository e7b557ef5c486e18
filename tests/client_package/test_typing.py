"""A program that is typed strictly can use the package: the checkers find nothing in the guide's programs."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.client_package import CLIENT, ROOT
from tests.support.docs import blocks

# Not that of the repository: its options differ, and each run would discard the other's.
CACHE = ROOT / ".mypy_cache" / "guide"
PYRIGHT = ROOT / "var" / "pyright" / "node_modules" / "pyright" / "index.js"
GUIDE = ROOT / "docs" / "guides" / "python.md"

WRONG = """
from tollgate_client import ChatMessage, Router
from tollgate_client.sync import LiteLLMProvider

provider = LiteLLMProvider(base_url=4000)
cost: str = provider.calculate_cost(1, 1, "m")
text: int = provider.chat_completion([ChatMessage(role="user")], "m").text
Router({"sync": provider})
"""


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    texts = [block.text for block in blocks(GUIDE) if block.language == "python"]
    assert len(texts) > 7
    for number, text in enumerate(texts):
        (tmp_path / f"program_{number}.py").write_text(text)
    return tmp_path


def mypy(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(CACHE), "."]
    environment = {"MYPYPATH": str(CLIENT / "src")}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_mypy_finds_nothing_in_the_guide(programs: Path) -> None:
    done = mypy(programs)
    assert done.returncode == 0, done.stdout


def test_twin_mypy_finds_what_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "wrong.py").write_text(WRONG)
    done = mypy(tmp_path)
    assert done.returncode == 1 and "Found 4 errors" in done.stdout, done.stdout


def pyright(folder: Path) -> subprocess.CompletedProcess[str]:
    if shutil.which("node") is None:
        pytest.skip("pyright needs Node.js")
    assert PYRIGHT.is_file(), "run `scripts/check.sh --tools`, which installs it"
    settings = {"typeCheckingMode": "strict", "extraPaths": [str(CLIENT / "src")], "pythonVersion": "3.11"}
    (folder / "pyrightconfig.json").write_text(json.dumps(settings))
    command = ["node", str(PYRIGHT), "--pythonpath", sys.executable, "--project", str(folder)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_pyright_finds_nothing_in_the_guide(programs: Path) -> None:
    done = pyright(programs)
    assert done.returncode == 0, done.stdout


def test_twin_pyright_finds_what_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "wrong.py").write_text(WRONG)
    done = pyright(tmp_path)
    assert done.returncode == 1 and "4 errors" in done.stdout, done.stdout
