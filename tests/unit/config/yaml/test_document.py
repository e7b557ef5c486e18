"""The YAML loader: values, lines, and nothing but InputError whatever the text."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tollgate.config.env import settings as env
from tollgate.config.gateway import load as gateway
from tollgate.config.tenant import load as tenants
from tollgate.config.yaml import document as source
from tollgate.config.yaml import text
from tollgate.errors import InputError

FILE = Path("x.yaml")


def _messages(body: str) -> list[str]:
    with pytest.raises(InputError) as caught:
        source.parse(body, FILE)
    return [f"{problem.line} {problem.path} {problem.message}" for problem in caught.value.problems]


def test_values_are_plain_and_each_has_its_line() -> None:
    document = source.parse("a: 1\nb:\n  - x\n  - {c: 0x10, d: 1_000}\n\ne: ~\nf: 1.5\ng: true\nh: 2026-01-02\n", FILE)
    assert document.data == {
        "a": 1,
        "b": ["x", {"c": 16, "d": 1000}],
        "e": None,
        "f": 1.5,
        "g": True,
        "h": "2026-01-02",
    }
    assert [document.line(loc) for loc in [("a",), ("b", 1), ("b", 1, "d"), ("e",)]] == [1, 4, 4, 6]


def test_a_missing_key_is_reported_where_it_should_stand() -> None:
    document = source.parse("a: 1\nb:\n  c: 2\n", FILE)
    assert document.problem(("b", "d"), "missing").line == 2


@pytest.mark.parametrize("word", ["yes", "no", "on", "off", "010x", "1:30", "Norway"])
def test_words_stay_words(word: str) -> None:
    assert source.parse(f"a: {word}\n", FILE).data == {"a": word}


def test_anchors_and_merge_keys_work_and_own_values_win() -> None:
    body = "x-base: &base {a: 1, b: 1}\nc:\n  <<: *base\n  b: 2\nd:\n  <<: [{a: 3}, *base]\n"
    data = source.parse(body, FILE).data
    assert data["c"] == {"a": 1, "b": 2}
    assert data["d"] == {"a": 3, "b": 1}


def test_an_empty_file_is_an_empty_mapping() -> None:
    assert source.parse("# nothing\n", FILE).data == {}


def test_all_duplicates_are_found_not_only_the_first() -> None:
    found = _messages("a: 1\na: 2\nb: {c: 1, c: 2}\n")
    assert found == ["2 a duplicate key, first on line 1", "3 b.c duplicate key, first on line 3"]


def test_a_bomb_of_aliases_costs_little() -> None:
    levels = "".join(f"x{n}: &x{n} [{', '.join([f'*x{n - 1}'] * 9)}]\n" for n in range(1, 40))
    assert "more than 50000 values" in _messages(f"x0: &x0 [lol]\n{levels}")[0]


def test_the_limit_on_values_leaves_honest_files_alone() -> None:
    assert len(source.parse("".join(f"k{n}: {n}\n" for n in range(5000)), FILE).data) == 5000


def test_a_file_that_is_too_large_is_not_parsed(tmp_path: Path) -> None:
    file = tmp_path / "big.yaml"
    file.write_text("a: b\n" + "#" * text.MAX_BYTES)
    with pytest.raises(InputError, match="at most 1 MiB"):
        text.read(file)
    with pytest.raises(InputError, match="at most 1 MiB"):
        source.parse(file.read_text(), file)


def test_a_file_that_just_fits_is_read(tmp_path: Path) -> None:
    file = tmp_path / "fits.yaml"
    file.write_text("#" * text.MAX_BYTES)
    assert len(text.read(file)) == text.MAX_BYTES


def test_a_missing_file_a_directory_and_other_encodings_are_problems(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        text.read(tmp_path / "none.yaml")
    with pytest.raises(InputError, match="cannot be read"):
        text.read(tmp_path)
    latin = tmp_path / "latin.yaml"
    latin.write_bytes(b"a: 1\nb: caf\xe9\n")
    with pytest.raises(InputError, match=r"latin.yaml:2: expected UTF-8"):
        text.read(latin)


TEXTS = st.one_of(
    st.text(max_size=200),
    st.text(alphabet=" \n\t:-[]{}&*!|>'\"%@`#,?~<abc019.=$", max_size=200),
    st.lists(
        st.sampled_from(["models:", "  a:", "tenant:", "  id: x", "- b", "? [c]", "<<: *d", "&d", "{", "}", "A=1"]),
        max_size=20,
    ).map("\n".join),
)


@settings(max_examples=200, deadline=None)
@given(TEXTS)
@example("? - a\n: b")
@example("a: !!binary 4")
@example("a: !!float x")
@example("a: !!int ''")
@example("a: .")
@example("%YAML 9.9\n---\na: b")
@example("--- a\n--- b")
@example("a: 0x")
@example("a: \ud800")
@example("&0\n<<: *0")
@example("&0{&0")
def test_any_text_gives_a_value_or_problems_with_a_place(body: str) -> None:
    for parse in (source.parse, gateway.parse, tenants.parse, env.parse):
        try:
            parse(body, FILE)
        except InputError as error:
            assert error.problems
            lines = body.count("\n") + 2
            assert all(problem.file == FILE and 0 <= problem.line <= lines for problem in error.problems)
