"""tenants/*.yaml: what a file means, and what only shows when all are seen together."""

from __future__ import annotations

from pathlib import Path

import pytest

from tollgate.config import load, tenants
from tollgate.errors import InputError
from tollgate.site import Site

ROOT = Path(__file__).parents[2]
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
    for name, identity in {"b.yaml": "b", "a.yml": "a", "_defaults.yaml": "c", ".d.yaml": "d", "e.json": "e"}.items():
        (tmp_path / name).write_text(f"tenant:\n  id: {identity}\n")
    loaded = tenants.load(tmp_path)
    assert [tenant.id for tenant in loaded] == ["a", "b"]
    assert len(loaded) == 2


def test_no_directory_means_no_tenants(tmp_path: Path) -> None:
    assert len(tenants.load(tmp_path / "none")) == 0


def test_a_key_written_out_draws_a_warning_and_nothing_more(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(FULL)
    loaded = tenants.load(tmp_path)
    assert [(problem.line, problem.message) for problem in loaded.warnings] == [
        (6, "a key in a file that is committed is no secret")
    ]
    assert "sk-eng" not in str(loaded.warnings[0])


def test_the_shipped_example_is_what_the_readme_says() -> None:
    (example,) = tenants.load(ROOT / "tenants", {"test-model"})
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
