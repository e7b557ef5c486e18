"""The repository keeps its own promises: targets with help, a short README whose paths exist, pins, short modules."""

from __future__ import annotations

import ast
import re
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from dotenv import dotenv_values

from tollgate import __version__
from tollgate.config.env.settings import Settings
from tollgate.config.secret import Secret
from tollgate.site import Site

ROOT = Site.here().root
PACKAGE = ROOT / "src" / "tollgate"
MAX_README, MAX_MODULE = 110, 260
MAX_TEST_NAME = 70
# Spelt in two so that this file does not name them.
REGISTRY_HOSTS = [
    ".".join(parts)
    for parts in [
        ("deb", "debian", "org"),
        ("security", "debian", "org"),
        ("archive", "ubuntu", "com"),
        ("pypi", "org"),
        ("files", "pythonhosted", "org"),
        ("registry", "npmjs", "org"),
        ("registry", "yarnpkg", "com"),
    ]
]


def tracked() -> list[Path]:
    """The files that git tracks or would add, without files that are deleted at this moment."""
    command = ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split("\0")
    return [ROOT / name for name in names if name and (ROOT / name).is_file()]


def make(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["make", "-C", str(ROOT), *arguments], capture_output=True, text=True, check=False)


# ---- Makefile


def phony(makefile: str) -> set[str]:
    [names] = re.findall(r"^\.PHONY:((?:.*\\\n)*.*)$", makefile, re.MULTILINE)
    return set(names.replace("\\", " ").split())


def described(makefile: str) -> dict[str, str]:
    return dict(re.findall(r"^([a-z-]+):.*?## (.+)$", makefile, re.MULTILINE))


MAKEFILE = (ROOT / "Makefile").read_text()


def test_make_alone_lists_every_target_with_a_line_about_it() -> None:
    listed = make("--no-print-directory").stdout
    for name in phony(MAKEFILE) - {"help"}:
        assert re.search(rf"^  make {name} +\S+ \S+", listed, re.MULTILINE), f"`make` does not list {name}"
    assert phony(MAKEFILE) - {"help"} == described(MAKEFILE).keys()


def test_twin_a_target_without_help_would_be_seen() -> None:
    text = MAKEFILE.replace(".PHONY: deploy", ".PHONY: forgotten deploy")
    assert phony(text) - {"help"} - described(text).keys() == {"forgotten"}


@pytest.mark.parametrize("target", sorted(phony(MAKEFILE)))
def test_every_target_can_be_made(target: str) -> None:
    done = make("-n", target)
    assert done.returncode == 0, done.stderr


def test_twin_an_unknown_target_cannot() -> None:
    assert make("-n", "nonsense").returncode != 0


@pytest.mark.parametrize("target", sorted(phony(MAKEFILE)))
def test_what_a_target_calls_exists(target: str) -> None:
    for script in re.findall(r"\bscripts/[\w-]+\.sh", make("-n", target).stdout):
        path = ROOT / script
        assert path.is_file(), script
        assert path.stat().st_mode & 0o111, f"{script} cannot be executed"


def test_the_wishes_of_the_caller_reach_the_command() -> None:
    assert "tollgate clean --yes" in make("-n", "clean", "CONFIRM=yes").stdout
    assert "--yes" not in make("-n", "clean").stdout
    assert "tollgate logs litellm-1" in make("-n", "logs", "S=litellm-1").stdout
    assert "scripts/test.sh tests/unit" in make("-n", "test", "T=tests/unit").stdout


# ---- README and versions


def named_paths(text: str) -> Iterator[str]:
    """Paths a page links to, and those its map of the tree names in code."""
    yield from (link for link in re.findall(r"\]\(([^)#]+)\)", text) if "://" not in link)
    section = ""
    for row in re.findall(r"^\| (?:&nbsp;)*(`.+?`)[^|]*\|", text, re.MULTILINE):
        for path in re.findall(r"`([\w./-]+/)`", row):
            section = path if "&nbsp;" not in row else section
            yield path


def missing_paths(text: str) -> list[str]:
    """A name in the map may be below src/tollgate; secrets/ and var/ are made by a deploy."""
    places = (ROOT, PACKAGE)
    names = set(named_paths(text)) - {"secrets/", "var/"}
    return sorted(name for name in names if not any((place / name).exists() for place in places))


README = (ROOT / "README.md").read_text()


def test_the_readme_is_short() -> None:
    assert len(README.splitlines()) <= MAX_README


def test_every_path_the_readme_names_exists() -> None:
    assert len(set(named_paths(README))) > 15
    assert missing_paths(README) == []


