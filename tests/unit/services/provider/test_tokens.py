"""Pieces, count and cut agree for every text."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from tollgate.services.provider import tokens

# Few letters of every UTF-8 length, so that cuts hit them at every offset.
texts = st.text(alphabet="aé€😀 ", max_size=60) | st.text(max_size=60)


@settings(deadline=None)
@given(texts)
def test_pieces_join_to_the_text_and_each_is_one_token(text: str) -> None:
    pieces = list(tokens.pieces(text))
    assert "".join(pieces) == text
    assert len(pieces) == tokens.count(text)
    assert all(pieces)


@settings(deadline=None)
@given(texts, st.integers(0, 70))
def test_a_cut_has_the_first_pieces_and_their_tokens(text: str, limit: int) -> None:
    short = tokens.cut(text, limit)
    assert short == "".join(list(tokens.pieces(text))[:limit])
    assert tokens.count(short) == min(limit, tokens.count(text))


def test_the_counting_rule() -> None:
    assert [tokens.count(text) for text in ("", "a", "abcd", "abcde", "€€")] == [0, 1, 1, 2, 2]
    assert tokens.count_json({"a": [1, "é"]}) == tokens.count('{"a":[1,"é"]}')


def test_twin_cutting_at_characters_instead_of_bytes_disagrees() -> None:
    text = "€uro"
    wrong = [text[at : at + 4] for at in range(0, len(text), 4)]
    assert len(wrong) != tokens.count(text)
