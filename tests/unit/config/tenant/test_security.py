"""Hostile tenant files: each is refused with a message a person can read, and nothing is written anywhere."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.support.site import new_home
from tollgate.config.gateway.model_names import ModelNames
from tollgate.config.tenant import load as tenants
from tollgate.config.tenant.model import Tenant
from tollgate.errors import InputError, Problem
from tollgate.site import Site

ROOT = Site.here().root
NAMES = ModelNames(frozenset({"test-model", "large"}), {"big": "large"}, {"coding": ("big", "test-model")})
HEAD = "tenant:\n  id: acme\n"
CYRILLIC = "\u0430"  # looks like a
MIB = 1024 * 1024


def identity(text: str) -> str:
    return f"tenant:\n  id: {text}\n"


def key(text: str) -> str:
    return f"{HEAD}  api_key: {text}\n"


BOMB = "x0: &x0 [lol]\n" + "".join(f"x{n}: &x{n} [{', '.join([f'*x{n - 1}'] * 9)}]\n" for n in range(1, 40))

# name: (text, what the first message says)
HOSTILE: dict[str, tuple[str, str]] = {
    "id with a quote": (identity('"a\'b"'), "lower-case letters"),
    "id with SQL": (identity('"a\'; drop table x; --"'), "lower-case letters"),
    "id with a shell": (identity('"$(id)"'), "lower-case letters"),
    "id with a path": (identity("../../etc/cron"), "lower-case letters"),
    "id with a line break": (identity('"acme\\nb"'), "lower-case letters"),
    "id that ends in one": (identity('"acme\\n"'), "lower-case letters"),
    "id with NUL": (identity('"acme\\0"'), "U+0000"),
    "id that looks alike": (identity(f"{CYRILLIC}cme"), "\\u0430cme"),
    "id with a wide letter": (identity("\uff41cme"), "\\uff41cme"),
    "field that looks alike": (f"ten{CYRILLIC}nt:\n  id: acme\n", "ten\\u0430nt: unknown key"),
    "model that looks alike": (f"{HEAD}allowed_models: [l{CYRILLIC}rge]\n", "unknown model 'l\\u0430rge'"),
    "group that looks alike": (f"{HEAD}allowed_models: ['group:{CYRILLIC}']\n", "unknown group '\\u0430'"),
    "key name that looks alike": (f"{HEAD}keys: [{{name: {CYRILLIC}lice}}]\n", "\\u0430lice"),
    "key name with a path": (f"{HEAD}keys: [{{name: a/../../b}}]\n", "lower-case letters"),
    "key name with a dot": (f"{HEAD}keys: [{{name: a.b}}]\n", "lower-case letters"),
    "name of two lines": (f'{HEAD}  name: "a\\nerror: all is well"\n', "one line of text"),
    "name with an escape sequence": (f'{HEAD}  name: "\\e[2J"\n', "U+001B"),
    "name that runs backwards": (f'{HEAD}  name: "\\u202Egnp"\n', "U+202E"),
    "text that runs backwards": (f"{HEAD}  name: \u202egnp\n", "U+202E"),
    "name without width": (f"{HEAD}  name: ac\u200bme\n", "U+200B"),
    "bell": (f"{HEAD}  name: \u0007\n", "U+0007"),
    "owner with markup": (f"{HEAD}  owner: '<b>@example.org'\n", "e-mail address"),
    "key from above": (key("file:../../etc/shadow"), "below the checkout"),
    "key from above, later": (key("file:secrets/../../x"), "below the checkout"),
    "key from the root": (key("file:/etc/shadow"), "below the checkout"),
    "key from a home": (key("file:~/.ssh/id_rsa"), "below the checkout"),
    "key from a variable of a shell": (key("env:A;id"), "name of a variable"),
    "key with a line break": (key('"sk-0123456789abc\\nX: y"'), "letters, digits"),
    "bomb": (BOMB, "more than 50000 values"),
    "many values": (f"{HEAD}metadata: [{'a,' * 200_000}]\n", "more than 100000 keys and values"),
    "deep list": ("[" * 500_000, "nested deeper than 32"),
    "deep mapping": ("{a: " * 100_000, "nested deeper than 32"),
    "deep block": ("- " * 500_000, "nested deeper than 32"),
    "deep keys": ("? " * 500_000, "nested deeper than 32"),
    "a megabyte of name": (f"{HEAD}  name: {'x' * 900_000}\n", "at most 200 characters"),
    "a megabyte of key": (f"{HEAD}? {'x' * 900_000}\n: 1\n", "unknown key"),
    "more than a megabyte": (f"{HEAD}#{'x' * MIB}\n", "at most 1 MiB"),
    "a digit too many": (f"{HEAD}metadata: {{a: {2**63}}}\n", "not a number"),
    "a million digits": (f"{HEAD}metadata: {{a: {'9' * 1_000_000}}}\n", "not a number"),
    "infinity": (f"{HEAD}budget: {{daily_limit: .inf}}\n", "not a number"),
    "too large to be finite": (f"{HEAD}budget: {{daily_limit: 1e999}}\n", "not a number"),
    "not a number": (f"{HEAD}budget: {{daily_limit: .nan}}\n", "not a number"),
    "limit as text": (f"{HEAD}budget: {{daily_limit: '1'}}\n", "expected a number, found '1'"),
    "limit as true": (f"{HEAD}budget: {{daily_limit: true}}\n", "expected a number, found true"),
    "python object": (f"{HEAD}metadata: !!python/object/apply:os.system [id]\n", "unexpected tag python"),
    "own tag": (f"{HEAD}metadata: !x {{}}\n", "unexpected tag !x"),
    "binary": (f"{HEAD}metadata: {{a: !!binary aGk=}}\n", "unexpected tag binary"),
    "set": (f"{HEAD}metadata: !!set {{a, b}}\n", "unexpected tag set"),
    "wrong word for a truth": (f"{HEAD}suspended: !!bool maybe\n", "unexpected tag bool"),
    "one key twice": (f"{HEAD}suspended: true\nsuspended: false\n", "duplicate key, first on line 3"),
    "one key twice, spelt with an escape": (f'{HEAD}suspended: true\n"s\\u0075spended": false\n', "duplicate key"),
    "merge of text": (f"{HEAD}metadata:\n  <<: text\n", "expected a mapping after <<"),
    "merge of itself": (f"{HEAD}metadata: &a\n  <<: *a\n", "an alias may not contain itself"),
    "alias of itself": (f"{HEAD}metadata: &a [*a]\n", "an alias may not contain itself"),
    "two documents": (f"{HEAD}---\n{HEAD}", "not YAML"),
    "tab": ("tenant:\n\tid: acme\n", "found a tab"),
    "variable of a shell": (key("${HOME}"), "variables are not expanded"),
    "variable of LiteLLM": (f"{HEAD}metadata: {{a: os.environ/LITELLM_MASTER_KEY}}\n", "variables are not expanded"),
    "variable in a key": (f"{HEAD}metadata: {{'${{HOME}}': 1}}\n", "variables are not expanded"),
    "nothing": ("", "required key is missing"),
    "a list": ("- tenant\n", "expected keys and values"),
}


def everything(home: Path) -> Iterator[tuple[str, int, int]]:
    for path in sorted(home.rglob("*")):
        found = path.lstat()
        yield str(path), found.st_mtime_ns, found.st_size


def refused(directory: Path) -> list[Problem]:
    """The problems of a directory that holds nothing else, each of them fit to be shown."""
    before = list(everything(directory))
    with pytest.raises(InputError) as caught:
        tenants.load(directory, NAMES)
    assert list(everything(directory)) == before
    for problem in caught.value.problems:
        for line in str(problem).splitlines():
            assert len(line) < 600
            assert line.isprintable()
        assert str(problem).count("\n") <= 1, "a file can make a message look like another"
    return caught.value.problems


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_is_refused_in_so_many_words(name: str, tmp_path: Path) -> None:
    text, said = HOSTILE[name]
    (tmp_path / "acme.yaml").write_bytes(text.encode())
    assert any(said in str(problem) for problem in refused(tmp_path)), refused(tmp_path)[0]


@pytest.mark.parametrize("raw", [b"\xff\xfe", b"tenant: {id: \xe9}\n", HEAD.encode("utf-16"), b"a: \xed\xa0\x80\n"])
def test_other_encodings_are_refused(raw: bytes, tmp_path: Path) -> None:
    (tmp_path / "acme.yaml").write_bytes(raw)
    assert "expected UTF-8" in refused(tmp_path)[0].message


def test_twin_what_is_unusual_and_harmless_loads(tmp_path: Path) -> None:
    """Quotes and other letters are somebody's name; anchors and merges are YAML."""
    name = 'O\'Brien & "Söhne" <日本>; drop table'
    (tmp_path / "acme.yaml").write_text(
        f"x-limits: &limits {{daily_limit: 5}}\n{HEAD}  name: {json.dumps(name)}\n"
        "budget:\n  <<: *limits\n  monthly_limit: 50\nmetadata: {größe: '\\', line: \"a\\nb\"}\n"
    )
    (acme,) = tenants.load(tmp_path, NAMES)
    assert (acme.tenant.name, acme.budget.daily_limit, acme.metadata["line"]) == (name, 5, "a\nb")


