"""Pulls of the real engine from registries that refuse, stall or do not answer. Each pull ends with a clear reason."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

import pytest

from tollgate.stack.host.progress import PlainProgress
from tollgate.stack.images.registry import Registries
from tollgate.stack.images.versions import RegistryImage

pytestmark = pytest.mark.docker

CONFIG = json.dumps(
    {"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": ["sha256:" + "0" * 64]}}
)
DIGEST = "sha256:" + hashlib.sha256(CONFIG.encode()).hexdigest()
LAYER, LAYER_SIZE = "sha256:" + "1" * 64, 50_000_000
KINDS = "application/vnd.docker.distribution.manifest.v2+json", "application/vnd.docker.container.image.v1+json"
MANIFEST = json.dumps(
    {
        "schemaVersion": 2,
        "mediaType": KINDS[0],
        "config": {"mediaType": KINDS[1], "size": len(CONFIG), "digest": DIGEST},
        "layers": [
            {
                "mediaType": "application/vnd.docker.image.rootfs.diff.tar.gzip",
                "size": LAYER_SIZE,
                "digest": LAYER,
            }
        ],
    }
)
LIMIT = json.dumps({"errors": [{"code": "TOOMANYREQUESTS", "message": "You have reached your pull rate limit"}]})


@dataclass
class Faulty:
    """A registry. The name of a repository chooses its fault. `ended` releases every waiting answer."""

    port: int
    ended: threading.Event
    asked: list[str] = field(default_factory=list)

    def image(self, repository: str) -> RegistryImage:
        return RegistryImage(f"127.0.0.1:{self.port}", repository, "1")


class Handler(BaseHTTPRequestHandler):
    """`busy`: 429. `stalled`: a layer that stops halfway. `slow-once`: its first manifest late. `mute`: no answer."""

    protocol_version = "HTTP/1.1"
    faulty: ClassVar[Faulty]

    def do_GET(self) -> None:
        self.faulty.asked.append(self.path)
        if self.path == "/v2/":
            return self.answer(200, "{}")
        if "/mute/" in self.path:
            self.faulty.ended.wait(60)
            return None
        if "/slow-once/" in self.path and sum("/slow-once/manifests/" in path for path in self.faulty.asked) == 1:
            self.faulty.ended.wait(60)
        if "/stalled/" not in self.path:
            return self.answer(429, LIMIT)
        if "/manifests/" in self.path:
            return self.answer(200, MANIFEST, KINDS[0])
        if self.path.endswith(DIGEST):
            return self.answer(200, CONFIG)
        self.send_response(200)
        self.send_header("Content-Length", str(LAYER_SIZE))
        self.end_headers()
        self.wfile.write(b"\0" * 2_000_000)
        self.wfile.flush()
        self.faulty.ended.wait(60)
        self.close_connection = True
        return None

    def do_HEAD(self) -> None:
        self.do_GET()

    def answer(self, status: int, text: str, kind: str = "application/json") -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(text)))
        self.send_header("Docker-Content-Digest", "sha256:" + hashlib.sha256(text.encode()).hexdigest())
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(text.encode())

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def faulty() -> Iterator[Faulty]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Handler.faulty = Faulty(server.server_port, threading.Event())
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield Handler.faulty
    Handler.faulty.ended.set()
    server.shutdown()
    server.server_close()


def test_a_rate_limit_is_reported_and_affects_only_that_image(faulty: Faulty) -> None:
    registries = Registries(first_answer=(20, 20))
    assert "You have reached your pull rate limit" in registries.pull(faulty.image("busy"), PlainProgress())
    before = len(faulty.asked)
    registries.pull(faulty.image("busy-too"), PlainProgress())
    assert len(faulty.asked) > before


def test_a_stalled_download_ends_soon_and_is_named(faulty: Faulty) -> None:
    progress, began = PlainProgress(), time.monotonic()
    reason = Registries(first_answer=(20, 20), stall=4).pull(faulty.image("stalled"), progress)
    assert reason == "the download of stalled:1 made no progress for 4 s, so it was stopped"
    assert any("Downloading" in line for line in progress.details)
    assert time.monotonic() - began < 45


def test_a_registry_that_does_not_answer_is_asked_only_twice(faulty: Faulty) -> None:
    registries = Registries(first_answer=(1, 2))
    reason = registries.pull(faulty.image("mute"), PlainProgress())
    assert reason == f"registry 127.0.0.1:{faulty.port} did not answer within 2 s"
    before = len(faulty.asked)
    assert registries.pull(faulty.image("busy"), PlainProgress()) == reason
    assert len(faulty.asked) == before


def test_a_registry_that_is_slow_once_answers_at_the_second_try(faulty: Faulty) -> None:
    reason = Registries(first_answer=(2, 30)).pull(faulty.image("slow-once"), PlainProgress())
    assert "You have reached your pull rate limit" in reason
