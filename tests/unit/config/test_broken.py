"""Every broken file under tests/fixtures/broken gives exactly the message beside it; UPDATE_GOLDEN=1 rewrites them."""

from __future__ import annotations

import ast
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tollgate.config.env import settings as env
from tollgate.config.gateway import load as gateway
from tollgate.config.gateway.model_names import ModelNames
from tollgate.config.tenant import load as tenants
from tollgate.config.yaml.text import read
from tollgate.errors import InputError

BROKEN = Path(__file__).parents[2] / "fixtures" / "broken"
CONFIG = Path(__file__).parents[3] / "src" / "tollgate" / "config"
FILES = sorted(path for path in BROKEN.glob("*/*") if path.suffix in (".yaml", ".env") or path.is_dir())
NAMES = ModelNames(frozenset({"test-model", "large"}), {"big": "large"}, {"coding": ("big", "test-model")})

# Messages about the file system or about size; config/yaml/test_document.py and config/tenant/test_security.py make
# files for them.
NOT_A_FIXTURE = (
    "no such file",
    "cannot be read: ",
    "expected at most 1 MiB",
    "expected UTF-8 text",
    "not YAML: ",
    "a symbolic link ",
    "the same file as ",
    "expected a file",
    # Of a certificate, which has a date: config/env/test_certificate.py makes them.
    "has no readable certificate",
    "has no readable private key",
    "is encrypted with a passphrase",
    "is not the key of",
    "expired on ",
    "is not valid before ",
)
# Said, but nothing is refused for it; test_tenants.py.
WARNINGS = ("a key in a committed file is not secret",)


def _load(path: Path) -> object:
    if path.is_dir():
        return tenants.load(path, NAMES)
    name = Path(path.name)
    if path.parent.name == "gateway":
        return gateway.parse(read(path), name)
    if path.parent.name == "env":
        return env.parse(read(path), name)
    tenant = tenants.parse(read(path), name, names=NAMES)
    problems = tenants.check([tenant], NAMES)
    if problems:
        raise InputError(problems)
    return tenant


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_a_broken_file_is_refused_with_the_whole_message(path: Path) -> None:
    with pytest.raises(InputError) as caught:
        _load(path)
    message = str(caught.value).replace(f"{path}/", "") + "\n"
    expected = path.with_suffix(".expected")
    if os.environ.get("UPDATE_GOLDEN"):
        expected.write_text(message)
    assert message == expected.read_text()


def test_no_message_is_left_without_its_broken_file() -> None:
    names = {path.with_suffix("").name for path in FILES}
    assert {path.stem for path in BROKEN.glob("*/*.expected")} == names


def test_every_rule_has_a_broken_file() -> None:
    seen = [path.read_text() for path in BROKEN.glob("*/*.expected")]
    rules = {rule for module in sorted(CONFIG.rglob("*.py")) for rule in _rules(module)}
    assert len(rules) > 50, "the rules are no longer found in the source: mend _rules"
    unseen = [rule for rule in sorted(rules) if not any(all(part in text for part in rule) for text in seen)]
    assert [rule for rule in unseen if not "".join(rule).startswith(NOT_A_FIXTURE + WARNINGS)] == []


def test_the_search_for_rules_misses_none() -> None:
    """The twin that must fail: a rule nobody broke is reported."""
    seen = "error: x.yaml:1: burst: expected a whole number, found 'a'"
    rule = next(iter(_rules_in('Problem(file, 1, "", f"made up rule {x} here")')))
    assert rule == ("made up rule ", " here")
    assert not all(part in seen for part in rule)


def _rules(module: Path) -> Iterator[tuple[str, ...]]:
    yield from _rules_in(module.read_text())


def _rules_in(source: str) -> Iterator[tuple[str, ...]]:
    """The constant parts of every message that a Problem or a ValueError of `source` can carry."""
    position = {"Problem": 3, "problem": 1, "_problem": 2, "ValueError": 0}
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            index = position.get(name)
            if index is not None and len(node.args) > index:
                yield from _texts(node.args[index])
        elif isinstance(node, ast.Assign) and any(getattr(goal, "id", "") == "message" for goal in node.targets):
            yield from _texts(node.value)


def _texts(node: ast.expr) -> Iterator[tuple[str, ...]]:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield (node.value.partition("\n")[0],)
    elif isinstance(node, ast.JoinedStr):
        constants = [part.value for part in node.values if isinstance(part, ast.Constant)]
        before_hint = "\0".join(str(constant) for constant in constants).partition("\n")[0]
        parts = tuple(part for part in before_hint.split("\0") if part.strip())
        if parts:
            yield parts
