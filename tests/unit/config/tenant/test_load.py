"""tenants/*.yaml: what a file means, and what only shows when all are seen together."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from tollgate.config import load
from tollgate.config.gateway.model_names import ModelNames
from tollgate.config.tenant import load as tenants
from tollgate.errors import InputError
from tollgate.site import Site

ROOT = Path(__file__).parents[4]
FILE = Path("acme.yaml")
FULL = """
tenant:
  id: engineering
  name: Engineering
  owner: lead@example.org
  api_key: sk-eng-secure-key
allowed_models: [test-model, big]
budget: {daily_limit: 100, monthly_limit: 3000}
rate_limits: {requests_per_minute: 60, requests_per_hour: 1000, tokens_per_minute: 100000}
metadata: {cost_centre: 4711}
"""


def test_the_format_of_the_guide_is_understood() -> None:
    tenant = tenants.parse(FULL, FILE)
    assert tenant.id == "engineering"
    assert tenant.allowed_models == ("test-model", "big")
    assert tenant.budget.monthly_limit == 3000
    assert tenant.rate_limits.requests_per_hour == 1000
    assert tenant.metadata == {"cost_centre": 4711}
    key = tenant.tenant.api_key
    assert key is not None
    assert (key.kind, key.value.reveal()) == ("literal", "sk-eng-secure-key")


def test_all_but_the_id_may_be_left_out() -> None:
    tenant = tenants.parse("tenant:\n  id: a\n", FILE)
    assert tenant.allowed_models is None
    assert tenant.budget.daily_limit is None
    assert tenant.tenant.api_key is None


@pytest.mark.parametrize(
    ("written", "kind", "value"), [("env:ENG_KEY", "env", "ENG_KEY"), ("file:keys/a", "file", "keys/a")]
)
def test_a_key_may_stand_elsewhere(written: str, kind: str, value: str) -> None:
    key = tenants.parse(f"tenant: {{id: a, api_key: '{written}'}}\n", FILE).tenant.api_key
    assert key is not None
    assert (key.kind, key.value.reveal()) == (kind, value)


def test_no_key_is_ever_shown() -> None:
    tenant = tenants.parse(FULL, FILE)
    assert "sk-eng-secure-key" not in f"{tenant!r} {tenant} {tenant.model_dump()}"
    for bad in ("sk-eng/secure+key-value", "eng-secure-key-value", "sk-short", "[sk-eng-secure-key]"):
        with pytest.raises(InputError) as caught:
            tenants.parse(f"tenant: {{id: a, api_key: {bad}}}\n", FILE)
        assert bad.strip("[]") not in str(caught.value)


def test_a_directory_is_read_sorted_and_without_what_is_not_a_tenant(tmp_path: Path) -> None:
    for name, identity in {"b.yaml": "b", "a.yml": "a", "_other.yaml": "c", ".d.yaml": "d", "e.json": "e"}.items():
        (tmp_path / name).write_text(f"tenant:\n  id: {identity}\n")
    loaded = tenants.load(tmp_path)
    assert [tenant.id for tenant in loaded] == ["a", "b"]
    assert len(loaded) == 2


def test_no_directory_means_no_tenants(tmp_path: Path) -> None:
    assert len(tenants.load(tmp_path / "none")) == 0


def test_a_key_written_out_draws_a_warning_and_nothing_more(tmp_path: Path) -> None:
    (tmp_path / "engineering.yaml").write_text(FULL)
    loaded = tenants.load(tmp_path)
    assert [(problem.line, problem.message) for problem in loaded.warnings] == [
        (6, "a key in a committed file is not secret")
    ]
    assert "sk-eng" not in str(loaded.warnings[0])


def test_the_shipped_example_is_what_the_readme_says() -> None:
    (example,) = tenants.load(ROOT / "tenants", ModelNames(frozenset({"test-model"})))
    assert (example.id, example.allowed_models) == ("example", ("test-model",))
    assert (example.budget.daily_limit, example.rate_limits.requests_per_minute) == (1, 60)


def test_problems_of_all_files_come_in_one_error(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("REPLICAS=many\n")
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "gateway.yaml").write_text((ROOT / "config" / "gateway.yaml").read_text() + "extra: 1\n")
    (tmp_path / "tenants").mkdir()
    (tmp_path / "tenants" / "a.yaml").write_text("tenant: {id: A}\nallowed_models: [nope]\n")
    with pytest.raises(InputError) as caught:
        load.load(Site(root=ROOT, home=tmp_path))
    assert [problem.file.name for problem in caught.value.problems] == [".env", "gateway.yaml", "a.yaml"]


def test_the_shipped_files_load_together(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text((ROOT / ".env.example").read_text())
    for name in ("config", "tenants"):
        (tmp_path / name).symlink_to(ROOT / name)
    configuration = load.load(Site(root=ROOT, home=tmp_path), {"REPLICAS": "2"})
    assert configuration.settings.replicas == 2
    assert configuration.catalogue.names == {"test-model"}
    assert [tenant.id for tenant in configuration.tenants] == ["example"]


# ---- _defaults.yaml


def _write(directory: Path, **texts: str) -> None:
    for name, body in texts.items():
        (directory / f"{name}.yaml").write_text(body)


def test_defaults_fill_what_a_file_leaves_out_field_by_field(tmp_path: Path) -> None:
    _write(
        tmp_path,
        _defaults="allowed_models: [test-model]\nbudget: {daily_limit: 5, monthly_limit: 50}\nmetadata: {a: 1, b: 1}\n"
        "suspended: true\n",
        acme="tenant: {id: acme}\nbudget: {daily_limit: 6}\nmetadata: {b: 2}\nsuspended: false\n",
        beta="tenant: {id: beta}\nallowed_models: [big]\n",
    )
    acme, beta = tenants.load(tmp_path)
    assert (acme.budget.daily_limit, acme.budget.monthly_limit) == (6, 50)
    assert (acme.allowed_models, acme.metadata, acme.suspended) == (("test-model",), {"a": 1, "b": 2}, False)
    assert (beta.allowed_models, beta.budget.daily_limit, beta.suspended) == (("big",), 5, True)


def test_null_in_a_file_removes_the_limit_of_the_defaults(tmp_path: Path) -> None:
    _write(
        tmp_path,
        _defaults="budget: {daily_limit: 5}\nrate_limits: {requests_per_minute: 5}\n",
        acme="tenant: {id: acme}\nbudget: {daily_limit: null}\n",
    )
    (acme,) = tenants.load(tmp_path)
    assert (acme.budget.daily_limit, acme.rate_limits.requests_per_minute) == (None, 5)


def test_problems_of_the_defaults_are_told_once(tmp_path: Path) -> None:
    _write(tmp_path, _defaults="budget: {daily_limit: x}\n", acme="tenant: {id: acme}\n", beta="tenant: {id: beta}\n")
    with pytest.raises(InputError) as caught:
        tenants.load(tmp_path)
    assert [(problem.file.name, problem.line) for problem in caught.value.problems] == [("_defaults.yaml", 1)]


def test_a_default_cap_on_a_model_the_tenant_may_not_use_is_no_problem(tmp_path: Path) -> None:
    names = ModelNames(frozenset({"dear", "cheap"}))
    _write(
        tmp_path,
        _defaults="budget: {per_model: {dear: {daily_limit: 5}}}\n",
        acme="tenant: {id: acme}\nallowed_models: [cheap]\nbudget: {daily_limit: 1}\n",
    )
    assert len(tenants.load(tmp_path, names)) == 1
    _write(
        tmp_path, beta="tenant: {id: beta}\nallowed_models: [cheap]\nbudget: {per_model: {dear: {daily_limit: 1}}}\n"
    )
    with pytest.raises(InputError, match="the tenant may not use dear"):
        tenants.load(tmp_path, names)


# ---- keys and models


NAMES = ModelNames(
    frozenset({"test-model", "large"}), {"big": "large"}, {"coding": ("large", "test-model"), "aliases": ("big",)}
)


def test_groups_are_resolved_to_names() -> None:
    keys = "keys: [{name: ci, allowed_models: [group:aliases]}]\n"
    body = f"tenant: {{id: a}}\nallowed_models: [big, group:coding, test-model]\n{keys}"
    tenant = tenants.parse(body, FILE, names=NAMES)
    assert tenant.models == ("big", "large", "test-model")
    assert [tenant.models_of(key) for key in tenant.all_keys] == [None, ("big",)]
    assert tenants.check([tenant], NAMES) == []


def test_without_the_gateway_a_group_is_never_taken_for_nothing() -> None:
    tenant = tenants.parse("tenant: {id: a}\nallowed_models: [group:coding]\n", FILE)
    with pytest.raises(KeyError):
        _ = tenant.models


def test_no_list_means_every_model() -> None:
    assert tenants.parse("tenant: {id: a}\n", FILE).models is None


def test_the_tenants_own_key_comes_first_and_is_called_default() -> None:
    keys = "keys: [{name: ci, api_key: env:B, budget: {daily_limit: 1}}]\n"
    body = f"tenant: {{id: a, owner: a@example.org, api_key: env:A}}\n{keys}"
    own, further = tenants.parse(body, FILE).all_keys
    assert (own.name, own.owner, own.budget.daily_limit, own.expires) == ("default", "a@example.org", None, None)
    assert own.api_key is not None
    assert own.api_key.value.reveal() == "A"
    assert (further.name, further.budget.daily_limit) == ("ci", 1)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("2027-01-31", "2027-02-01T00:00:00+00:00"),
        ("2027-01-31T18:00:00Z", "2027-01-31T18:00:00+00:00"),
        ("2027-01-31 18:00:00.5+02:00", "2027-01-31T16:00:00.500000+00:00"),
        ("'2027-01-31t18:00:00z'", "2027-01-31T18:00:00+00:00"),
    ],
)
def test_a_date_includes_its_day_and_a_time_is_exact(written: str, meant: str) -> None:
    (key,) = tenants.parse(f"tenant: {{id: a}}\nkeys:\n  - name: ci\n    expires: {written}\n", FILE).keys
    assert key.expires is not None
    assert key.expires.isoformat() == meant


def test_an_expired_key_draws_a_warning_and_a_valid_one_does_not(tmp_path: Path) -> None:
    _write(tmp_path, acme="tenant: {id: acme}\nkeys:\n  - {name: ci, expires: 2027-01-31}\n")
    assert tenants.load(tmp_path, now=datetime(2027, 1, 31, 23, 59, tzinfo=UTC)).warnings == ()
    (warning,) = tenants.load(tmp_path, now=datetime(2027, 2, 1, tzinfo=UTC)).warnings
    assert str(warning).startswith(f"warning: {tmp_path}/acme.yaml:3: keys[0].expires: expired on 2027-02-01 00:00 UTC")


# ---- where files may be


def test_a_link_that_leads_out_is_not_followed(tmp_path: Path) -> None:
    outside = tmp_path / "acme.yaml"
    outside.write_text("tenant: {id: acme}\n")
    directory = tmp_path / "tenants"
    directory.mkdir()
    (directory / "acme.yaml").symlink_to(outside)
    with pytest.raises(InputError, match="a symbolic link that leads out"):
        tenants.load(directory)


def test_a_link_within_and_a_linked_directory_are_fine(tmp_path: Path) -> None:
    directory = tmp_path / "tenants"
    directory.mkdir()
    (directory / ".acme").write_text("tenant: {id: acme}\n")
    (directory / "acme.yaml").symlink_to(".acme")
    (tmp_path / "other").symlink_to(directory)
    assert [tenant.id for tenant in tenants.load(tmp_path / "other")] == ["acme"]


def test_a_draft_is_read_in_place_of_its_file_and_nothing_is_written(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("tenant: {id: a}\n")
    (tmp_path / "b.yaml").write_text("tenant: {id: b}\n")
    drafts = {
        tmp_path / "a.yaml": "tenant: {id: a, name: New}\n",
        tmp_path / "b.yaml": None,
        tmp_path / "c.yaml": "tenant: {id: c}\n",
    }
    loaded = tenants.load(tmp_path, drafts=drafts)
    assert [(tenant.id, tenant.tenant.name) for tenant in loaded] == [("a", "New"), ("c", "")]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.yaml", "b.yaml"]
    with pytest.raises(InputError, match=r"c\.yaml:1: budgett"):
        tenants.load(tmp_path, drafts={tmp_path / "c.yaml": "budgett: {}\ntenant: {id: c}\n"})
