"""Every rendered setting exists in the LiteLLM that runs. LiteLLM ignores a misspelt setting without a message."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.support.images import image
from tests.support.site import new_home
from tollgate.config.env import settings as env
from tollgate.config.gateway import load as gateway
from tollgate.config.gateway.catalogue import needed
from tollgate.config.secret import Secret
from tollgate.render.litellm import render_basic, render_litellm
from tollgate.render.output import write
from tollgate.stack import configuration

pytestmark = pytest.mark.docker

CHECKER = Path(__file__).resolve().parents[2] / "golden" / "litellm" / "known_settings.py"
EXAMPLES = Path(__file__).resolve().parents[3] / "config" / "examples"
CONFIGS = ("litellm/config.yaml", "basic/config.yaml")
KEYS = ("ANTHROPIC_API_KEY", "OPENAI_API_KEY", "OPENROUTER_API_KEY")


@pytest.fixture
def rendered(tmp_path: Path) -> Path:
    """Both configurations with the models of every provider, in files that the container's user can read."""
    site = new_home(tmp_path / "home", *(f"{name}=sk-0123456789" for name in KEYS))
    loaded = configuration.load(site)
    assert len(loaded.catalogue.models) > 5
    assert not loaded.catalogue.left_out
    directory = tmp_path / "rendered"
    write(directory, [*render_litellm(site.root, loaded.gateway, loaded.settings)])
    write(directory, [*render_basic(site.root, loaded.gateway, loaded.settings)])
    return directory


def unknown(config: Path) -> list[str]:
    """Run the checker with the Python of the LiteLLM image. The configuration comes through standard input, so no
    directory must be readable for the container's user."""
    script = "import sys; open('/tmp/c.yaml', 'w').write(sys.stdin.read()); sys.argv = ['', '/tmp/c.yaml']; "
    script += f"exec({CHECKER.read_text()!r})"
    confined = ["--network=none", "--read-only", "--cap-drop=ALL", "--tmpfs=/tmp:mode=1777", "--user=65534:65534"]
    command = ["docker", "run", "--rm", "-i", *confined, "--entrypoint=python", image("LITELLM_IMAGE"), "-c", script]
    done = subprocess.run(command, input=config.read_text(), capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode in (0, 1), done.stderr
    assert not done.stderr, done.stderr
    return done.stdout.splitlines()


@pytest.mark.parametrize("name", CONFIGS)
def test_litellm_knows_every_setting(rendered: Path, name: str) -> None:
    assert unknown(rendered / name) == []


@pytest.fixture
def providers(tmp_path: Path) -> Path:
    """The example with every kind of provider. All its models are served."""
    loaded = gateway.load(EXAMPLES / "providers.yaml")
    settings = env.parse("", tmp_path / ".env")
    wanted = {name for model in loaded.models.values() for target in model.targets for name in needed(target)}
    settings = settings.with_credentials({name: Secret("x") for name in wanted})
    write(tmp_path, render_litellm(EXAMPLES.parents[1], loaded, settings))
    return tmp_path / "litellm" / "config.yaml"


def test_litellm_knows_every_provider_and_the_prices_left_to_it(providers: Path) -> None:
    assert unknown(providers) == []


def test_twin_an_unknown_provider_or_price_is_noticed(providers: Path) -> None:
    text = (
        providers.read_text()
        .replace("custom_openai/", "custom_provider/")
        .replace("openai/gpt-4o-mini", "openai/gpt-9")
    )
    providers.write_text(text)
    assert unknown(providers) == [
        "unknown to this LiteLLM: price of openai/gpt-9",
        "unknown to this LiteLLM: provider custom_provider",
    ]


@pytest.mark.parametrize("name", CONFIGS)
def test_twin_a_misspelt_setting_is_noticed(rendered: Path, name: str) -> None:
    config = rendered / name
    text = config.read_text()
    assert "drop_params:" in text
    config.write_text(text.replace("drop_params:", "drop_parameters:"))
    assert unknown(config) == ["unknown to this LiteLLM: litellm_settings.drop_parameters"]
