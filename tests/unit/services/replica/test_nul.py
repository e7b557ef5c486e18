"""NUL in JSON text becomes the replacement character; the same letters after an escaped backslash stay."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tollgate.services.replica.nul import without_nul

PIECES = st.sampled_from(["\0", "\\", "u", "0000", '"', "\n", "\x01", "a", "\ufffd"])
TEXTS = st.lists(PIECES, max_size=40).map("".join)


@given(st.lists(TEXTS, max_size=4))
def test_each_nul_is_replaced_and_nothing_else(texts: list[str]) -> None:
    assert json.loads(without_nul(json.dumps(texts))) == [text.replace("\0", "\ufffd") for text in texts]


@pytest.mark.parametrize("text", ["\\u0000", "\\\\u0000", "u0000", ""])
def test_twin_letters_that_look_like_nul_stay(text: str) -> None:
    assert without_nul(json.dumps(text)) == json.dumps(text)
