"""`.env` as Settings, and the example file that is copied to it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tollgate.config.env import settings as env
from tollgate.errors import InputError

FILE = Path(".env")
EXAMPLE = Path(__file__).parents[4] / ".env.example"


def test_an_empty_file_means_the_defaults_and_so_does_the_example() -> None:
    defaults = env.parse("", FILE)
    assert env.load(EXAMPLE) == defaults
    assert (defaults.compose_project_name, defaults.gateway_port, defaults.replicas) == ("tollgate", 4000, 3)
    assert defaults.provider_keys == {}


def test_the_example_names_every_setting_and_every_known_key_once() -> None:
    names = [line.partition("=")[0] for line in EXAMPLE.read_text().splitlines() if line and not line.startswith("#")]
    fields = [name.upper() for name in env.Settings.model_fields]
    assert sorted(names) == sorted([*fields, *env.KNOWN_KEYS])


@pytest.mark.parametrize("value", ["yes", "ON", "false", ""])
def test_grafana_is_on_or_off_and_nothing_else(value: str) -> None:
    with pytest.raises(InputError, match=r"\.env:1: GRAFANA: expected 'on' or 'off'"):
        env.parse(f"GRAFANA={value}\n", FILE)


def test_grafanas_port_may_be_anothers_where_grafana_is_off() -> None:
    assert env.parse("GRAFANA=off\nADMIN_PORT=3000\n", FILE).admin_port == 3000
    with pytest.raises(InputError, match="port 3000 is"):
        env.parse("ADMIN_PORT=3000\n", FILE)


@pytest.mark.parametrize("line", ["", "GATEWAYS=\n"])
@pytest.mark.parametrize(("cores", "gateways"), [(1, 1), (2, 2), (4, 4), (64, 4)])
def test_there_is_one_gateway_process_for_each_core_up_to_four(line: str, cores: int, gateways: int) -> None:
    assert env.parse(line, FILE, cores=cores).gateways == gateways


@pytest.mark.parametrize("number", [0, 1, 16])
def test_twin_a_number_in_env_counts_whatever_the_machine_has(number: int) -> None:
    assert env.parse(f"GATEWAYS={number}\n", FILE, cores=64).gateways == number
    assert env.parse("GATEWAYS=3\n", FILE, {"GATEWAYS": str(number)}, cores=64).gateways == number


@pytest.mark.parametrize("value", ["-1", "17", "many"])
def test_a_number_of_gateway_processes_that_cannot_be_is_refused(value: str) -> None:
    with pytest.raises(InputError, match=r"\.env:1: GATEWAYS: expected"):
        env.parse(f"GATEWAYS={value}\n", FILE)


def test_values_are_typed() -> None:
    settings = env.parse("GATEWAY_PORT=0\nREPLICAS=5\nCA_BUNDLE=/etc/ca.pem\nexport IMAGE_SOURCE='local'\n", FILE)
    assert settings.gateway_port == 0
    assert settings.replicas == 5
    assert settings.ca_bundle == Path("/etc/ca.pem")
    assert settings.image_source == "local"


def test_empty_means_unset_for_keys_paths_and_mirrors() -> None:
    settings = env.parse("ANTHROPIC_API_KEY=\nCA_BUNDLE=\nDEBIAN_MIRROR=\n", FILE)
    assert settings.provider_keys == {}
    assert settings.ca_bundle is None
    assert settings.debian_mirror is None


def test_any_providers_key_is_taken_and_none_is_shown() -> None:
    settings = env.parse("GROQ_API_KEY=gsk-1234\nOPENAI_API_KEY=sk-proj-5678\n", FILE)
    assert {name: key.reveal() for name, key in settings.provider_keys.items()} == {
        "GROQ_API_KEY": "gsk-1234",
        "OPENAI_API_KEY": "sk-proj-5678",
    }
    shown = f"{settings!r} {settings} {dict(settings.provider_keys)} {settings.model_dump()}"
    assert "1234" not in shown
    assert "5678" not in shown


def test_a_refusal_never_shows_a_key() -> None:
    with pytest.raises(InputError) as caught:
        env.parse("OPENAI_API_KEY='sk-proj 5678'\nANTROPIC_API_KEY=sk-ant-1234\nREPLICAS=x\n", FILE)
    assert len(caught.value.problems) == 3
    assert "1234" not in str(caught.value)
    assert "5678" not in str(caught.value)


def test_nothing_is_read_from_the_process_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REPLICAS", "7")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-from-the-shell")
    settings = env.parse("DEBIAN_MIRROR=\n", FILE)
    assert settings.replicas == 3
    assert settings.provider_keys == {}


def test_overrides_win_and_foreign_names_in_them_are_ignored() -> None:
    overrides = {"REPLICAS": "1", "HOME": "/root", "OPENAI_API_KEY": "sk-proj-1"}
    settings = env.parse("REPLICAS=5\n", FILE, overrides)
    assert settings.replicas == 1
    assert list(settings.provider_keys) == ["OPENAI_API_KEY"]


def test_two_ports_left_to_docker_do_not_collide() -> None:
    assert env.parse("GATEWAY_PORT=0\nADMIN_PORT=0\n", FILE).admin_port == 0


@pytest.mark.parametrize("name", ["GROQ_API_KEY", "XAI_API_KEY", "GEMINI_API_KEY", "ACME_API_KEY", "OPENPIPE_API_KEY"])
def test_another_providers_key_is_not_taken_for_a_slip(name: str) -> None:
    assert list(env.parse(f"{name}=x\n", FILE).provider_keys) == [name]


def test_missing_keys_are_named_in_the_examples_order() -> None:
    example = "# a\nB=1\nA=2\nC=\n"
    assert env.missing_keys("A=5\n", example) == ["B", "C"]
    assert env.missing_keys(example, example) == []


@pytest.mark.parametrize("address", ["127.0.0.1", "10.0.0.7", "192.0.2.1"])
def test_the_gateway_listens_on_an_ipv4_address(address: str) -> None:
    assert env.parse(f"GATEWAY_BIND={address}\n", FILE).gateway_bind == address


@pytest.mark.parametrize("address", ["::", "::1", "[::]", "localhost", "10.0.0.300", "0.0.0.0/0"])
def test_twin_another_kind_of_address_is_refused_with_the_kind_expected(address: str) -> None:
    with pytest.raises(InputError) as refused:
        env.parse(f"\nGATEWAY_BIND={address}\n", FILE)
    [problem] = refused.value.problems
    assert (problem.line, problem.path) == (2, "GATEWAY_BIND")
    assert f"expected an IPv4 address, found '{address}'" in problem.message
    assert "127.0.0.1" in problem.hint
