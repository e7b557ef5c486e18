"""Requests that schemathesis makes from tests/fixtures/openapi/public.yaml, and what an answer must not be: a 500.

Run as a program of its own (`fuzz`): Hypothesis takes constants from whatever modules are loaded, so inside a test run
the requests would depend on which tests ran before.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests
import schemathesis
import yaml
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode

PUBLIC = Path(__file__).resolve().parents[1] / "fixtures" / "openapi" / "public.yaml"
VALID, BROKEN = GenerationMode.POSITIVE, GenerationMode.NEGATIVE


@dataclass
class Findings:
    """`failed` has a line for each server error and each error in the wrong shape; `seen` counts the statuses."""

    failed: list[str] = field(default_factory=list)
    seen: Counter[tuple[str, str, int]] = field(default_factory=Counter)


def described() -> dict[str, Any]:
    return dict(yaml.safe_load(PUBLIC.read_text()))


def fuzz(description: dict[str, Any], url: str, key: str, examples: int) -> Findings:
    """`examples` valid and as many broken requests to every route; the same ones each time."""
    environment = {name: value for name, value in os.environ.items() if name != "CI"} | {"FUZZ_KEY": key}
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.fuzz", url, str(examples)],
        input=json.dumps(description),
        capture_output=True,
        text=True,
        check=False,
        cwd=PUBLIC.parents[3],
        env=environment,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    printed = json.loads(done.stdout)
    seen = Counter({(label, mode, status): count for label, mode, status, count in printed["seen"]})
    return Findings(printed["failed"], seen)


def _fuzz(description: dict[str, Any], url: str, key: str, examples: int) -> Findings:
    found = Findings()
    schema = schemathesis.openapi.from_dict(description)
    with requests.Session() as session:
        session.trust_env = False
        for operation in schema.get_all_operations():
            for mode in (VALID, BROKEN):
                _one(operation.ok(), mode, session, url, key, examples, found)
    return found


def _one(
    operation: Any, mode: GenerationMode, session: requests.Session, url: str, key: str, examples: int, found: Findings
) -> None:
    chosen = settings(
        max_examples=examples,
        derandomize=True,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )

    @chosen
    @given(case=operation.as_strategy(generation_mode=mode))
    def ask(case: Any) -> None:
        answer = case.call(base_url=url, session=session, headers={"Authorization": f"Bearer {key}"}, timeout=60)
        found.seen[operation.label, mode.value, answer.status_code] += 1
        if wrong := what_is_wrong(case.path, answer):
            found.failed.append(f"{operation.label} {mode.value}: {wrong}; sent {case.query} {str(case.body)[:600]}")

    try:
        ask()
    except Unsatisfiable:  # a route without anything to get wrong
        return


def what_is_wrong(path: str, answer: Any) -> str:
    """'' for an answer a client may be given."""
    if answer.status_code >= 500:
        return f"{answer.status_code} {answer.text[:300]}"
    if answer.status_code < 400:
        return f"an error in a stream: {answer.text[-300:]}" if "event: error" in answer.text else ""
    try:
        said = answer.json()
    except ValueError:
        return f"{answer.status_code} is no JSON: {answer.text[:200]}"
    error = said.get("error")
    if not isinstance(error, dict) or not error.get("message") or not error.get("type"):
        return f"{answer.status_code} has another shape: {answer.text[:200]}"
    if path.startswith("/v1/messages") != (said.get("type") == "error"):
        return f"{answer.status_code} has the other API's shape: {answer.text[:200]}"
    return ""


def main() -> None:
    url, examples = sys.argv[1:]
    found = _fuzz(json.load(sys.stdin), url, os.environ["FUZZ_KEY"], int(examples))
    seen = [[*what, count] for what, count in sorted(found.seen.items())]
    json.dump({"failed": found.failed, "seen": seen}, sys.stdout)


if __name__ == "__main__":
    main()
