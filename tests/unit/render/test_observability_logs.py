"""Alloy masks, drops and keeps log lines by the expressions of the rendered configuration."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.unit.stack.host.test_masking import MASKED, UNCHANGED
from tollgate.render.observability import render_observability

ROOT = Path(__file__).resolve().parents[3]
[CONFIG] = [file.text for file in render_observability(ROOT, 3, "tollgate") if file.path.name == "config.alloy"]


def expressions(stage: str) -> list[str]:
    """The `expression` strings of every block of that name. Alloy's quoting is JSON's."""
    blocks = re.findall(rf"stage\.{stage} \{{(.*?)\n\t+\}}", CONFIG, re.DOTALL)
    found = [re.search(r'expression\s*= ("(?:[^"\\]|\\.)*")', block) for block in blocks]
    return [json.loads(match[1]) for match in found if match]


def redacted(line: str) -> str:
    """As `stage.replace` does it: the group is replaced, the rest of the match stays."""
    for expression in expressions("replace"):
        for match in reversed(list(re.finditer(expression, line))):
            line = line[: match.start(1)] + "<redacted>" + line[match.end(1) :]
    return line


def test_every_replacement_is_found() -> None:
    assert len(expressions("replace")) == CONFIG.count("stage.replace {") == 6
    assert len(expressions("drop")) == 1


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("key sk-4Kx9_abcDEF-123 refused", "key <redacted> refused"),
        # In JSON a line break is a backslash and an n: why no word boundary is asked for before a key.
        (r'{"error":"refused:\nsk-4Kx9_abcDEF-123"}', r'{"error":"refused:\n<redacted>"}'),
        ("Authorization: Bearer abcdef123456", "Authorization: Bearer <redacted>"),
        ('{"x-api-key": "0123456789"}', '{"x-api-key": "<redacted>"}'),
        ('{"api_key":"abcdefgh","model":"m"}', '{"api_key":"<redacted>","model":"m"}'),
        ("password=hunter22 user=a", "password=<redacted> user=a"),
        ("AKIAABCDEFGHIJKLMNOP", "<redacted>"),
        ("token eyJhbGciOiJI.eyJzdWIiOiIx.c2lnbmF0dXJl end", "token <redacted> end"),
        ("AIza" + "Sy0123456789abcdefghij", "<redacted>"),
        ("sent Basic dXNlcjpwYXNzd29yZA==", "sent Basic <redacted>"),
    ],
)
def test_credentials_are_taken_out(line: str, expected: str) -> None:
    assert redacted(line) == expected


@pytest.mark.parametrize(("text", "masked"), MASKED)
def test_loki_gets_no_credential_that_our_commands_mask(text: str, masked: str) -> None:
    assert redacted(text).replace("<redacted>", "***") == masked


@pytest.mark.parametrize("text", UNCHANGED)
def test_lines_that_our_commands_leave_alone_stay_as_they_are(text: str) -> None:
    assert redacted(text) == text


@pytest.mark.parametrize(
    "line",
    ['{"message":"POST /v1/messages HTTP/1.1\\" 200"}', "task-42 done", "password changed"],
)
def test_ordinary_lines_stay_as_they_are(line: str) -> None:
    assert redacted(line) == line


@pytest.mark.parametrize(
    ("line", "dropped"),
    [
        ('"GET /health/liveliness HTTP/1.1" 200', True),
        ('"GET /metrics/ HTTP/1.1" 200', True),
        ('"GET /health HTTP/1.1" 200', False),
        ('"POST /v1/messages HTTP/1.1" 200', False),
        ('"GET /v1/models HTTP/1.1" 200', False),
    ],
)
def test_only_probes_are_dropped(line: str, dropped: bool) -> None:
    [expression] = expressions("drop")
    assert bool(re.search(expression, line)) is dropped


def test_redaction_comes_before_anything_that_reads_a_line() -> None:
    """A label or a field taken from an unredacted line would keep the credential."""
    assert "forward_to = [loki.process.redact.receiver]" in CONFIG.split('loki.process "redact"')[0]
    redact = CONFIG.split('loki.process "redact"')[1].split('loki.process "parse"')[0]
    assert "forward_to = [loki.process.parse.receiver, loki.process.edge.receiver]" in redact
    assert "stage.json" not in redact
    assert "stage.labels" not in redact


def stage(name: str) -> str:
    """The text of a component of Alloy's."""
    return CONFIG.split(f'loki.process "{name}" {{')[1].split("\n}\n")[0]


def test_a_service_that_logs_in_a_loop_does_not_push_out_the_others() -> None:
    [limit] = re.findall(r"stage\.limit \{(.*?)\n\t\}", CONFIG, re.DOTALL)
    assert re.search(r'by_label_name\s*= "service_name"', limit)
    assert re.search(r"drop\s*= true", limit), "Alloy wants it beside by_label_name"


def test_lines_that_are_read_twice_are_counted_once() -> None:
    """Old lines still reach Loki, which drops doubles by itself."""
    edge = stage("edge")
    assert edge.index("older_than") < edge.index("stage.metrics")
    assert "older_than" not in stage("redact") + stage("parse")
    assert "stage.metrics" not in stage("redact") + stage("parse")


def test_the_counts_of_the_edge_have_no_text_of_a_client_as_label() -> None:
    [labels] = re.findall(r"stage\.labels \{\n\t+values = \{(.*)\}", stage("edge"))
    assert set(re.findall(r"(\w+) = ", labels)) == {"status", "route"}
    log = (ROOT / "nginx" / "snippets" / "log.conf").read_text()
    assert '"route":"$edge_route"' in log, "nginx chooses the route's name from a list"
    # A histogram is many series for each combination of labels.
    assert edge_histogram() > stage("edge").index('stage.label_drop {\n\t\t\tvalues = ["status"]')


def edge_histogram() -> int:
    return stage("edge").index("metric.histogram")


def test_level_is_not_a_label() -> None:
    """As one it would hide the JSON field of that name from queries."""
    [kept] = re.findall(r"stage\.label_keep \{\n\t+values = (\[.*\])", CONFIG)
    assert json.loads(kept) == ["job", "service_name", "status_class"]


def test_braces_and_brackets_are_balanced() -> None:
    """No validator of Alloy's is at hand everywhere; `alloy validate` runs where its image is."""
    bare = re.sub(r'"(?:[^"\\]|\\.)*"|//.*', "", CONFIG)
    for opening, closing in ("{}", "[]", "()"):
        assert bare.count(opening) == bare.count(closing)
