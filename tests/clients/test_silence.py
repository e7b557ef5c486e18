"""Claude Code on an upstream that is silent for longer than it waits by itself: the gateway's pings keep the run.

Five minutes long, so only `make test-silence` runs it; that pings come at all is in test_streams.py.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.contract.provider import target as targets
from tests.support.claude_code import ClaudeCode, Finished
from tests.support.stack import Stack

pytestmark = pytest.mark.skipif(
    os.environ.get("TOLLGATE_LONG_TESTS") != "1", reason="five minutes of silence: make test-silence"
)
# It gives a stream up after 300 silent seconds.
SILENT = 320
PROMPTS = {
    "before the first byte": f"Say hello. [[latency={SILENT}]]",
    "between two": f"Say hello. [[gap=after:5:{SILENT}]]",
}


def person(stack: Stack, home: Path, url: str) -> ClaudeCode:
    settings = {
        "ANTHROPIC_BASE_URL": url,
        "ANTHROPIC_AUTH_TOKEN": stack.key("developer"),
        "ANTHROPIC_MODEL": "test-model",
    }
    return ClaudeCode(stack, home, {**settings, "CLAUDE_CODE_MAX_RETRIES": "0"}, bound=3 * SILENT)


@pytest.fixture(scope="module")
def runs(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], Finished]:
    """Each prompt through the gateway and without it, all at once."""
    with targets.embedded(tmp_path_factory.mktemp("provider") / "log") as straight, ThreadPoolExecutor(4) as pool:
        where = {"gateway": stack.url, "straight": straight.url}
        begun = {
            (name, place): pool.submit(person(stack, tmp_path_factory.mktemp("home"), url).ask, PROMPTS[name])
            for name in PROMPTS
            for place, url in where.items()
        }
        return {case: run.result() for case, run in begun.items()}


@pytest.mark.parametrize("name", PROMPTS)
def test_a_run_outlives_five_silent_minutes(runs: dict[tuple[str, str], Finished], name: str) -> None:
    run = runs[name, "gateway"]
    assert run.returncode == 0, f"{run.out}\n{run.err}"
    assert "You asked: “Say hello.”" in run.out
    assert [row["status"] for row in run.seen()] == ["200"], "asked more than once"


@pytest.mark.parametrize("name", PROMPTS)
def test_twin_without_the_gateway_it_is_lost(runs: dict[tuple[str, str], Finished], name: str) -> None:
    run = runs[name, "straight"]
    assert run.returncode == 1
    assert "You asked" not in run.out
