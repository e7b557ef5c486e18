"""Our list of LiteLLM's options has everything that the installed release reads, also after an upgrade."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.support.images import image
from tollgate.services.requests.orders import OWN, TAKEN_OUT, is_metadata_order, is_order

pytestmark = pytest.mark.docker

SEARCH = Path(__file__).parents[2] / "support" / "litellm_fields.py"
# Names that the search finds but that are no options of a body. We checked each: they are keys of other dictionaries.
SORTED = json.loads((Path(__file__).parents[2] / "fixtures" / "litellm_fields.json").read_text())


@pytest.fixture(scope="module")
def installed() -> Mapping[str, list[str]]:
    command = ["docker", "run", "--rm", "--interactive", "--network=none", "--env=LITELLM_LOCAL_MODEL_COST_MAP=True"]
    done = subprocess.run(
        [*command, "--entrypoint=python", image("LITELLM_IMAGE"), "-"],
        input=SEARCH.read_bytes(),
        capture_output=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    return dict(json.loads(done.stdout))


def unsorted(names: list[str], known: set[str]) -> set[str]:
    return {name for name in names if not (is_order(name) or name in known)}


def test_every_option_of_litellm_is_in_one_of_our_lists(installed: Mapping[str, list[str]]) -> None:
    assert unsorted(installed["declared"], set(OWN | TAKEN_OUT)) == set()


def test_every_name_that_litellm_reads_from_a_body_is_in_a_list(installed: Mapping[str, list[str]]) -> None:
    assert unsorted(installed["read"], set(OWN | TAKEN_OUT) | set(SORTED["not_of_a_body"])) == set()


def test_every_name_that_litellm_reads_from_metadata_is_in_a_list(installed: Mapping[str, list[str]]) -> None:
    labels = set(SORTED["labels"])
    assert {name for name in installed["metadata"] if not (is_metadata_order(name) or name in labels)} == set()


def test_twin_a_new_option_is_found(installed: Mapping[str, list[str]]) -> None:
    assert len(installed["declared"]) > 300
    assert unsorted([*installed["declared"], "brand_new_option"], set(OWN)) == {"brand_new_option"}
