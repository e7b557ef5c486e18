"""The workflow on GitHub, which cannot run here: what it calls exists, and its requests notice a wrong answer."""

from __future__ import annotations

import json
import re
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest
import yaml

from tollgate.config.env import settings as env

ROOT = Path(__file__).resolve().parents[2]
WORKFLOW = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())
STEPS = [step for job in WORKFLOW["jobs"].values() for step in job["steps"]]
KEY = "sk-of-the-example-tenant"


def test_every_command_of_the_workflow_exists() -> None:
    makefile = (ROOT / "Makefile").read_text()
    commands = [step["run"] for step in STEPS if "run" in step and "\n" not in step["run"]]
    assert {"make test", "make deploy", "scripts/try-gateway.sh"} <= set(commands)
    for command in commands:
        if command.startswith("make "):
            assert re.search(rf"^{command.removeprefix('make ')}:", makefile, re.MULTILINE), command
        else:
            assert (ROOT / command).stat().st_mode & 0o100, command


def test_every_action_is_pinned_by_commit() -> None:
    used = [step["uses"] for step in STEPS if "uses" in step]
    assert used
    assert all(re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", action) for action in used)


def test_the_job_of_the_official_images_deploys_them_and_runs_no_tests() -> None:
    job = WORKFLOW["jobs"]["official-images"]
    settings = env.parse("".join(f"{name}={value}\n" for name, value in job["env"].items()), Path(".env"))
    assert settings.image_source == "registry"
    runs = [step["run"] for step in job["steps"] if "run" in step]
    assert runs[:4] == ["make deploy", "scripts/try-gateway.sh"] * 2
    assert "make test" not in runs


class Gateway(BaseHTTPRequestHandler):
    """Answers as a deployed gateway; `wrong` is the path of one wrong answer."""

    wrong: ClassVar[str] = ""

    def do_GET(self) -> None:
        self.do_POST()

    def do_POST(self) -> None:
        body: dict[str, Any] = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))) or "{}")
        stream = "?stream" if body.get("stream") else ""
        self.answer(*self.told(self.path + stream))

    def told(self, path: str) -> tuple[int, str]:
        if self.headers["Authorization"] != f"Bearer {KEY}":
            return (200 if self.wrong == "key" else 401), "{}"
        if path == self.wrong:
            return 200, "{}"
        return {
            "/v1/messages": (200, '{"content": []}'),
            "/v1/messages?stream": (200, "event: message_stop"),
            "/v1/chat/completions": (200, '{"choices": []}'),
            "/v1/chat/completions?stream": (200, "data: [DONE]"),
            "/v1/models": (200, '["test-model"]'),
        }.get(path, (404, "{}"))

    def answer(self, status: int, text: str) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def url() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Gateway)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def tried(url: str, tmp_path: Path, wrong: str = "") -> subprocess.CompletedProcess[str]:
    Gateway.wrong = wrong
    key = tmp_path / "example"
    key.write_text(KEY)
    script = [str(ROOT / "scripts" / "try-gateway.sh"), url]
    environment = {"PATH": "/usr/local/bin:/usr/bin:/bin", "KEY_FILE": str(key)}
    return subprocess.run(script, env=environment, capture_output=True, text=True, check=False, timeout=120)


def test_a_gateway_that_answers_right_passes(url: str, tmp_path: Path) -> None:
    done = tried(url, tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert len(done.stdout.splitlines()) == 7


@pytest.mark.parametrize(
    "wrong",
    ["/v1/messages", "/v1/messages?stream", "/v1/chat/completions?stream", "/v1/models", "key", "/key/info"],
)
def test_each_wrong_answer_is_seen(url: str, tmp_path: Path, wrong: str) -> None:
    done = tried(url, tmp_path, wrong)
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert KEY not in done.stdout + done.stderr


def test_a_gateway_that_is_not_there_is_told(tmp_path: Path) -> None:
    done = tried("http://127.0.0.1:1", tmp_path)
    assert done.returncode == 1
    assert "no answer from http://127.0.0.1:1" in done.stderr