@pytest.mark.parametrize("name", ["a\nerror: b.yaml", "a;id", "a b", "ACME", "é"])
def test_a_file_name_that_is_no_id_is_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / f"{name}.yaml").write_text(HEAD)
    assert "expected the file's name" in refused(tmp_path)[0].message


def test_a_pipe_in_place_of_a_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "acme.yaml")
    (tmp_path / "beta.yaml").mkdir()
    assert [problem.message for problem in refused(tmp_path)] == ["expected a file"] * 2


@pytest.mark.parametrize("target", ["/etc/passwd", "../acme.yaml", "/nowhere", "/dev/zero"])
def test_a_link_that_leads_out_is_not_followed(target: str, tmp_path: Path) -> None:
    (tmp_path / "acme.yaml").write_text(HEAD)
    directory = tmp_path / "tenants"
    directory.mkdir()
    for name in ("acme.yaml", "_defaults.yaml"):
        (directory / name).symlink_to(target)
        messages = {problem.file.name: problem.message for problem in refused(directory)}
        assert messages[name] == "a symbolic link that leads out of its directory"


def test_a_link_in_a_circle_is_a_problem_like_another(tmp_path: Path) -> None:
    (tmp_path / "acme.yaml").symlink_to("acme.yaml")
    assert refused(tmp_path)[0].file.name == "acme.yaml"


