"""CONTRIBUTING.md: each place it names is there, and each kind of change has its row."""

from __future__ import annotations

import re

from tollgate.site import Site

ROOT = Site.here().root
PAGE = (ROOT / "CONTRIBUTING.md").read_text()
KINDS = {
    "a provider",
    "a limit",
    "the words of a refusal",
    "a panel",
    "an alert",
    "a make target",
    "an nginx timeout",
    "the LiteLLM release",
    "a tenant field",
    "a chaos fault",
    "the Python client package",
    "the content of a backup",
}


def rows(page: str) -> dict[str, str]:
    return dict(re.findall(r"^\| ([^|`-][^|]*?) \| (.+) \|$", page, re.MULTILINE))


def missing(page: str) -> list[str]:
    """The names in code that look like a path, in a row or a sentence, but do not exist."""
    named = re.findall(r"`([\w.-]+(?:/[\w.-]+)+/?|Makefile)`", page)
    return sorted({path for path in named if not (ROOT / path).exists()})


def test_every_kind_of_change_has_a_row_that_names_a_file() -> None:
    table = rows(PAGE)
    assert table.keys() - {"to change"} == KINDS
    assert [kind for kind in KINDS if not re.search(r"`(?:[\w.-]+/[^`]+|Makefile)`", table[kind])] == []


def test_every_place_it_names_exists() -> None:
    assert missing(PAGE) == []


def test_twin_a_place_that_is_gone_would_be_seen() -> None:
    assert missing("edit `src/tollgate/gone.py` and `docs/refusals.md`, in `tests/none/`") == [
        "src/tollgate/gone.py",
        "tests/none/",
    ]


def test_it_is_one_page() -> None:
    assert len(PAGE.splitlines()) <= 60