def test_twin_a_path_that_is_gone_would_be_seen() -> None:
    assert missing_paths("see [x](docs/gone.md)\n| `gone/` | what |\n| `src/` | code |\n") == ["docs/gone.md", "gone/"]


def test_every_make_target_the_readme_names_exists() -> None:
    assert set(re.findall(r"(?:`|^)make ([a-z-]+)", README, re.MULTILINE)) <= phony(MAKEFILE)


def test_the_version_is_one() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    changelog = re.findall(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert (project, changelog[0]) == (__version__, __version__)


def test_env_example_has_every_setting_with_its_default() -> None:
    example = dotenv_values(ROOT / ".env.example", interpolate=False)
    fields = {str(field.alias): field for field in Settings.model_fields.values()}
    assert fields.keys() <= example.keys()
    assert {name for name in example if name not in fields} == {
        "ANTHROPIC_API_KEY",
        "OPENAI_API_KEY",
        "OPENROUTER_API_KEY",
    }
    for name, field in fields.items():
        empty = field.is_required() or field.default in (None, Secret(""))
        default = "" if empty else str(field.default)
        assert example[name] == (default.lower() if isinstance(field.default, bool) else default), name


# ---- what is pinned and where it comes from


def moving_tags(text: str) -> list[str]:
    """`image:latest` and similar references. A comment that mentions one does not count."""
    lines = [line.split("#", 1)[0] for line in text.splitlines()]
    return [line.strip() for line in lines if re.search(r":(latest|main|stable|edge|nightly)\b(?![\w./-])", line)]


@pytest.mark.parametrize("directory", ["compose", "images"])
def test_no_image_has_a_tag_that_moves(directory: str) -> None:
    files = [path for path in tracked() if path.is_relative_to(ROOT / directory) and path.suffix != ".json"]
    assert files
    assert {str(path): moving_tags(path.read_text()) for path in files if moving_tags(path.read_text())} == {}


def test_twin_a_moving_tag_would_be_seen() -> None:
    assert moving_tags("image: redis:latest\nFROM debian:stable AS x\nimage: redis:8.10.2 # not redis:latest\n") == [
        "image: redis:latest",
        "FROM debian:stable AS x",
    ]


def test_no_file_names_the_host_of_a_package_registry() -> None:
    """Mirrors and proxies are the operator's choice, and a lock file must install from any of them."""
    found = [
        f"{path.relative_to(ROOT)}: {host}"
        for path in tracked()
        for host in REGISTRY_HOSTS
        if host.encode() in path.read_bytes()
    ]
    assert found == []


# ---- source


def sources() -> list[Path]:
    """The modules of the operator's package and of the client package."""
    return [*PACKAGE.rglob("*.py"), *(ROOT / "client").rglob("*.py")]


def test_no_module_is_longer_than_a_person_reads_at_once() -> None:
    lengths = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in sources()}
    assert len(lengths) > 50
    assert {name: length for name, length in lengths.items() if length > MAX_MODULE} == {}


def test_every_package_and_module_says_what_it_is_for() -> None:
    silent = [str(path.relative_to(ROOT)) for path in sources() if not ast.get_docstring(ast.parse(path.read_text()))]
    assert silent == []


def test_every_folder_of_modules_is_a_package() -> None:
    folders = {path.parent for path in PACKAGE.rglob("*.py")}
    assert [str(folder) for folder in folders if not (folder / "__init__.py").exists()] == []


@pytest.mark.parametrize("script", sorted((ROOT / "scripts").glob("*.sh")), ids=lambda path: path.name)
def test_scripts_are_thin_and_stop_at_an_error(script: Path) -> None:
    lines = script.read_text().splitlines()
    assert len(lines) <= 100
    assert lines[0] == "#!/usr/bin/env bash"
    assert lines[1].startswith("# ")
    assert "set -euo pipefail" in lines


# ---- tests


def long_names(source: str) -> list[str]:
    return [
        name for name in re.findall(r"^ *(?:async )?def (test_\w+)", source, re.MULTILINE) if len(name) > MAX_TEST_NAME
    ]


def test_no_test_has_a_name_that_a_report_would_cut() -> None:
    files = sorted((ROOT / "tests").rglob("test_*.py"))
    assert len(files) > 100
    assert {
        str(file.relative_to(ROOT)): long_names(file.read_text()) for file in files if long_names(file.read_text())
    } == {}


def test_twin_a_long_name_would_be_seen() -> None:
    assert long_names(f"def test_{'x' * 66}() -> None: ...\ndef test_short() -> None: ...\n") == [f"test_{'x' * 66}"]
