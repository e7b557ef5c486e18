"""Fixtures of the contract suite. `dialled` and `direct` skip where the target cannot do what a test needs."""

from __future__ import annotations

from collections.abc import Iterator

import anthropic
import openai
import pytest

from tests.contract.provider import target as targets
from tests.contract.provider.target import Target


@pytest.fixture(scope="session")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    given = targets.from_environment()
    if given is not None:
        yield given
        return
    log = tmp_path_factory.mktemp("provider") / "provider.log"
    with targets.embedded(log) as running:
        yield running
        # Before it is stopped: a stop cuts what still hangs, and says so.
        lines = log.read_text()
    assert targets.unclean(lines, running.key) == []


@pytest.fixture
def dialled(target: Target) -> Target:
    if not target.dials:
        pytest.skip("needs the embedded provider at the end")
    return target


@pytest.fixture
def direct(target: Target) -> Target:
    if not target.direct:
        pytest.skip("needs the embedded provider itself")
    return target


@pytest.fixture(scope="session")
def claude(target: Target) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=target.url, api_key=target.key, max_retries=0, timeout=60) as client:
        yield client


@pytest.fixture(scope="session")
def gpt(target: Target) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{target.url}/v1", api_key=target.key, max_retries=0, timeout=60) as client:
        yield client
