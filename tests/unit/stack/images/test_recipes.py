"""A local image's name: the same inputs give the same name, and each changed input gives another."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from tollgate.site import Site
from tollgate.stack.images.recipes import OURS, RECIPES, TOLLGATE_RECIPE, Recipe, pack, prepare
from tollgate.stack.images.versions import load

RECIPE = Recipe(
    "thing", "THING", (("images/thing", "."), ("src/pkg", "src/pkg")), ("THING", "OTHER"), without=("src/pkg/cli",)
)
PINS = {"THING": "1.2", "OTHER": "3"}


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    for name in ("images/thing/Dockerfile", "images/thing/run.sh", "src/pkg/a.py", "src/pkg/cli/b.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    return tmp_path


def tag(root: Path, pins: dict[str, str] = PINS, base: str = "base:1", recipe: Recipe = RECIPE) -> str:
    return prepare(recipe, root, pins, base, {}).tag


def test_the_name_contains_image_version_and_hash(checkout: Path) -> None:
    name, version_and_hash = tag(checkout).split(":")
    assert name == "tollgate/thing"
    assert version_and_hash.startswith("1.2-")
    assert len(version_and_hash.removeprefix("1.2-")) == 12


def test_the_same_inputs_give_the_same_name(checkout: Path) -> None:
    before = tag(checkout)
    (checkout / "images/thing/Dockerfile").touch()  # a newer date is not a change
    (checkout / "images/thing/__pycache__").mkdir()
    (checkout / "images/thing/__pycache__/run.pyc").write_text("compiled")
    (checkout / "src/pkg/cli/b.py").write_text("left out")
    assert tag(checkout) == before
    assert tag(checkout, {**PINS, "UNUSED": "9"}) == before


@pytest.mark.parametrize("changed", ["content", "added", "renamed", "mode", "source", "pin", "base", "target"])
def test_each_changed_input_gives_another_name(checkout: Path, changed: str) -> None:
    before = tag(checkout)
    pins, base, recipe = dict(PINS), "base:1", RECIPE
    context = checkout / "images/thing"
    match changed:
        case "content":
            (context / "run.sh").write_text("changed")
        case "added":
            (context / "new").write_text("")
        case "renamed":
            (context / "run.sh").rename(context / "start.sh")
        case "mode":
            (context / "run.sh").chmod(0o755)
        case "source":
            (checkout / "src/pkg/a.py").write_text("changed")
        case "pin":
            pins["OTHER"] = "4"
        case "base":
            base = "base:2"
        case "target":
            recipe = Recipe(**{**RECIPE.__dict__, "target": "part"})
    assert tag(checkout, pins, base, recipe) != before


def test_the_mirror_does_not_change_the_name(checkout: Path) -> None:
    mirrored = prepare(RECIPE, checkout, PINS, "base:1", {"DEBIAN_MIRROR": "http://mirror/debian"})
    assert mirrored.tag == tag(checkout)
    assert mirrored.arguments["DEBIAN_MIRROR"] == "http://mirror/debian"


def test_the_context_contains_the_files_of_the_recipe(checkout: Path) -> None:
    with tarfile.open(fileobj=io.BytesIO(pack(RECIPE, checkout, {}))) as tar:
        assert tar.getnames() == ["Dockerfile", "run.sh", "src/pkg/a.py"]


def test_every_shipped_recipe_has_its_files_and_pins() -> None:
    root = Site.here().root
    pins = load(root / "images" / "versions.env").pins
    for recipe in (*RECIPES.values(), *OURS.values()):
        with tarfile.open(fileobj=io.BytesIO(prepare(recipe, root, pins, "base:1", {}).context)) as tar:
            dockerfile = tar.extractfile("Dockerfile")
            assert dockerfile is not None
            text = dockerfile.read().decode()
        unused = [pin for pin in recipe.pins if f"ARG {pin}" not in text and recipe is not TOLLGATE_RECIPE]
        assert not unused, f"{recipe.name}: pins the Dockerfile does not use: {unused}"
        assert not recipe.target or f"AS {recipe.target}\n" in text, f"{recipe.name}: no such target"


def test_our_own_image_contains_the_services_without_the_cli() -> None:
    with tarfile.open(fileobj=io.BytesIO(pack(TOLLGATE_RECIPE, Site.here().root, {}))) as tar:
        names = tar.getnames()
    assert any(name.startswith("src/tollgate/services/") for name in names)
    assert not [name for name in names if name.startswith(("src/tollgate/cli/", "src/tollgate/stack/"))]
