"""`tollgate tenant …` without a deployment: the files that it writes, the refusals and their words."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.cli import Run, tollgate
from tests.support.site import new_home
from tollgate.site import Site
from tollgate.stack.host.lock import locked

KEY = "sk-eng-0123456789abcdef"
MODELS = "gpt-4o-mini,qwen-coder"


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return new_home(tmp_path / "home")


def tenant(site: Site, *words: str, typed: str = "") -> Run:
    return tollgate(site, "tenant", *words, typed=typed)


def written(site: Site, name: str = "engineering") -> str:
    return (site.tenants_dir / f"{name}.yaml").read_text()


def stored(site: Site, name: str = "engineering") -> str:
    path = site.secrets_dir / "tenants" / name
    assert path.stat().st_mode & 0o777 == 0o600
    return path.read_text().strip()


def files(site: Site) -> dict[str, str]:
    """All files except the lock, which every writing command leaves."""
    paths = (path for path in site.home.rglob("*") if path.is_file() and path.name != "lock")
    return {str(path.relative_to(site.home)): path.read_text() for path in paths}


ENGINEERING = """\
tenant:
  id: engineering

allowed_models:
  - gpt-4o-mini
  - qwen-coder

budget:
  daily_limit: 100
"""


# ---- create


def test_create_with_a_key_writes_the_file_and_stores_the_key(site: Site) -> None:
    done = tenant(site, "create", "engineering", KEY, "100", MODELS)
    assert done.code == 0
    assert written(site) == ENGINEERING, "the key is not in the file"
    assert stored(site) == KEY
    assert "wrote tenants/engineering.yaml" in done.out
    assert "its key is in secrets/tenants/engineering (0600), not in the YAML file" in done.out
    assert KEY not in done.out + done.err
    assert "the process list and your shell's history show a key" in done.err
    assert "not applied: nothing is deployed here yet; `make deploy` will apply it" in done.out


def test_create_without_a_key_generates_one_and_shows_it_once(site: Site) -> None:
    done = tenant(site, "create", "engineering", "100", MODELS)
    assert (done.code, written(site)) == (0, ENGINEERING)
    key = stored(site)
    assert re.fullmatch(r"sk-[A-Za-z0-9_-]{43}", key)
    assert done.out.count(key) == 1 and "shown only now" in done.out
    assert key not in tenant(site, "show", "engineering").out + tenant(site, "list").out
    assert "the process list" not in done.err


def test_a_key_from_standard_input_is_on_no_command_line(site: Site) -> None:
    done = tenant(site, "create", "engineering", "-", "100", MODELS, typed=f"{KEY}\n")
    assert (stored(site), done.err) == (KEY, "")


@pytest.mark.parametrize("source", ["env:ENGINEERING_KEY", "file:secrets/eng.key"])
def test_a_key_kept_elsewhere_is_named_in_the_file(site: Site, source: str) -> None:
    done = tenant(site, "create", "engineering", source, "100")
    assert done.code == 0
    assert f"api_key: {source}" in written(site)
    assert not (site.secrets_dir / "tenants").exists()


def test_every_limit_has_an_option(site: Site) -> None:
    limits = ["--daily", "5", "--weekly", "20", "--monthly", "50.5", "--rpm", "60", "--rph", "600", "--rpd", "6000"]
    people = ["--name", "R&D: one", "--owner", "lead@acme.example"]
    assert tenant(site, "create", "rnd", *limits, "--tpm", "9000", "--parallel", "4", *people).code == 0
    shown = tenant(site, "show", "rnd", "--json").json
    assert shown["limits"] == {
        "daily_limit": 5,
        "weekly_limit": 20,
        "monthly_limit": 50.5,
        "requests_per_minute": 60,
        "requests_per_hour": 600,
        "requests_per_day": 6000,
        "tokens_per_minute": 9000,
        "max_parallel_requests": 4,
    }
    assert (shown["name"], shown["owner"], shown["models"]) == ("R&D: one", "lead@acme.example", None)


def test_json_is_for_scripts(site: Site) -> None:
    made = tenant(site, "create", "engineering", "100", MODELS, "--json").json
    assert made["written"] == ["tenants/engineering.yaml"]
    assert (made["key"], made["key_file"]) == (stored(site), "secrets/tenants/engineering")


REFUSED = {
    "guide's key": (
        ["engineering", "sk-eng-key", "100", MODELS],
        "KEY: a key must have at least 16 characters, this one has 10",
    ),
    "no prefix": (["engineering", "eng-0123456789abcdef", "100"], "KEY: a key must start with sk-; this one does not"),
    "odd characters": (
        ["engineering", "sk-eng 0123456789abc", "100"],
        "KEY: a key must have only letters, digits, - and _",
    ),
    "nothing typed": (["engineering", "-", "100"], "expected a key on standard input, found nothing"),
    "models first": (["engineering", KEY, MODELS], "expected the daily budget in USD, found 'gpt-4o-mini,qwen-coder'"),
    "too many words": (["engineering", KEY, "100", "gpt-4o-mini", "qwen-coder"], "write the models as one word: a,b"),
    "unknown model": (["engineering", "100", "gpt-4o-mino"], "did you mean gpt-4o-mini?"),
    "empty model": (["engineering", "100", "gpt-4o-mini,"], "--models: expected names separated by commas"),
    "zero": (["engineering", "0"], "budget.daily_limit"),
    "infinite": (["engineering", "inf"], "--daily: expected an amount in USD or none, found 'inf'"),
    "month under day": (["engineering", "100", "--monthly", "50"], "budget.daily_limit: expected at most"),
    "not whole": (["engineering", "100", "--rpm", "1.5"], "--rpm: expected a whole number or none, found '1.5'"),
    "twice": (["engineering", "100", "--daily", "5"], "daily is given twice, as a word and as --daily"),
    "outside": (["../engineering", "100"], "ID: expected lower-case letters, digits, - and _, at most 63"),
    "look-alike": (["\u0435ngineering", "100"], "found '\\u0435ngineering'"),
    "quote": (['a"b', "100"], "ID: expected lower-case letters"),
    "control": (["a\x1b[2J", "100"], "found 'a\\x1b[2J'"),
    "underscore": (["_defaults", "100"], "ID: expected lower-case letters"),
    "long": (["a" * 64, "100"], "ID: expected lower-case letters"),
    "no mail": (["engineering", "100", "--owner", "nobody"], "tenant.owner"),
    "a megabyte": (["engineering", "100", "--name", "x" * 1_048_577], "at most 1 MiB"),
    "line break": (["engineering", "100", "--name", "a\nsuspended: true"], "expected one line of text"),
    "exists": (["example", "100"], "tenant example exists already"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_wrong_create_is_refused_and_writes_nothing(site: Site, case: str) -> None:
    words, message = REFUSED[case]
    before = files(site)
    done = tenant(site, "create", *words)
    assert done.code == 1
    assert message in done.err
    assert done.err.count("error:") == 1
    assert files(site) == before
    assert "eng-0123456789abcdef" not in done.err, "a message never quotes a key"


def test_an_id_used_by_another_file_is_refused_with_its_key(site: Site) -> None:
    (site.tenants_dir / "example.yml").write_text("tenant: {id: other}\n")
    before = files(site)
    done = tenant(site, "create", "engineering", KEY, "100")
    assert done.code == 1 and "example.yml" in done.err, "create checks all files, not only the new one"
    assert files(site) == before


def test_a_key_of_another_tenant_is_refused(site: Site) -> None:
    assert tenant(site, "create", "engineering", KEY, "100").code == 0
    before = files(site)
    done = tenant(site, "create", "research", KEY, "100")
    assert done.code == 1 and "secrets/tenants/engineering has this key already" in done.err
    assert files(site) == before


def test_an_interrupted_create_continues_with_its_key(site: Site) -> None:
    assert tenant(site, "create", "engineering", KEY, "100").code == 0
    (site.tenants_dir / "engineering.yaml").unlink()  # as if create was killed after it stored the key
    assert tenant(site, "create", "engineering", "sk-another-0123456789", "100").code == 1
    assert not (site.tenants_dir / "engineering.yaml").exists()
    again = tenant(site, "create", "engineering", "100")
    assert again.code == 0 and "the existing key is in secrets/tenants/engineering" in again.out
    assert stored(site) == KEY and KEY not in again.out


def test_while_another_operation_runs_nothing_is_written(site: Site) -> None:
    before = files(site)
    with locked(site, "deploy"):
        done = tenant(site, "create", "engineering", "100")
    assert done.code == 1 and "another operation is running: deploy" in done.err
    assert files(site) == before


# ---- update, suspend, resume, delete

COMMENTED = """\
# Ask Mia first.
tenant:
  id: acme
