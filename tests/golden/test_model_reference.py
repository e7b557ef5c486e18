"""config/gateway.schema.json and docs/models.md agree with the model in the source; `make docs` rewrites them."""

from __future__ import annotations

import os
import re
from pathlib import Path

import jsonschema
import pytest

from tollgate.config.gateway import load as gateway
from tollgate.config.gateway import schema as gateway_schema
from tollgate.config.yaml import document
from tollgate.config.yaml.text import read
from tollgate.errors import InputError
from tollgate.render import model_reference

ROOT = Path(__file__).resolve().parents[2]
GENERATED = {
    ROOT / "config" / "gateway.schema.json": gateway_schema.text,
    ROOT / "docs" / "models.md": model_reference.reference,
}
SCHEMA = jsonschema.Draft7Validator(gateway_schema.schema())
BROKEN = ROOT / "tests" / "fixtures" / "broken" / "gateway"


@pytest.mark.parametrize("path", GENERATED, ids=lambda path: path.name)
def test_the_generated_file_is_fresh(path: Path) -> None:
    text = GENERATED[path]()
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(text)
    assert path.read_text() == text, "run `make docs`"


def test_what_loads_satisfies_the_schema() -> None:
    SCHEMA.check_schema(gateway_schema.schema())
    for file in [ROOT / "config" / "gateway.yaml", *sorted((ROOT / "config" / "examples").glob("*.yaml"))]:
        SCHEMA.validate(document.parse(read(file), file).data)


@pytest.mark.parametrize(
    "name",
    [
        "unknown-key",
        "misspelt-setting",
        "negative-price",
        "half-a-price",
        "unknown-price-word",
        "timeout-zero",
        "empty-targets",
        "unknown-key-in-a-target",
        "cheapest-at-no-cost",
        "cache-for-no-time",
        "unknown-strategy",
    ],
)
def test_an_editor_marks_what_a_schema_can_say(name: str) -> None:
    file = BROKEN / f"{name}.yaml"
    assert not SCHEMA.is_valid(document.parse(read(file), file).data)


def test_the_schema_refuses_nothing_for_a_rule_over_several_values() -> None:
    for name in ("alias-of-nothing", "no-price", "fallback-in-a-circle", "provider-without-its-place"):
        file = BROKEN / f"{name}.yaml"
        SCHEMA.validate(document.parse(read(file), file).data)
        with pytest.raises(InputError):
            gateway.load(file)


def test_the_example_of_the_page_loads() -> None:
    (block,) = re.findall(r"```yaml\n(.*?)```", model_reference.reference(), re.DOTALL)
    assert gateway.parse(block, Path("config/gateway.yaml")).names >= {"auto", "code", "big", "local"}
