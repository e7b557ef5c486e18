"""`make basic` as an operator runs it: one LiteLLM, one key, both APIs. `make down` leaves nothing."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests.support import logs, plain
from tests.support.site import new_home
from tests.support.stack import PARTS, project_name
from tollgate.site import Site
from tollgate.stack.containers.compose import Compose
from tollgate.stack.secrets import store as secrets

pytestmark = pytest.mark.docker

PROJECT = project_name(PARTS)
MESSAGE = {"model": "test-model", "max_tokens": 32, "messages": [{"role": "user", "content": "Say hello."}]}


def docker(*arguments: str) -> str:
    return subprocess.run(["docker", *arguments], capture_output=True, text=True, timeout=120, check=True).stdout


@dataclass
class Basic:
    """The running set-up. `printed` is the output of the first run."""

    site: Site
    printed: str

    @property
    def compose(self) -> Compose:
        return Compose.basic(self.site, PROJECT)

    @property
    def url(self) -> str:
        return "http://{}:{}".format(*self.compose.address("litellm", 4000))

    @property
    def key(self) -> str:
        return secrets.read(self.site, secrets.BASIC_KEY).reveal()

    def post(self, path: str, **headers: str) -> httpx.Response:
        return plain.post(self.url + path, json=MESSAGE, headers=headers, timeout=60, trust_env=False)


def run(site: Site, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tollgate", "--home", str(site.home), "basic", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=900, check=False)


def left() -> str:
    label = f"--filter=label=com.docker.compose.project={PROJECT}-basic"
    kinds = (["ps", "--all"], ["network", "ls"], ["volume", "ls"])
    return "".join(docker(*kind, "--quiet", label) for kind in kinds)


@pytest.fixture(scope="module")
def basic(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Basic]:
    site = new_home(tmp_path_factory.mktemp("basic") / "home", project=PROJECT)
    try:
        done = run(site)
        assert done.returncode == 0, done.stdout + done.stderr
        yield Basic(site, done.stdout)
    finally:
        down = run(site, "--down")
        remains = left()
        if remains:
            subprocess.run(Compose.basic(site, PROJECT).argv("down", "--volumes", "--timeout", "5"), check=False)
    assert down.returncode == 0, down.stderr
    assert remains == "", "basic --down left something behind"


def test_it_answers_on_the_anthropic_route(basic: Basic) -> None:
    answer = basic.post("/v1/messages", **{"x-api-key": basic.key, "anthropic-version": "2023-06-01"})
    assert answer.status_code == 200, answer.text
    assert answer.json()["content"][0]["text"]


def test_it_answers_on_the_openai_route(basic: Basic) -> None:
    answer = basic.post("/v1/chat/completions", authorization=f"Bearer {basic.key}")
    assert answer.status_code == 200, answer.text
    assert answer.json()["choices"][0]["message"]["content"]


@pytest.mark.parametrize("path", ["/v1/messages", "/v1/chat/completions"])
@pytest.mark.parametrize("key", ["", "sk-not-the-key", "sk-"])
def test_without_its_key_it_refuses(basic: Basic, path: str, key: str) -> None:
    headers = {"authorization": f"Bearer {key}"} if key else {}
    assert basic.post(path, **headers).status_code in (400, 401)


def test_it_listens_on_this_machine_only(basic: Basic) -> None:
    rows = json.loads(docker("inspect", *(row.id for row in basic.compose.containers())))
    bindings = [b for row in rows for found in (row["NetworkSettings"]["Ports"] or {}).values() for b in found or []]
    assert {binding["HostIp"] for binding in bindings} == {"127.0.0.1"}


def test_the_output_says_how_to_connect_and_hides_the_key(basic: Basic) -> None:
    port = basic.url.rpartition(":")[2]
    assert f"export ANTHROPIC_BASE_URL=http://localhost:{port}\n" in basic.printed
    [command] = re.findall(r'ANTHROPIC_AUTH_TOKEN="\$\((.+)\)"', basic.printed)
    assert subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True).stdout.strip() == basic.key
    assert basic.key not in basic.printed


def test_the_key_is_not_in_inspect_arguments_or_logs(basic: Basic) -> None:
    for row in basic.compose.containers():
        assert basic.key not in docker("inspect", row.id)
        assert basic.key not in docker("top", row.name, "-eo", "pid,args")
    assert basic.key not in "\n".join(logs.since(basic.compose, "1970-01-01T00:00:00Z"))


def test_a_second_run_changes_nothing(basic: Basic) -> None:
    def files() -> dict[Path, int]:
        paths = [*basic.site.rendered_dir.rglob("*"), *basic.site.secrets_dir.rglob("*")]
        return {path: path.stat().st_mtime_ns for path in paths if path.is_file()}

    before, written = basic.compose.running(), files()
    done = run(basic.site)
    assert done.returncode == 0, done.stderr
    assert basic.compose.running() == before
    assert files() == written


def test_twin_a_changed_key_is_a_change(basic: Basic) -> None:
    """The last test of this file, because it recreates LiteLLM, and only LiteLLM."""
    before, old = basic.compose.running(), basic.key
    (basic.site.secrets_dir / secrets.BASIC_KEY).unlink()
    done = run(basic.site)
    assert done.returncode == 0, done.stderr
    after = basic.compose.running()
    assert [name for name in before if before[name] != after[name]] == ["litellm"]
    assert basic.post("/v1/messages", authorization=f"Bearer {basic.key}").status_code == 200
    assert basic.post("/v1/messages", authorization=f"Bearer {old}").status_code in (400, 401)
