"""`tollgate rotate-keys` without a gateway: its arguments and its refusals."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from tests.support.cli import Run, tollgate
from tests.support.site import new_home
from tollgate.cli.rotate_keys import duration
from tollgate.errors import TollgateError
from tollgate.site import Site
from tollgate.stack.tenants.key_file import NEXT


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return new_home(tmp_path / "home")


def rotate(site: Site, *words: str, typed: str = "") -> Run:
    return tollgate(site, "rotate-keys", *words, typed=typed)


@pytest.mark.parametrize(
    ("text", "length"),
    [
        ("90s", timedelta(seconds=90)),
        ("30m", timedelta(minutes=30)),
        ("24h", timedelta(days=1)),
        ("90d", timedelta(days=90)),
    ],
)
def test_a_grace_is_a_number_and_a_unit(text: str, length: timedelta) -> None:
    assert duration(text) == length


@pytest.mark.parametrize("text", ["", "24", "h", "-1h", "1.5h", "1 h", "0s", "91d", "99999999d", "1w", "٣h"])
def test_any_other_grace_is_refused(text: str) -> None:
    with pytest.raises(TollgateError, match="--grace: expected"):
        duration(text)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "expected a tenant, found none\nhint:  rotate-keys TENANT, or --all"),
        (["exampel"], "did you mean example?"),
        (["example", "--key", "alice"], "example has no key 'alice'"),
        (["example", "--all", "--key", "alice"], "--key and --all exclude each other"),
        (["example", "--grace", "soon"], "--grace: expected a number with s, m, h or d, found 'soon'"),
        (["example"], "nothing was rotated: nothing is deployed here yet"),
    ],
)
def test_an_impossible_rotation_is_refused(site: Site, words: list[str], message: str) -> None:
    done = rotate(site, *words)
    assert (done.code, done.out) == (1, "")
    assert message in done.err
    assert not site.secrets_dir.exists(), "no key was made"


@pytest.mark.parametrize("words", [["--all"], ["example", "--revoke-now"]])
def test_all_and_revoke_now_ask_first(site: Site, words: list[str]) -> None:
    done = rotate(site, *words, typed="n\n")
    assert done.code == 1 and "Continue?" in done.out


def test_show_reports_an_interrupted_rotation(site: Site) -> None:
    directory = site.secrets_dir / "tenants"
    directory.mkdir(parents=True)
    (directory / "example").write_text("sk-0123456789abcdef")
    assert "interrupted" not in tollgate(site, "tenant", "show", "example").out
    (directory / f"example{NEXT}").write_text("sk-fedcba9876543210")
    assert "scripts/rotate-keys.sh example --key default" in tollgate(site, "tenant", "show", "example").out
