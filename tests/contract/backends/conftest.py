"""Two gateways: one that `tollgate serve-local` runs in front of a real llama.cpp, one in front of recorded engines."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anthropic
import httpx
import openai
import pytest
from testcontainers.core.container import DockerContainer
from testcontainers.core.network import Network

from tests.support import plain, tiny_gguf
from tests.support.engine import on_loopback
from tests.support.eventually import eventually
from tests.support.group_end import until_the_group_ends
from tests.support.images import image
from tests.support.site import new_home
from tests.support.stack import BACKENDS, project_name
from tollgate.site import Site
from tollgate.stack.containers.compose import Compose
from tollgate.stack.secrets import store as secrets

PROJECT = project_name(BACKENDS)
RECORDED = Path(__file__).with_name("recorded.py")
ENGINES = {
    "vllm": "{engine: vllm, url: 'http://vllm:8000', model: /models/GLM-FP8, alias: on-vllm, needs: [tools, vision]}",
    "sglang": "{engine: sglang, url: 'http://sglang:8000/v1', model: qwen3, alias: on-sglang}",
    "trtllm": "{engine: trtllm, url: 'http://trtllm:8000', model: /models/Qwen3-8B, alias: on-trtllm}",
    "ollama": "{engine: ollama, url: 'http://ollama:8000', model: 'qwen3:8b', alias: on-ollama}",
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "contract/backends" in str(item.path):
            item.add_marker(pytest.mark.docker)


@dataclass
class Gateway:
    """The address and the key of a client."""

    url: str
    key: str = field(repr=False)

    def __post_init__(self) -> None:
        self.claude = anthropic.Anthropic(base_url=self.url, api_key=self.key, max_retries=0, timeout=120)
        self.gpt = openai.OpenAI(base_url=f"{self.url}/v1", api_key=self.key, max_retries=0, timeout=120)

    def close(self) -> None:
        self.claude.close()
        self.gpt.close()

    def post(self, path: str, body: dict[str, Any]) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self.key}", "anthropic-version": "2023-06-01"}
        return plain.post(self.url + path, json=body, headers=headers, timeout=120, trust_env=False)


@dataclass
class Recorded:
    """The recorded engines behind a gateway; `asked` is what they were sent since the test began."""

    gateway: Gateway
    address: str

    def asked(self, engine: str, path: str = "") -> list[dict[str, Any]]:
        found = plain.get(f"{self.address}/_asked", timeout=30, trust_env=False).json()
        return [one["body"] for one in found if one["engine"] == engine and path in one["path"]]

    def forget(self) -> None:
        plain.delete(f"{self.address}/_asked", timeout=30, trust_env=False)


def tollgate(site: Site, *words: str) -> list[str]:
    return [sys.executable, "-m", "tollgate", "--home", str(site.home), *words]


def left_of(project: str) -> str:
    label = f"--filter=label=com.docker.compose.project={project}"
    kinds = (["ps", "--all"], ["network", "ls"], ["volume", "ls"])
    argvs = [["docker", *kind, "--quiet", label] for kind in kinds]
    return "".join(subprocess.run(argv, capture_output=True, text=True, check=True).stdout for argv in argvs)


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model in a directory that a container may read."""
    directory = tmp_path_factory.mktemp("models")
    directory.chmod(0o755)
    file = tiny_gguf.write(directory / "tiny.gguf")
    file.chmod(0o644)
    return file


@dataclass
class Served:
    """`tollgate serve-local` as it runs."""

    gateway: Gateway
    process: subprocess.Popen[str]
    printed: Path
    site: Site

    @property
    def compose(self) -> Compose:
        return Compose.basic(self.site, f"{PROJECT}-local")


@pytest.fixture(scope="session")
def served(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with until_the_group_ends(_served(model, tmp_path_factory.mktemp("serve-local") / "home")) as served:
        yield served


@contextmanager
def _served(model: Path, home: Path) -> Iterator[Served]:
    site = new_home(home, project=PROJECT)
    printed = site.home / "printed"
    words = ("--backend", "llama.cpp", "--model", str(model), "--port", "0", "--ctx", "32768")
    with printed.open("w") as stream:
        process = subprocess.Popen(
            tollgate(site, "serve-local", *words), stdout=stream, stderr=subprocess.STDOUT, text=True
        )
    local = Site(root=site.root, home=site.home / "var" / "serve-local")
    try:
        eventually(lambda: ended(process) or "Ctrl-C stops both" in printed.read_text(), within=300, every=0.5)
        assert process.poll() is None, printed.read_text()
        host, port = Compose.basic(local, f"{PROJECT}-local").address("litellm", 4000)
        gateway = Gateway(f"http://{host}:{port}", secrets.read(local, secrets.BASIC_KEY).reveal())
        yield Served(gateway, process, printed, local)
        gateway.close()
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        code = process.wait(timeout=120)
    assert code == 0, printed.read_text()
    assert left_of(f"{PROJECT}-local-basic") == "", "serve-local left something behind"


def ended(process: subprocess.Popen[str]) -> bool:
    return process.poll() is not None


@pytest.fixture(scope="session")
def _recorded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Recorded]:
    with until_the_group_ends(_recording(tmp_path_factory.mktemp("recorded") / "home")) as recorded:
        yield recorded


@contextmanager
def _recording(home: Path) -> Iterator[Recorded]:
    os.environ["TESTCONTAINERS_RYUK_DISABLED"] = "true"  # its image is only in a registry
    site = new_home(home, project=PROJECT)
    listed = "".join(f"  {name}: {backend}\n" for name, backend in ENGINES.items())
    site.gateway_file.write_text(site.gateway_file.read_text() + "\nbackends:\n" + listed)
    with Network() as network:
        server = on_loopback(DockerContainer(image("TOLLGATE_IMAGE")), 8000)
        server.with_volume_mapping(str(RECORDED), "/recorded.py", "ro").with_command(["python", "/recorded.py"])
        with server.with_network(network).with_network_aliases(*ENGINES):
            try:
                done = subprocess.run(tollgate(site, "basic"), capture_output=True, text=True, timeout=600, check=False)
                assert done.returncode == 0, done.stdout + done.stderr
                compose = Compose.basic(site, PROJECT)
                litellm = next(row.id for row in compose.containers() if row.service == "litellm")
                subprocess.run(["docker", "network", "connect", str(network.name), litellm], check=True)
                host, port = compose.address("litellm", 4000)
                gateway = Gateway(f"http://{host}:{port}", secrets.read(site, secrets.BASIC_KEY).reveal())
                yield Recorded(gateway, f"http://127.0.0.1:{server.get_exposed_port(8000)}")
                gateway.close()
            finally:
                down = Compose.basic(site, PROJECT).argv("down", "--volumes", "--timeout", "5")
                subprocess.run(down, capture_output=True, timeout=120, check=False)


@pytest.fixture
def recorded(_recorded: Recorded) -> Recorded:
    _recorded.forget()
    return _recorded