# ---- the command line


def tollgate(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tollgate", "--home", str(home), *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120, check=False)


def test_plan_tells_all_hostile_files_at_once_and_writes_nothing(tmp_path: Path) -> None:
    home = new_home(tmp_path / "home").home
    for number, (text, _) in enumerate(HOSTILE.values()):
        (home / "tenants" / f"t{number}.yaml").write_bytes(text.encode())
    before = list(everything(home))
    done = tollgate(home, "plan")
    assert (done.returncode, done.stdout) == (1, "")
    assert "Traceback" not in done.stderr
    for number in range(len(HOSTILE)):
        assert f"/t{number}.yaml" in done.stderr
    assert list(everything(home)) == before


def test_warnings_go_to_standard_error_and_hold_no_key(tmp_path: Path) -> None:
    home = new_home(tmp_path / "home").home
    (home / "tenants" / "acme.yaml").write_text(key("sk-0123456789abcdef"))
    done = tollgate(home, "plan")
    assert "acme.yaml:3: tenant.api_key: a key in a committed file is not secret" in done.stderr
    assert "warning: " in done.stderr
    assert "warning: " not in done.stdout
    assert "sk-0123456789abcdef" not in done.stderr + done.stdout
    (home / "tenants" / "acme.yaml").write_text(key("env:ACME_KEY"))
    assert "warning: " not in tollgate(home, "plan").stderr, "the twin: such a key draws none"


# ---- any text at all

_WORDS = st.sampled_from(
    ["acme", "../x", "sk-0123456789abcdef", "env:A", "file:a", "group:coding", "group:x", "test-model", "big", "", "é",
     "2027-01-31", "2027-01-31T00:00:00Z", "9999-12-31", "${A}", "a@b", "\u202e", "\x00", "x" * 300]
)  # fmt: skip
_SCALARS = st.one_of(_WORDS, st.none(), st.booleans(), st.integers(), st.floats(), st.integers(1, 100))


def _fields(schema: dict[str, Any]) -> list[str]:
    return [*schema.get("properties", ()), "per_model", "test-model", "x-mine", "unknown"]


_FIELDS = st.sampled_from(
    sorted(
        {
            name
            for definition in [*Tenant.model_json_schema()["$defs"].values(), Tenant.model_json_schema()]
            for name in _fields(definition)
        }
    )
)
_VALUES = st.recursive(
    _SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_FIELDS, inner, max_size=5),
    max_leaves=12,
)
_LIMITS = st.dictionaries(_FIELDS, st.one_of(_SCALARS, st.integers(1, 9)), max_size=5)
NOT_MEANT = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
_FILES = st.fixed_dictionaries(
    {},
    optional={
        "tenant": st.fixed_dictionaries(
            {"id": st.just("acme") | _SCALARS}, optional={"name": _VALUES, "api_key": _WORDS}
        ),
        "keys": st.lists(
            st.fixed_dictionaries({"name": _WORDS}, optional={"budget": _LIMITS, "expires": _WORDS, "api_key": _WORDS}),
            max_size=3,
        )
        | _VALUES,
        "allowed_models": st.lists(_WORDS, max_size=3) | _VALUES,
        "budget": _LIMITS | _VALUES,
        "rate_limits": _LIMITS | _VALUES,
        "metadata": _VALUES,
        "suspended": _VALUES,
        "unknown": _VALUES,
    },
)


