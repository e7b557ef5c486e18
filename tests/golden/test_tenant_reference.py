"""tenants/schema.json and docs/tenants.md agree with the model in the source; `make docs` rewrites them."""

from __future__ import annotations

import json
import os
import re
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from tollgate.config.gateway import load as gateway
from tollgate.config.tenant import load as tenants
from tollgate.config.tenant import schema as tenant_schema
from tollgate.config.tenant.model import Defaults, Tenant
from tollgate.config.validate import validate
from tollgate.config.yaml import document as source
from tollgate.config.yaml.text import read
from tollgate.errors import InputError
from tollgate.render import tenant_reference

ROOT = Path(__file__).resolve().parents[2]
BROKEN = ROOT / "tests" / "fixtures" / "broken" / "tenants"
GENERATED = {
    ROOT / "tenants" / "schema.json": tenant_schema.text,
    ROOT / "tenants" / "defaults.schema.json": partial(tenant_schema.text, Defaults),
    ROOT / "docs" / "tenants.md": tenant_reference.reference,
}
SCHEMA = jsonschema.Draft7Validator(tenant_schema.schema())
NAMES = gateway.load(ROOT / "config" / "gateway.yaml").model_names


@pytest.mark.parametrize("path", GENERATED, ids=lambda path: path.name)
def test_the_generated_file_is_fresh(path: Path) -> None:
    text = GENERATED[path]()
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(text)
    assert path.read_text() == text, "run `make docs`"


def fields(node: dict[str, Any], place: str = "") -> dict[str, dict[str, Any]]:
    found = {place: node}
    for name, field in node.get("properties", {}).items():
        found |= fields(field, f"{place}.{name}")
    for inner in ("items", "additionalProperties"):
        if isinstance(node.get(inner), dict):
            found |= fields(node[inner], f"{place}[]")
    return found


FIELDS = {place: field for place, field in fields(tenant_schema.schema()).items() if place}


def test_the_schema_is_one() -> None:
    SCHEMA.check_schema(tenant_schema.schema())
    assert len(FIELDS) > 40
    assert "$ref" not in json.dumps(tenant_schema.schema())


@pytest.mark.parametrize("place", [place for place in FIELDS if not place.endswith("[]")])
def test_every_field_is_described_and_its_examples_are_right(place: str) -> None:
    field = FIELDS[place]
    assert len(field["description"]) > 15
    for example in field.get("examples", ()):
        jsonschema.validate(example, field)
    if field["type"] not in ("object", "boolean"):
        assert field.get("examples") or "items" in field, "an example says more than a type"


def test_what_can_be_loaded_satisfies_the_schema() -> None:
    files = [*sorted((ROOT / "tenants").glob("[!_.]*.yaml")), *sorted((ROOT / "tests/fixtures/tenants").glob("*.yaml"))]
    assert len(files) >= 4
    for file in files:
        SCHEMA.validate(source.parse(read(file), file).data)


# Mistakes that an editor can see in one value. The others concern several values, or a schema cannot describe them.
SEEN_BY_AN_EDITOR = [
    "budget-beyond-belief",
    "budget-with-a-currency",
    "budget-zero",
    "id-in-capitals",
    "id-is-a-number",
    "id-that-looks-alike",
    "id-with-a-path",
    "id-with-a-quote",
    "key-expires-is-a-number",
    "key-expires-is-a-word",
    "key-expires-without-zone",
    "key-from-a-bad-variable",
    "key-from-no-file",
    "key-is-a-number",
    "key-model-twice",
    "key-models-left-empty",
    "key-name-missing",
    "key-name-with-a-path",
    "key-too-short",
    "key-with-a-soft-limit",
    "key-with-odd-characters",
    "key-without-sk",
    "keys-as-a-mapping",
    "limit-negative",
    "limit-with-a-fraction",
    "metadata-is-text",
    "model-cap-weekly",
    "model-twice",
    "models-as-text",
    "models-left-empty",
    "name-too-long",
    "no-id",
    "no-model-at-all",
    "no-tenant",
    "owner-is-no-address",
    "owner-with-a-quote",
    "shell-variable",
    "suspended-is-a-word",
    "unknown-key",
    "unknown-limit",
]


@pytest.mark.parametrize("name", SEEN_BY_AN_EDITOR)
def test_an_editor_marks_what_a_schema_can_say(name: str) -> None:
    file = BROKEN / f"{name}.yaml"
    assert not SCHEMA.is_valid(source.parse(read(file), file).data)


def test_the_schema_refuses_nothing_that_loads() -> None:
    """Of the broken files those count whose one fault is not in the schema: they would load without that rule."""
    others = [file for file in sorted(BROKEN.glob("*.yaml")) if file.stem not in SEEN_BY_AN_EDITOR]
    refused = []
    for file in others:
        try:
            data = source.parse(read(file), file).data
        except InputError:
            continue
        refused += [] if SCHEMA.is_valid(data) else [file.stem]
    assert refused == []


# ---- docs/tenants.md


def blocks(text: str) -> list[tuple[str, str]]:
    """The YAML blocks with the file each is said to be."""
    found = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    return [(re.findall(r"^# ((?:tenants|config)/\S+)$", block, re.MULTILINE)[0], block) for block in found]


BLOCKS = blocks(tenant_reference.reference())


def test_every_example_of_the_page_loads(tmp_path: Path) -> None:
    assert {path for path, _ in BLOCKS} >= {"tenants/_defaults.yaml", "config/gateway.yaml", "tenants/support.yaml"}
    groups = {}
    for path, block in BLOCKS:
        if path == "config/gateway.yaml":
            groups = source.parse(block, tmp_path / path).data["groups"]
            assert all(member in NAMES for members in groups.values() for member in members)
        else:
            (tmp_path / Path(path).name).write_text(block)
    written = datetime(2026, 11, 1, tzinfo=UTC)  # a key of the page expires some day
    loaded = tenants.load(tmp_path, type(NAMES)(NAMES.models, NAMES.aliases, groups), now=written)
    assert [tenant.id for tenant in loaded] == ["engineering", "research", "support"]
    assert loaded.warnings == ()
    support = loaded.tenants[-1]
    assert (support.budget.monthly_limit, support.rate_limits.requests_per_minute) == (None, 60)


def test_the_full_example_is_full() -> None:
    (full,) = (block for path, block in BLOCKS if path == "tenants/engineering.yaml")
    document = source.parse(full, Path("engineering.yaml"))
    assert document.data.keys() == Tenant.model_fields.keys()
    for section in ("tenant", "budget", "rate_limits"):
        assert document.data[section].keys() == FIELDS[f".{section}"]["properties"].keys()


def test_an_editor_knows_the_defaults_file_too() -> None:
    editor = jsonschema.Draft7Validator(tenant_schema.schema(Defaults))
    (page,) = (block for path, block in BLOCKS if path == "tenants/_defaults.yaml")
    assert "$schema=defaults.schema.json" in page
    assert editor.is_valid(source.parse(page, Path("_defaults.yaml")).data)
    for wrong in ("tenant: {id: acme}", "keys: []", "budget: {daily: 1}", "rate_limits: {requests_per_minute: 1.5}"):
        assert not editor.is_valid(source.parse(wrong, Path("_defaults.yaml")).data), wrong


def test_defaults_are_a_tenant_less_its_identity_and_keys() -> None:
    assert Tenant.model_fields.keys() - Defaults.model_fields.keys() == {"tenant", "keys"}
    validate(Defaults, source.parse("budget: {daily_limit: 1}\n", Path("_defaults.yaml")))
