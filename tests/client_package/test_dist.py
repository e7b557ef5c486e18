"""The wheel: the same bytes each time, what it holds and needs, and how little an import loads."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from tests.support.client_package import CLIENT, ROOT, build

COUNT = "import sys; before = set(sys.modules); import tollgate_client; print(*sorted(set(sys.modules) - before))"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("wheel"))


def copied(to: Path) -> Path:
    """The package elsewhere, with other times and another umask."""
    client = shutil.copytree(CLIENT, to / "client", copy_function=shutil.copyfile)
    for file in client.rglob("*"):
        os.utime(file, (1_000_000_000, 1_000_000_000))
        file.chmod(0o700 if file.is_dir() else 0o600)
    return client


def test_the_same_sources_give_the_same_bytes(wheel: Path, tmp_path: Path) -> None:
    again = build(tmp_path / "out", copied(tmp_path))
    assert again.read_bytes() == wheel.read_bytes()


def test_twin_another_source_gives_others(wheel: Path, tmp_path: Path) -> None:
    client = copied(tmp_path)
    (client / "src" / "tollgate_client" / "version.py").write_text('VERSION = "0.1.0"\n')
    assert build(tmp_path / "out", client).read_bytes() != wheel.read_bytes()


def test_it_holds_the_package_and_needs_two_others(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        [metadata] = [name for name in names if name.endswith("/METADATA")]
        needs = re.findall(r"^Requires-Dist: ([\w-]+)", archive.read(metadata).decode(), re.MULTILINE)
    assert sorted(needs) == ["httpx", "pydantic"]
    assert "tollgate_client/py.typed" in names and "tollgate_client/_sync/provider.py" in names
    assert any(name.endswith("licenses/LICENSE") for name in names)
    strange = [name for name in names if not name.startswith(("tollgate_client/", "tollgate_client-0.1.0.dist-info/"))]
    assert strange == []
    assert (CLIENT / "LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()


def test_an_import_alone_loads_neither_httpx_nor_pydantic() -> None:
    environment = {"PYTHONPATH": str(CLIENT / "src")}
    done = subprocess.run([sys.executable, "-c", COUNT], env=environment, capture_output=True, text=True, check=True)
    loaded = done.stdout.split()
    print(f"import tollgate_client loads {len(loaded)} modules")
    assert "tollgate_client.version" in loaded
    assert not {name.partition(".")[0] for name in loaded} & {"httpx", "pydantic", "anyio", "asyncio", "tollgate"}
    assert len(loaded) < 40


def import_ms(statement: str) -> float:
    """As Python itself measures it: the best of five, because other programs run too."""
    command = [sys.executable, "-X", "importtime", "-c", statement]
    environment = {"PYTHONPATH": str(CLIENT / "src")}
    best = float("inf")
    for _ in range(5):
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        rows = [row.split("|") for row in done.stderr.splitlines() if row.startswith("import time:")]
        # Only what is not below another import has its name after one space.
        best = min(best, sum(int(row[1]) for row in rows if re.fullmatch(r" tollgate_client(\..*)?", row[2])) / 1000)
    return best


def test_an_import_is_fast() -> None:
    taken = import_ms("import tollgate_client")
    print(f"import tollgate_client: {taken:.0f} ms")
    assert 0 < taken < 150


def test_twin_what_it_loads_later_takes_longer() -> None:
    assert import_ms("import tollgate_client._async.provider") > 2 * import_ms("import tollgate_client")


def test_no_module_imports_the_operators_package() -> None:
    files = sorted((CLIENT / "src").rglob("*.py"))
    assert len(files) > 30
    strange = [str(file) for file in files if re.search(r"^\s*(?:from|import) tollgate\b", file.read_text(), re.M)]
    assert strange == []


def test_every_name_of_the_package_can_be_imported() -> None:
    import tollgate_client

    for name in tollgate_client.__all__:
        assert getattr(tollgate_client, name)
        assert name in dir(tollgate_client)
    with pytest.raises(AttributeError):
        _ = tollgate_client.nonsense


def test_the_import_paths_that_programs_expect() -> None:
    from tollgate_client import LiteLLMProvider
    from tollgate_client.models import ChatMessage
    from tollgate_client.providers import LiteLLMProvider as OfPackage
    from tollgate_client.providers.litellm_provider import LiteLLMProvider as OfModule
    from tollgate_client.router import HeuristicRouter, Router

    assert OfPackage is OfModule is LiteLLMProvider and issubclass(HeuristicRouter, Router)
    assert ChatMessage(role="user", content="x").plain() == {"role": "user", "content": "x"}


def test_the_version_is_one() -> None:
    from tollgate_client import __version__

    project = tomllib.loads((CLIENT / "pyproject.toml").read_text())["project"]["version"]
    newest = re.findall(r"^## (\S+)", (CLIENT / "CHANGELOG.md").read_text(), re.MULTILINE)[0]
    assert project == newest == __version__