allowed_models: [test-model]  # cheap
budget:
  daily_limit: 100  # USD
"""


@pytest.fixture
def acme(site: Site) -> Site:
    (site.tenants_dir / "acme.yaml").write_text(COMMENTED)
    return site


def test_update_changes_what_was_asked_and_keeps_the_comments(acme: Site) -> None:
    done = tenant(acme, "update", "acme", "--daily", "50", "--models", "test-model,qwen-coder", "--rpm", "7")
    assert done.code == 0
    assert written(acme, "acme") == (
        "# Ask Mia first.\ntenant:\n  id: acme\nallowed_models: [test-model, qwen-coder]  # cheap\nbudget:\n"
        "  daily_limit: 50  # USD\n\nrate_limits:\n  requests_per_minute: 7\n"
    )


def test_none_removes_a_default_limit(acme: Site) -> None:
    (acme.tenants_dir / "_defaults.yaml").write_text("rate_limits: {requests_per_minute: 10}\n")
    assert tenant(acme, "show", "acme", "--json").json["limits"]["requests_per_minute"] == 10
    assert tenant(acme, "update", "acme", "--rpm", "none").code == 0
    assert tenant(acme, "show", "acme", "--json").json["limits"]["requests_per_minute"] is None


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["acme"], "expected an option with a value, found none"),
        (["acm", "--daily", "5"], "there is no tenant 'acm'\nhint:  did you mean acme?"),
        (["acme", "--daily", "many"], "--daily: expected an amount in USD or none, found 'many'"),
        (["acme", "--models", "gpt-5"], "acme.yaml:4: allowed_models[0]"),
        (["acme", "--monthly", "5"], "acme.yaml:6: budget.daily_limit"),
    ],
)
def test_a_wrong_update_is_refused_and_writes_nothing(acme: Site, words: list[str], message: str) -> None:
    before = files(acme)
    done = tenant(acme, "update", *words)
    assert (done.code, files(acme)) == (1, before)
    assert message in done.err and "hint:" in done.err


def test_suspend_and_resume_leave_the_file_as_it_was(acme: Site) -> None:
    assert tenant(acme, "suspend", "acme").code == 0
    assert written(acme, "acme") == f"{COMMENTED}\nsuspended: true\n"
    assert "suspended" in tenant(acme, "list").out
    assert tenant(acme, "show", "acme", "--json").json["suspended"] is True
    assert tenant(acme, "resume", "acme").code == 0
    assert written(acme, "acme") == COMMENTED


def test_resume_works_if_the_defaults_suspend_all_tenants(acme: Site) -> None:
    (acme.tenants_dir / "_defaults.yaml").write_text("suspended: true\n")
    assert tenant(acme, "resume", "acme").code == 0
    assert tenant(acme, "show", "acme", "--json").json["suspended"] is False
    assert tenant(acme, "show", "example", "--json").json["suspended"] is True


def test_delete_asks_and_a_no_changes_nothing(acme: Site) -> None:
    before = files(acme)
    done = tenant(acme, "delete", "acme", typed="n\n")
    assert (done.code, files(acme)) == (1, before)
    assert "This removes" in done.out and "blocks its keys" in done.out


def test_delete_removes_the_file_and_says_what_is_left(acme: Site) -> None:
    done = tenant(acme, "delete", "acme", typed="y\n")
    assert done.code == 0
    assert not (acme.tenants_dir / "acme.yaml").exists()
    assert "removed tenants/acme.yaml" in done.out and "not applied" in done.out
    assert "its keys stay in secrets/tenants/" in done.out


# ---- list, show


def test_list_is_a_table_and_json(acme: Site) -> None:
    assert tenant(acme, "create", "engineering", "100", MODELS, "--monthly", "3000", "--rpm", "60").code == 0
    lines = tenant(acme, "list").out.splitlines()
    assert lines[0].split() == ["ID", "NAME", "MODELS", "LIMITS", "KEYS", "STATE"]
    row = next(line for line in lines if line.startswith("engineering"))
    assert (
        "gpt-4o-mini, qwen-coder" in row and "$100/day, $3000/month, 60/min" in row and row.strip().endswith("active")
    )
    assert [row["id"] for row in tenant(acme, "list", "--json").json] == ["acme", "engineering", "example"]


def test_list_without_tenants_says_how_to_create_one(site: Site) -> None:
    (site.tenants_dir / "example.yaml").unlink()
    assert "manage-tenants.sh create" in tenant(site, "list").out
    assert tenant(site, "list", "--json").json == []


def test_show_says_where_the_key_is_and_that_no_gateway_runs(acme: Site) -> None:
    shown = tenant(acme, "show", "acme").out
    assert "default: secrets/tenants/acme" in shown
    assert "gateway unknown: nothing is deployed here yet" in shown
    assert tenant(acme, "show", "nobody").code == 1
