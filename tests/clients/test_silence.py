"""Claude Code on an upstream that is silent for longer than it waits by itself: the gateway's pings keep the run.

Five minutes long, so only `make test-silence` runs it; that pings come at all is in test_streams.py.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.contract.provider import target as targets
from tests.support import plain
from tests.support.claude_code import ClaudeCode, Finished, packages
from tests.support.stack import Stack

pytestmark = pytest.mark.skipif(
    os.environ.get("TOLLGATE_LONG_TESTS") != "1", reason="five minutes of silence: make test-silence"
)
# It gives a stream up after 300 seconds without a byte, and asks again.
SILENT = 320
PROMPTS = {
    "before the first byte": f"Say hello. [[latency={SILENT}]]",
    "in the middle": f"Say hello. [[gap=after:5:{SILENT}]]",
}
MIDDLE = PROMPTS["in the middle"]


def person(stack: Stack, home: Path, url: str, bound: float) -> ClaudeCode:
    settings = {
        "ANTHROPIC_BASE_URL": url,
        "ANTHROPIC_AUTH_TOKEN": stack.key("developer"),
        "ANTHROPIC_MODEL": "test-model",
    }
    return ClaudeCode(stack, home, settings, bound=bound)


@pytest.fixture(scope="module")
def posts_without_gateway(tmp_path_factory: pytest.TempPathFactory, stack: Stack) -> Iterator[Future[int]]:
    """How often the upstream itself is asked when nothing stands in front of it; found out beside the other runs."""
    packages()  # before there are several who would install them
    with (
        targets.embedded(tmp_path_factory.mktemp("provider") / "log") as straight,
        ThreadPoolExecutor(1) as pool,
    ):

        def posts() -> int:
            claude = person(stack, tmp_path_factory.mktemp("home"), straight.url, bound=SILENT + 20)
            with pytest.raises(subprocess.TimeoutExpired):
                claude.ask(MIDDLE)
            rows = plain.get(f"{straight.url}/_recorded", trust_env=False).json()["requests"]
            return len([row for row in rows if row["path"] == "/v1/messages"])

        yield pool.submit(posts)


@pytest.fixture(scope="module")
def runs(
    stack: Stack, tmp_path_factory: pytest.TempPathFactory, posts_without_gateway: Future[int]
) -> dict[str, Finished]:
    with ThreadPoolExecutor(len(PROMPTS)) as pool:
        begun = {
            name: pool.submit(person(stack, tmp_path_factory.mktemp("home"), stack.url, bound=2 * SILENT).ask, prompt)
            for name, prompt in PROMPTS.items()
        }
        return {name: run.result() for name, run in begun.items()}


@pytest.mark.parametrize("name", PROMPTS)
def test_a_run_outlives_five_silent_minutes(runs: dict[str, Finished], name: str) -> None:
    run = runs[name]
    assert run.returncode == 0, f"{run.out}\n{run.err}"
    assert "You asked: “Say hello.”" in run.out
    assert [row["status"] for row in run.seen()] == ["200"], "it was asked again, and paid for twice"


def test_twin_without_the_gateway_it_is_given_up_and_asked_again(posts_without_gateway: Future[int]) -> None:
    assert posts_without_gateway.result() > 1
