"""The metrics that exist, as recorded from the real exporters (tests/fixtures/metrics), and what an expression uses."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

INVENTORY = Path(__file__).resolve().parents[1] / "fixtures" / "metrics"
LINE = re.compile(r"(?P<name>[a-zA-Z_:][\w:]*)(?:\{(?P<labels>[\w,]*)\})?")
# Prometheus puts these on every series; `replica` and `gateway` come from our scrape configuration.
FROM_THE_SCRAPE = {"job", "instance"}
FROM_THE_REPLICA_JOB = {"replica"}
FROM_THE_GATEWAY_JOB = {"gateway"}
KEYWORDS = {"by", "without", "on", "ignoring", "and", "or", "unless", "bool", "offset", "group_left", "group_right"}


def inventory() -> dict[str, set[str]]:
    """Metric name -> the labels it can carry."""
    known: dict[str, set[str]] = {}
    for file in sorted(INVENTORY.glob("*.txt")):
        for line in file.read_text().splitlines():
            if line.startswith("#") or not line:
                continue
            match = LINE.fullmatch(line)
            assert match, f"{file.name}: {line!r}"
            labels = set((match["labels"] or "").split(",")) - {""} | FROM_THE_SCRAPE
            labels |= FROM_THE_REPLICA_JOB if file.stem in ("litellm", "process", "prometheus") else set()
            labels |= FROM_THE_GATEWAY_JOB if file.stem in ("gateway", "process", "prometheus", "tenants") else set()
            known[match["name"]] = labels
    return known


@dataclass(frozen=True)
class Use:
    """The names in one PromQL expression: metrics, the labels that select each, and the labels that it groups by."""

    metrics: set[str]
    selected: dict[str, set[str]]
    grouped: set[str]


def used(expression: str) -> Use:
    """Names by pattern, not by grammar: promtool checks the grammar of the same expressions."""
    plain = re.sub(r'"(?:[^"\\]|\\.)*"', '""', expression)
    selected: dict[str, set[str]] = {}
    for name, matchers in re.findall(r"([a-zA-Z_:][\w:]*)\{([^}]*)\}", plain):
        selected.setdefault(name, set()).update(re.findall(r"(\w+)\s*[=!]~?", matchers))
    grouped = set()
    for labels in re.findall(r"\b(?:by|without|on|ignoring)\s*\(([^)]*)\)", plain):
        grouped |= set(re.findall(r"\w+", labels))
    bare = re.sub(r"\{[^}]*\}|\[[^\]]*\]|\b(?:by|without|on|ignoring)\s*\([^)]*\)", " ", plain)
    names = set(re.findall(r"(?<![\w.])([a-zA-Z_:][\w:]*)\b(?!\s*\()", bare)) - KEYWORDS
    return Use(names, selected, grouped)


def mistakes(expression: str, known: dict[str, set[str]]) -> list[str]:
    """The names in an expression that no exporter has."""
    use = used(expression)
    found = [f"no metric {name}" for name in sorted(use.metrics - known.keys())]
    for name, labels in use.selected.items():
        found += [f"{name} has no label {label}" for label in sorted(labels - known.get(name, labels))]
    anywhere = set().union(*(known.get(name, set()) for name in use.metrics))
    found += [f"nothing in it has the label {label}" for label in sorted(use.grouped - anywhere)]
    return found
