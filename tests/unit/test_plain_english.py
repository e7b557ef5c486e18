"""Phrases that make a reader read twice are in no page, no template, no setting, no module and no test.

A list of phrases cannot prove that a text is plain. It keeps away the turns of phrase that this repository once had.
"""

from __future__ import annotations

import io
import re
import subprocess
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# Each pattern with what to write instead.
PHRASES = {
    r"(?<!there )\bis none\b": "say what is missing, or what does not work",
    r"\bsuch an? one\b|\bof such a one\b": "repeat the noun",
    r"\blooked whether\b": "name who checks: the job checks",
    r"\bso that nobody\b": "so nobody",
    r"\bin spite of\b": "although, or name what is removed",
    r"\b(?:to|can|cannot|could) be had\b": "is available",
    r"\b[wW]hoever\b|\b[wW]homever\b": "name the person or the program",
    r"\bnobody is (?:told|here|notified|asked)\b": "say what is not configured, or what to do",
    r"\b(?:is|are) to be\b": "must, or is",
    r"\bpassed over\b|\bpasses (?:it|them) over\b": "skips",
    r"\banew\b": "again",
    r"\blikewise\b": "in the same way",
    r"\b[tT]he least a\b": "the shortest, the smallest",
    r"\bsent elsewhere\b": "redirected",
    r"\bis at once true of\b": "changes immediately",
    r"\bfetching it is the \w+'s\b": "the engine must fetch it",
    r"\bcan be rotated so\b": "this works only for",
    r"\bstands? (?:there|beside|behind)\b": "is",
    r"\bof late\b|\bere\b|\bthereof\b|\bwherefore\b": "a word of today",
    # A sentence that begins with a clause for its subject: "What a replica adds is ...". A question may.
    r"(?:^|[.:;!] )(?:What|Who|Whatever|That which) [^.?!]*\.(?= |$)": "begin with the subject",
}
COMMENTED = (".yaml", ".yml", ".conf", ".sh", ".j2", ".env", ".cfg", ".toml", "Makefile", ".env.example")
PLACES = ("compose/", "config/", "nginx/", "scripts/", "tenants/", "Makefile", ".env.example")


def tracked() -> list[str]:
    command = ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split("\0")
    return sorted(name for name in names if name and (ROOT / name).is_file())


def pages() -> list[str]:
    return [name for name in tracked() if name.endswith(".md") and not name.startswith("tests/fixtures/")]


def templates() -> list[str]:
    return [name for name in tracked() if name.startswith(PLACES) and name.endswith(COMMENTED)]


def modules() -> list[str]:
    return [name for name in tracked() if name.startswith(("src/", "client/")) and name.endswith(".py")]


def suite() -> list[str]:
    """Every Python file below tests/, except this one, which quotes the phrases."""
    own = str(Path(__file__).relative_to(ROOT))
    return [name for name in tracked() if name.startswith("tests/") and name.endswith(".py") and name != own]


def prose(markdown: str) -> Iterator[str]:
    """Paragraphs, list items and cells, without code, comments and headings."""
    text = re.sub(r"<!--.*?-->", "", re.sub(r"^```.*?^```$", "", markdown, flags=re.M | re.S), flags=re.S)
    lines = [line for line in text.splitlines() if not line.startswith(("    ", "#"))]
    for block in re.split(r"\n\s*\n|\n(?=\s*(?:[-*]|\d+\.) )|\|", "\n".join(lines)):
        words = " ".join(re.sub(r"`[^`]*`", "x", block).split()).lstrip("-*0123456789. ")
        if words:
            yield words


def comments(text: str) -> Iterator[str]:
    """Comments that follow each other are one text."""
    block: list[str] = []
    for line in [*text.splitlines(), ""]:
        found = re.match(r"\s*(?:#+|//|\{#)\s?(.*)", line) or re.search(r"\s##? (.*)$", line)
        if found:
            block.append(found[1])
        elif block:
            yield " ".join(" ".join(block).split())
            block = []


