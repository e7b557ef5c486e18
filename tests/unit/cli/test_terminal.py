"""Text from upstreams, logs and names reaches the terminal without control characters."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
from pathlib import Path

import pexpect
import pytest
from rich.table import Table

from tollgate.cli import terminal
from tollgate.cli.progress import StepDisplay
from tollgate.cli.terminal import Guarded, Terminal, safe
from tollgate.site import Site
from tollgate.stack.containers.compose import Compose
from tollgate.stack.served import _parse_answer

ROOT = Site.here().root
# Clear the screen, set the title, make the terminal type, make a link, erase the line before, hide or turn text.
HOSTILE = [
    "\x1b[2J\x1b[H", "\x1b]0;title\x07", "\x1b[c", "\x1b]8;;http://x\x1b\\link", "\x1b[1A\x1b[2K", "\r", "\b\b\b",
    "\x00", "\x9b2J", "\x9d0;x\x9c", "\x1bP+q544e\x1b\\", "\x7f", "\u202egnp.exe", "\u2066", "\u200b",
    "\ufeff", "\u2028", "\ud800",
]  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE, ids=ascii)
def test_no_control_character_is_left(text: str) -> None:
    shown = safe(f"before{text}after")
    assert shown.isprintable()
    assert shown.startswith("before")
    assert shown.endswith("after")
    assert "\N{REPLACEMENT CHARACTER}" in shown


def test_twin_ordinary_text_stays() -> None:
    text = "Söhne & 日本, emoji 🙂, tab\there\nand a second line"
    assert safe(text) == text


def drawn(text: str) -> str:
    """Everything that the display prints for a text, on a terminal with colours."""
    out = io.StringIO()
    console = Terminal(file=out, force_terminal=True, width=200, color_system="standard")
    display = StepDisplay(console)
    display.say(text)
    display.done("deploy", 1.0, text)
    with display.step(text):
        display.detail(text)
    table = Table(text)
    table.add_row(text)
    console.print(table)
    console.print(text, markup=False)
    return out.getvalue()


@pytest.mark.parametrize("text", HOSTILE, ids=ascii)
def test_rich_prints_only_its_own_codes(text: str) -> None:
    """A hostile text gives no other codes than a harmless text."""
    codes = re.compile(r"[^\n\t\x20-\x7e\xa0-\uffff]|\x1b\[[0-9;?]*[A-Za-z]")

    def codes_in(printed: str) -> set[str]:
        return set(codes.findall(printed))

    assert codes_in(drawn(f"a{text}b")) <= codes_in(drawn("harmless"))


def test_twin_without_the_filter_the_codes_come_through(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(terminal, "safe", lambda text: text)
    assert "\x1b]0;title" in drawn("\x1b]0;title\x07")


def test_a_stream_cannot_be_bypassed_by_its_buffer() -> None:
    out = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    guarded = Guarded(out)
    assert not hasattr(guarded, "buffer")
    with pytest.raises(AttributeError):
        guarded.write(b"\x1b[2J")  # type: ignore[arg-type]


def test_every_console_of_the_command_line_is_ours() -> None:
    """Rich's own Console would bypass the guard."""
    files = (ROOT / "src" / "tollgate").rglob("*.py")
    plain = re.compile(r"^\s*(from rich.*\bimport\b.*\b(Console|print)\b|import rich|from rich import)", re.MULTILINE)
    assert [file.name for file in files if plain.search(file.read_text())] == ["terminal.py"]


ATTACKED = """
import sys, typer
from tollgate import __main__
from tollgate.cli import models
from tollgate.errors import TollgateError
from tollgate.stack.served import Answer
HOSTILE = "\\x1b[2J\\x1b]0;owned\\x07\\x9b2J\\u202e"
models.served.to_test = lambda loaded, name: [("a", HOSTILE, None)]
models.served.ask = lambda *_: Answer(HOSTILE, HOSTILE, {ok}, 1, said="HTTP 500: " + HOSTILE)
models.configuration.load = lambda site: type("C", (), dict(settings=type("S", (), dict(compose_project_name="x"))))
if {error}:
    def refuse(*_): raise TollgateError("LiteLLM said " + HOSTILE, HOSTILE)
    models.served.to_test = refuse
sys.argv = ["tollgate", "models", "test", "m"]
__main__.main()
"""


@pytest.mark.parametrize(("ok", "error"), [(True, False), (False, False), (False, True)])
def test_models_test_prints_no_escape_sequence_of_an_upstream(ok: bool, error: bool, tmp_path: Path) -> None:
    script = tmp_path / "attacked.py"
    script.write_text(ATTACKED.format(ok=ok, error=error))
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "TERM": "xterm-256color"}
    piped = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, env=environment, timeout=60)
    typed = pexpect.run(f"{sys.executable} {script}", env=environment, timeout=60).decode(errors="replace")
    for said in (piped.stdout + piped.stderr, typed.replace("\r\n", "\n")):
        assert "owned" in said
        assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]", said), ascii(said)


def test_an_upstream_s_counts_are_numbers_or_nothing() -> None:
    body = {"content": [{"type": "text", "text": "x"}], "usage": {"input_tokens": "9\x1b[2J", "output_tokens": True}}
    answer = _parse_answer("a", "b", body, 1, embedding=False)
    assert (answer.prompt_tokens, answer.answer_tokens) == (None, None)


def test_container_logs_lose_their_codes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    docker = tmp_path / "docker"
    docker.write_text("#!/bin/sh\nprintf '\\033[92mgreen\\033[0m \\033]0;owned\\007\\nsecond\\n'\n")
    docker.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    env_file = tmp_path / "compose.env"
    env_file.write_text("")
    lines = list(Compose("x", (), env_file).lines("logs"))
    assert [safe(line) for line in lines] == [
        "green \N{REPLACEMENT CHARACTER}]0;owned\N{REPLACEMENT CHARACTER}",
        "second",
    ]
