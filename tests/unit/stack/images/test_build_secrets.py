"""The host's index settings for a build: without what a container cannot reach, and never in an argv."""

from __future__ import annotations

import configparser
from collections.abc import Mapping
from pathlib import Path

import pytest

from tollgate.errors import TollgateError
from tollgate.stack.images.build_secrets import Host, npmrc, pip_conf, proxy_arguments, secret_files

PASSWORD = "s3cr3t-index-password"


def host(tmp_path: Path, pip: str = "", npm: str = "", environment: Mapping[str, str] | None = None) -> Host:
    (tmp_path / "pip.conf").write_text(pip)
    (tmp_path / "npmrc").write_text(npm)
    return Host(environment or {}, (tmp_path / "absent", tmp_path / "pip.conf"), (tmp_path / "npmrc",))


def parsed(text: str) -> dict[str, str]:
    parser = configparser.RawConfigParser()
    parser.read_string(text)
    return {key: " ".join(value.split()) for key, value in parser["global"].items()}


def test_indexes_are_kept_and_host_files_left_out(tmp_path: Path) -> None:
    given = f"""[global]
index-url = https://me:{PASSWORD}@index.example/simple
extra-index-url = file:///opt/simple
    https://more.example/simple
find-links = /opt/wheels
cert = /etc/ssl/host.pem
trusted-host = index.example
"""
    assert parsed(pip_conf(host(tmp_path, given))) == {
        "index-url": f"https://me:{PASSWORD}@index.example/simple",
        "extra-index-url": "https://more.example/simple",
        "trusted-host": "index.example",
    }


def test_file_indexes_are_left_out(tmp_path: Path) -> None:
    assert parsed(pip_conf(host(tmp_path, "[global]\nextra-index-url = file:///a file:///b\n"))) == {}


def test_pip_settings_from_the_environment_win(tmp_path: Path) -> None:
    environment = {"PIP_INDEX_URL": "https://two.example/simple", "PIP_FIND_LINKS": "/x", "PIP_DEFAULT_TIMEOUT": "180"}
    given = host(tmp_path, "[global]\nindex-url = https://one.example/simple\n", environment=environment)
    assert parsed(pip_conf(given)) == {"index-url": "https://two.example/simple", "timeout": "180"}


def test_the_error_for_a_broken_pip_conf_hides_its_content(tmp_path: Path) -> None:
    with pytest.raises(TollgateError) as error:
        pip_conf(host(tmp_path, f"index-url = https://me:{PASSWORD}@index.example\n"))
    assert str(tmp_path / "pip.conf") in str(error.value)
    assert PASSWORD not in str(error.value)


def test_npm_keeps_registries_credentials_and_proxies(tmp_path: Path) -> None:
    given = """registry=https://npm.example/
@ours:registry=https://ours.example/
//npm.example/:_authToken=${NPM_TOKEN}
https-proxy=http://proxy:3128
cafile=/etc/ssl/host.pem
//npm.example/:certfile=/home/me/cert.pem
prefix=/home/me/.npm
; a comment=1
"""
    lines = npmrc(host(tmp_path, npm=given, environment={"NPM_TOKEN": PASSWORD})).splitlines()
    assert lines == [
        "registry=https://npm.example/",
        "@ours:registry=https://ours.example/",
        f"//npm.example/:_authToken={PASSWORD}",
        "https-proxy=http://proxy:3128",
    ]


def test_npm_settings_from_the_environment_win(tmp_path: Path) -> None:
    given = host(tmp_path, npm="registry=https://a/\n", environment={"npm_config_registry": "https://b/"})
    assert npmrc(given) == "registry=https://b/\n"


def test_the_secret_files_are_private_and_removed_afterwards(tmp_path: Path) -> None:
    with secret_files(None, host(tmp_path, f"[global]\nindex-url = https://x:{PASSWORD}@index.example/\n")) as files:
        assert set(files) == {"ca_bundle", "pip_conf", "npmrc"}
        assert {file.stat().st_mode & 0o777 for file in files.values()} == {0o600}
        assert PASSWORD in files["pip_conf"].read_text()
        assert PASSWORD not in "".join(str(file) for file in files.values())
    assert not any(file.exists() for file in files.values())


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (None, "cannot be read"),
        ("DER bytes", "no PEM certificate"),
        ("-----BEGIN CERTIFICATE-----" * 20_000, "larger than"),
    ],
)
def test_an_unusable_ca_bundle_is_refused(tmp_path: Path, content: str | None, complaint: str) -> None:
    file = tmp_path / "ca.pem"
    if content is not None:
        file.write_text(content)
    with pytest.raises(TollgateError, match=complaint), secret_files(file, host(tmp_path)):
        pass


def test_only_the_names_of_proxy_variables_are_passed() -> None:
    given = {"HTTPS_PROXY": f"http://me:{PASSWORD}@proxy:3128", "no_proxy": "localhost", "HTTP_PROXY": ""}
    assert proxy_arguments(given) == ["HTTPS_PROXY", "no_proxy"]