def strings_and_comments(source: str, *, data: bool = True) -> Iterator[str]:
    """Each string, and each block of comments. Without `data`, a string of several lines counts only as a docstring."""
    block: list[str] = []
    begins = True  # whether the next token begins a statement
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            block.append(token.string.lstrip("# "))
        elif token.type in (tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT):
            begins |= token.type == tokenize.NEWLINE
        else:
            yield from [" ".join(block)] if block else []
            block = []
            if token.type == tokenize.STRING and (data or begins or "\n" not in token.string):
                yield " ".join(token.string.strip("rbfRBF").strip("\"'").split())
            begins = False


def names_of_tests(source: str) -> Iterator[str]:
    for name in re.findall(r"^ *(?:async )?def test_(\w+)", source, flags=re.MULTILINE):
        yield name.replace("_", " ")


def words_of_a_test(source: str) -> Iterator[str]:
    """Comments, docstrings, messages and names. A string of several lines is a script, a configuration or a body."""
    yield from strings_and_comments(source, data=False)
    yield from names_of_tests(source)


def texts(name: str) -> Iterator[str]:
    whole = (ROOT / name).read_text()
    if name.endswith(".md"):
        return prose(whole)
    if name.startswith("tests/"):
        return words_of_a_test(whole)
    return strings_and_comments(whole) if name.endswith(".py") else comments(whole)


def found_in(words: str) -> list[str]:
    return [
        f"{hit[0].strip()[:70]!r}: {instead}" for rule, instead in PHRASES.items() if (hit := re.search(rule, words))
    ]


def problems(names: list[str]) -> list[str]:
    return [f"{name}: {problem}" for name in names for words in texts(name) for problem in found_in(words)]


def test_pages_are_plain() -> None:
    assert len(pages()) > 35
    assert problems(pages()) == []


def test_templates_and_settings_are_plain() -> None:
    assert len(templates()) > 40
    assert problems(templates()) == []


def test_source_is_plain() -> None:
    assert len(modules()) > 200
    assert problems(modules()) == []


def test_tests_are_plain() -> None:
    assert len(suite()) > 200
    assert problems(suite()) == []


@pytest.mark.parametrize(
    "sentence",
    [
        "Each is at once true of the running gateway.",
        "Every ten minutes it is looked whether the log reaches from the last base backup to now.",
        "What is dropped is never passed over.",
        "an archive beside the disk it is to replace is none.",
        "a client that is sent elsewhere has already told its key",
        "Only keys that the kit or a `file:` holds can be rotated so.",
        "An image by its address: fetching it is the engine's.",
        "is none we install it on",
        "nobody is told of them",
        "nobody is here to ask",
        "It is done so that nobody notices.",
        "A limit of null means none in spite of the default.",
        "No certificate can be had from the server.",
        "For such a one rotate everything above.",
        "All pass. What a replica adds is measured.",
    ],
)
def test_twin_the_old_sentences_are_found(sentence: str) -> None:
    for text in (prose(sentence), comments(f"# {sentence}"), strings_and_comments(f'x = "{sentence}"\n')):
        assert [problem for words in text for problem in found_in(words)], sentence


@pytest.mark.parametrize(
    "sentence",
    [
        "What is in the archive? The manifest lists it.",
        "Nobody can probe for names.",
        "The engine must fetch image URLs.",
    ],
)
def test_twin_a_plain_sentence_passes(sentence: str) -> None:
    assert [problem for words in prose(sentence) for problem in found_in(words)] == []


def test_twin_words_of_tests_are_checked_and_their_data_is_not() -> None:
    source = '''def test_a_limit_in_spite_of_the_default() -> None:
    """What is kept is shown."""
    script = """
It is written anew.
"""
'''
    hits = [problem.partition(":")[0] for words in words_of_a_test(source) for problem in found_in(words)]
    assert hits == ["'What is kept is shown.'", "'in spite of'"]


RUNBOOKS = sorted(path for path in (ROOT / "docs" / "runbooks").glob("*.md") if path.name != "README.md")


@pytest.mark.parametrize("page", RUNBOOKS, ids=lambda page: page.stem)
def test_a_runbook_says_what_to_do_before_it_says_why(page: Path) -> None:
    sections = re.split(r"^## You see: ", page.read_text(), flags=re.MULTILINE)[1:]
    assert sections
    for section in sections:
        own = section.split("\n## ")[0]
        assert 0 < own.find("**Do.**") < own.find("**Why.**"), own.splitlines()[0]
