"""Counting and cutting: whatever the text, pieces, count and cut agree."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from tollgate.services.provider import tokens

# Few letters of every length in UTF-8, so that cuts meet them at every offset.
texts = st.text(alphabet="aé€😀 ", max_size=60) | st.text(max_size=60)


@settings(deadline=None)
@given(texts)
def test_pieces_join_to_the_text_and_are_as_many_as_its_tokens(text: str) -> None:
    pieces = list(tokens.pieces(text))
    assert "".join(pieces) == text
    assert len(pieces) == tokens.count(text)
    assert all(pieces)


@settings(deadline=None)
@given(texts, st.integers(0, 70))
def test_a_cut_is_the_first_pieces_and_counts_as_many(text: str, limit: int) -> None:
    short = tokens.cut(text, limit)
    assert short == "".join(list(tokens.pieces(text))[:limit])
    assert tokens.count(short) == min(limit, tokens.count(text))


def test_the_rule() -> None:
    assert [tokens.count(text) for text in ("", "a", "abcd", "abcde", "€€")] == [0, 1, 1, 2, 2]
    assert tokens.count_json({"a": [1, "é"]}) == tokens.count('{"a":[1,"é"]}')


def test_twin_cutting_at_characters_instead_of_bytes_disagrees() -> None:
    text = "€uro"
    wrong = [text[at : at + 4] for at in range(0, len(text), 4)]
    assert len(wrong) != tokens.count(text)
