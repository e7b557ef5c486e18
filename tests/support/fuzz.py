"""Requests that schemathesis makes from tests/fixtures/openapi/public.yaml, and what an answer must not be: a 500."""

from __future__ import annotations

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
