"""The checks of an upgrade on the session's stack. `make test-upgrade` runs real upgrades on its own stack."""

from __future__ import annotations

import json

import pytest

from tests.support.stack import ROOT, Stack
from tollgate.stack.images.litellm import known

OLDER, NEWEST = known(ROOT)[0], known(ROOT)[-1]


def test_on_the_newest_known_release_there_is_nothing_to_do(stack: Stack) -> None:
    before, env = stack.compose.running(), (stack.home / ".env").read_text()
    assert f"LITELLM_VERSION={NEWEST}\n" in env
    shown = stack.cli("upgrade", "--check")
    done = stack.cli("upgrade", "--yes")
    assert shown.stdout == f"LiteLLM {NEWEST} is deployed, the newest this kit knows: nothing to do.\n" == done.stdout
    assert stack.compose.running() == before
    assert (stack.home / ".env").read_text() == env
    assert json.loads(stack.cli("status", "--json").stdout)["litellm"] == NEWEST


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (("upgrade", "1.82.7"), "LiteLLM 1.82.7: is backdoored"),
        (("upgrade", "1.107.9"), "expected a LiteLLM that this kit knows, found 1.107.9"),
        (("upgrade", OLDER, "--check"), f"LiteLLM {OLDER} is older than {NEWEST}, which is deployed"),
        (("rollback", "--yes"), "no upgrade to it is recorded here"),
    ],
)
def test_an_impossible_upgrade_is_refused(stack: Stack, words: tuple[str, ...], error: str) -> None:
    done = stack.cli(*words, check=False)
    assert done.returncode == 1
    assert error in done.stderr
    assert "Traceback" not in done.stderr


def test_part_one_reads_the_real_database_replicas_and_disks(stack: Stack) -> None:
    """compose.env claims the older release; everything else is real, and the check changes nothing."""
    before, rendered = stack.compose.running(), stack.compose.env_file.read_text()
    assert f"LITELLM_VERSION='{NEWEST}'" in rendered
    try:
        stack.compose.env_file.write_text(rendered.replace(f"='{NEWEST}'", f"='{OLDER}'"))
        found = json.loads(stack.cli("upgrade", "--check", "--json").stdout)
        refused = stack.cli("deploy", "--until", "configuration", check=False)
    finally:
        stack.compose.env_file.write_text(rendered)
    assert (found["current"], found["target"], found["ok"], found["can_return"]) == (OLDER, NEWEST, True, True)
    texts = {one["name"]: one["text"] for one in found["findings"]}
    assert texts["image"].endswith("is here")
    assert texts["replicas"] == "3 of 3 serve"
    assert texts["migrations"] == "none to apply, the schema stays as it is"
    assert refused.returncode == 1
    assert f"`make upgrade TO={NEWEST}`" in refused.stderr
    assert stack.compose.running() == before
