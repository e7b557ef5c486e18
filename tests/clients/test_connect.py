"""Claude Code uses the output of `tollgate tenant connect` exactly as it was printed."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.support.claude_code import ClaudeCode, Finished
from tests.support.stack import Stack

# Nothing of the gateway in the environment: it has to come from what was printed.
UNSET: dict[str, str | None] = dict.fromkeys(("ANTHROPIC_BASE_URL", "ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_MODEL"))
# A mount namespace of its own, with a copy of /etc in it: managed settings have one fixed place.
IN_A_COPY_OF_ETC = 'cp -a /etc/. "$0" && cp "$1" "$0/claude-code/" && mount --bind "$0" /etc && shift && exec "$@"'


def printed(stack: Stack, form: str, *options: str) -> str:
    return stack.cli("tenant", "connect", "developer", "--format", form, *options).stdout


def works(run: Finished) -> None:
    assert run.returncode == 0, f"{run.out}\n{run.err}"
    assert "You asked: “Say hello.”" in run.out
    assert {row["status"] for row in run.seen()} == {"200"}


@pytest.mark.parametrize("options", [(), ("--show-key",)], ids=["key in its file", "key shown"])
def test_shell_lines(stack: Stack, claude: ClaudeCode, options: tuple[str, ...]) -> None:
    lines = claude.home / "connect.sh"
    lines.write_text(printed(stack, "env", *options))
    shell = ("bash", "-euc", f'. {lines}; exec "$0" "$@"')
    works(claude.run("-p", "Say hello.", before=shell, **UNSET))


@pytest.mark.parametrize("options", [(), ("--show-key",)], ids=["apiKeyHelper", "key shown"])
def test_settings(stack: Stack, claude: ClaudeCode, options: tuple[str, ...]) -> None:
    (claude.home / ".claude").mkdir()
    (claude.home / ".claude" / "settings.json").write_text(printed(stack, "settings", *options))
    works(claude.ask("Say hello.", **UNSET))


def test_managed_settings_and_the_helper(stack: Stack, claude: ClaudeCode) -> None:
    helper, etc, file = claude.home / "tollgate-key", claude.home / "etc", claude.home / "managed-settings.json"
    helper.write_text(printed(stack, "helper"))
    helper.chmod(0o755)
    (etc / "claude-code").mkdir(parents=True)
    file.write_text(printed(stack, "managed", "--helper", str(helper)))
    inside = namespace(etc, file)
    # A person's own address loses to the managed one.
    works(claude.run("-p", "Say hello.", before=inside, **UNSET | {"ANTHROPIC_BASE_URL": "http://127.0.0.1:9"}))
    restricted = claude.run("-p", "Say hello.", "--model", "claude-opus-4-8", before=inside, **UNSET)
    assert "restricted by your organization's settings" in restricted.err
    assert json.loads(file.read_text())["enforceAvailableModels"] is True


def namespace(etc: Path, file: Path) -> tuple[str, ...]:
    unshare = ("unshare", "--mount") if os.geteuid() == 0 else ("unshare", "--map-root-user", "--mount")
    tried = subprocess.run([*unshare, "true"], capture_output=True, text=True, check=False)
    if tried.returncode != 0:
        pytest.skip(f"no mount namespace here: {tried.stderr.strip()}")
    return (*unshare, "sh", "-c", IN_A_COPY_OF_ETC, str(etc), str(file))


def test_a_helper_that_prints_a_wrong_key_is_refused(stack: Stack, claude: ClaudeCode) -> None:
    """The twin: the helper's key is the one that counts. Left alone Claude Code would ask it eleven times, for it may
    have a new one by then."""
    settings = json.loads(printed(stack, "settings")) | {"apiKeyHelper": "echo sk-wrong-0123456789abcdef"}
    (claude.home / ".claude").mkdir()
    (claude.home / ".claude" / "settings.json").write_text(json.dumps(settings))
    run = claude.ask("Say hello.", **UNSET, CLAUDE_CODE_MAX_RETRIES="0")
    assert run.returncode == 1
    assert "does not know this key" in run.out
