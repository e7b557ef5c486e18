"""`tollgate scale`: which lines of .env it writes before the deploy, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.support.site import new_home
from tollgate.cli.app import app
from tollgate.errors import InputError, TollgateError
from tollgate.site import Site


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    for name in ("REPLICAS", "GATEWAYS"):
        monkeypatch.delenv(name, raising=False)
    return new_home(tmp_path / "home", "REPLICAS=3", "GATEWAYS=")


@pytest.fixture
def deployed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The lines of .env at each deploy, in place of the deploy itself."""
    seen: list[str] = []

    def deploy(site: Site, *, as_json: bool) -> None:
        seen.append(site.env_file.read_text())

    monkeypatch.setattr("tollgate.cli.deploy._run", deploy)
    return seen


def scale(site: Site, *words: str) -> None:
    CliRunner().invoke(app, ["--home", str(site.home), "scale", *words], catch_exceptions=False)


@pytest.mark.parametrize(
    ("words", "lines"),
    [
        (["5"], ["REPLICAS=5", "GATEWAYS="]),
        (["--gateways", "3"], ["REPLICAS=3", "GATEWAYS=3"]),
        (["--gateways", "0"], ["REPLICAS=3", "GATEWAYS=0"]),
        (["2", "--gateways", "4", "--json"], ["REPLICAS=2", "GATEWAYS=4"]),
    ],
)
def test_the_numbers_are_in_env_when_the_deploy_begins(
    site: Site, deployed: list[str], words: list[str], lines: list[str]
) -> None:
    scale(site, *words)
    [env] = deployed
    assert env.splitlines()[-2:] == lines


@pytest.mark.parametrize(
    ("words", "names"),
    [(["0", "--gateways", "3"], ["REPLICAS"]), (["33", "--gateways", "17"], ["REPLICAS", "GATEWAYS"])],
)
def test_twin_a_number_that_cannot_be_changes_nothing(
    site: Site, deployed: list[str], words: list[str], names: list[str]
) -> None:
    before = site.env_file.read_text()
    with pytest.raises(InputError) as refused:
        scale(site, *words)
    assert [problem.path for problem in refused.value.problems] == names
    assert (site.env_file.read_text(), deployed) == (before, [])


def test_without_a_number_it_says_what_to_type(site: Site, deployed: list[str]) -> None:
    with pytest.raises(TollgateError, match="expected the number of replicas or of gateway processes") as refused:
        scale(site)
    assert "tollgate scale --gateways 3" in refused.value.hint
    assert deployed == []


def test_a_number_in_the_environment_that_would_win_is_refused(
    site: Site, deployed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GATEWAYS", "2")
    before = site.env_file.read_text()
    with pytest.raises(TollgateError, match=r"the environment of this command has GATEWAYS=2") as refused:
        scale(site, "5", "--gateways", "3")
    assert "unset GATEWAYS" in refused.value.hint
    assert (site.env_file.read_text(), deployed) == (before, [])


def test_twin_the_same_number_in_the_environment_is_fine(
    site: Site, deployed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`make scale GATEWAYS=3` sets it for the command too."""
    monkeypatch.setenv("GATEWAYS", "3")
    monkeypatch.setenv("IMAGE_SOURCE", "local")
    scale(site, "--gateways", "3")
    assert "GATEWAYS=3" in deployed[0]
