"""A price that LiteLLM's own list lacks stops a deploy, and the error has the line. The image contains the list."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.images import image
from tests.support.site import new_home
from tollgate.errors import InputError
from tollgate.stack import configuration
from tollgate.stack.deploy import price_list

pytestmark = pytest.mark.docker

CATALOGUE = """
models:
  test-model: {targets: [{model: embedded/test-model}], price: free}
  plain: {targets: [{model: openai/gpt-4o-mini}], price: litellm}
  by-region:
    targets: [{model: "bedrock/eu.anthropic.claude-sonnet-4-5-20250929-v1:0", region: eu-central-1}]
    price: litellm
"""
WRONG = """\
  misspelt: {targets: [{model: openai/gpt-9}], price: litellm}
  elsewhere: # a name that OpenAI has, at a server that is not OpenAI's
    targets: [{model: custom_openai/gpt-4o-mini, api_base: "https://x.example/v1", api_key: none}]
    price: litellm
  half:
    price: {input_per_million: 1, output_per_million: 2}
    targets:
      - {model: openai/gpt-4o-mini}
      - {model: openai/gpt-10, order: 2, price: litellm}
  not-served: {targets: [{model: groq/nothing}], price: litellm}
backends:
  mine: {engine: vllm, url: "http://gpu:8000", model: my-own, price: litellm}
"""


def check(tmp_path: Path, text: str) -> None:
    site = new_home(tmp_path / "home", "OPENAI_API_KEY=sk-0", "AWS_ACCESS_KEY_ID=a", "AWS_SECRET_ACCESS_KEY=b")
    site.gateway_file.write_text(text)
    price_list.check(site, configuration.load(site), image("LITELLM_IMAGE"))


def test_a_price_litellm_lacks_stops_a_deploy(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        check(tmp_path, CATALOGUE + WRONG)
    lines = CATALOGUE.count("\n")
    found = [(problem.line - lines, problem.path, problem.message) for problem in caught.value.problems]
    assert found == [
        (1, "models.misspelt.price", "LiteLLM's price list has no price for openai/gpt-9"),
        (4, "models.elsewhere.price", "LiteLLM's price list has no price for custom_openai/gpt-4o-mini"),
        (9, "models.half.targets[1].price", "LiteLLM's price list has no price for openai/gpt-10"),
        (12, "backends.mine.price", "LiteLLM's price list has no price for hosted_vllm/my-own"),
    ]


def test_twin_a_price_that_litellm_knows_passes(tmp_path: Path) -> None:
    check(tmp_path, CATALOGUE)


def test_where_nothing_is_left_to_the_list_no_container_is_run(tmp_path: Path) -> None:
    site = new_home(tmp_path / "home")
    price_list.check(site, configuration.load(site), "an-image-that-is-not-there")