def loads_or_says_why(directory: Path, texts: dict[str, bytes]) -> None:
    for name, text in texts.items():
        (directory / name).write_bytes(text)
    try:
        loaded = tenants.load(directory, NAMES)
    except InputError as error:
        assert error.problems
        for problem in error.problems:
            lines = texts[problem.file.name].count(b"\n") + 2
            assert 0 <= problem.line <= lines
            assert str(problem).replace("\n", "").isprintable()
        return
    for tenant in loaded:
        assert tenant.models is None or set(tenant.models) <= {"test-model", "large", "big"}
        assert tenant.models != ()
        assert all(tenant.models_of(one) != () for one in tenant.all_keys)


@settings(max_examples=200, deadline=None, suppress_health_check=NOT_MEANT)
@given(st.one_of(st.binary(max_size=200), st.text(max_size=300).map(str.encode)))
@example(b"tenant: {id: acme}\n\xc2\x85")
@example(b"? [a]\n: b")
@example(b"%TAG ! tag:yaml.org,2002:\n--- !str a")
def test_any_bytes_load_or_give_problems(tmp_path: Path, body: bytes) -> None:
    loads_or_says_why(tmp_path, {"acme.yaml": body})


@settings(max_examples=150, deadline=None, suppress_health_check=NOT_MEANT)
@given(_FILES, st.none() | _FILES)
def test_any_values_in_any_field_load_or_give_problems(tmp_path: Path, own: Any, defaults: Any) -> None:
    texts = {"acme.yaml": json.dumps(own).encode()}
    if defaults is not None:
        texts["_defaults.yaml"] = json.dumps(defaults).encode()
    else:
        (tmp_path / "_defaults.yaml").unlink(missing_ok=True)
    loads_or_says_why(tmp_path, texts)
