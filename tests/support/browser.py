"""A headless Chromium of the test's own, by the W3C's WebDriver protocol.

The protocol is a few HTTP calls. The usual package for it brings eight others, and a program that downloads browsers.
"""

from __future__ import annotations

import base64
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support import plain
from tests.support.eventually import eventually
from tests.support.ports import free_ports

# Debian's name, and those of other systems.
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "google-chrome", "chromium-browser"))), None)
DRIVER = shutil.which("chromedriver")
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage"),
    # A page that asks another host gets an error.
    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
)
_ELEMENT = "element-6066-11e4-a52e-4f735466cecf"


@dataclass
class Browser:
    """One window. `run` returns what the script returns."""

    client: httpx.Client
    session: str

    def call(self, method: str, path: str, **body: Any) -> Any:
        answer = self.client.request(method, f"/session/{self.session}{path}", json=body if method == "POST" else None)
        value = answer.json()["value"]
        assert answer.status_code == 200, value
        return value

    def open(self, url: str) -> None:
        self.call("POST", "/url", url=url)

    def run(self, script: str, *arguments: Any) -> Any:
        return self.call("POST", "/execute/sync", script=script, args=list(arguments))

    def wait_for(self, script: str, *arguments: Any) -> Any:
        """`script` as an `async` function: what its promise becomes."""
        done = f"const done = arguments[arguments.length - 1]; (async () => {{ {script} }})().then(done, done);"
        return self.call("POST", "/execute/async", script=done, args=list(arguments))

    def text(self, css: str) -> str:
        """The text that a person sees of the first such element."""
        return str(self.run("return document.querySelector(arguments[0]).innerText", css))

    def sees(self, css: str) -> bool:
        return bool(self.run("const e = document.querySelector(arguments[0]); return !!e && e.checkVisibility()", css))

    def type(self, css: str, text: str) -> None:
        found = self.call("POST", "/element", using="css selector", value=css)[_ELEMENT]
        self.call("POST", f"/element/{found}/value", text=text)

    def press(self, *keys: str) -> None:
        """Keys on the keyboard, one after another, wherever the focus is."""
        actions = [{"type": kind, "value": key} for key in keys for kind in ("keyDown", "keyUp")]
        self.call("POST", "/actions", actions=[{"type": "key", "id": "keyboard", "actions": actions}])

    def size(self, width: int, height: int, scale: float = 1.0) -> None:
        self.devtools(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=scale, mobile=False
        )

    def dark(self, dark: bool) -> None:
        feature = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.devtools("Emulation.setEmulatedMedia", features=[feature])

    def devtools(self, command: str, **parameters: Any) -> Any:
        return self.call("POST", "/goog/cdp/execute", cmd=command, params=parameters)

    def complaints(self) -> list[str]:
        """The errors in the browser's console, such as a breach of the page's policy."""
        entries = self.call("POST", "/se/log", type="browser")
        return [entry["message"] for entry in entries if entry["level"] == "SEVERE"]

    def picture(self, path: Path) -> None:
        """The part of the page that the window shows."""
        taken = self.devtools("Page.captureScreenshot", format="png")
        path.write_bytes(base64.b64decode(taken["data"]))


def a_window() -> Iterator[Browser]:
    """For a fixture. In CI a machine without Chromium fails the test, elsewhere it skips it."""
    if CHROMIUM is None or DRIVER is None:
        if os.environ.get("CI"):
            pytest.fail("expected chromium and chromedriver, which scripts/check.sh installs")
        pytest.skip("this machine has no Chromium; scripts/check.sh --tools installs it")
    with browser() as opened:
        yield opened


@contextmanager
def browser() -> Iterator[Browser]:
    assert DRIVER is not None and CHROMIUM is not None
    port = free_ports(1)[0]
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        command = [DRIVER, f"--port={port}", "--allowed-ips=127.0.0.1"]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        options = {"binary": CHROMIUM, "args": [*FLAGS, f"--user-data-dir={profile}"]}
        wanted = {"goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}
        try:
            with plain.Client(base_url=f"http://127.0.0.1:{port}", timeout=60, trust_env=False) as client:
                eventually(lambda: _ready(client), within=30, every=0.1)
                made = client.post("/session", json={"capabilities": {"alwaysMatch": wanted}}).json()["value"]
                window = Browser(client, made["sessionId"])
                try:
                    yield window
                finally:
                    client.delete(f"/session/{window.session}")
        finally:
            process.terminate()
            process.wait(20)


def _ready(client: httpx.Client) -> bool:
    try:
        return bool(client.get("/status").json()["value"]["ready"])
    except httpx.TransportError:
        return False
