"""`tollgate why` refuses what is no request id, before it asks Docker."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.cli import tollgate
from tests.support.site import new_home

KEY = "sk-0123456789abcdef0123456789abcdef"


@pytest.mark.parametrize("given", ["a b", "'; DROP TABLE x", "a" * 129, KEY])
def test_what_is_no_request_id_is_refused_and_not_repeated(tmp_path: Path, given: str) -> None:
    done = tollgate(new_home(tmp_path / "home"), "why", "--", given)
    assert done.code == 1
    assert "expected a request id" in done.err
    assert "hint:" in done.err
    assert given not in done.err


def test_before_the_first_deploy_it_says_so(tmp_path: Path) -> None:
    done = tollgate(new_home(tmp_path / "home"), "why", "id-1")
    assert (done.code, "nothing is deployed here yet" in done.err) == (1, True)
