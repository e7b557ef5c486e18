"""The replica's entrypoint: it reads secret files, sets LiteLLM's environment and execs the server."""

from __future__ import annotations

import ast
import json
import os
import ssl
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import unquote, urlsplit

import certifi
import pytest

from tollgate.services.replica import __main__ as replica
from tollgate.stack.certificates.self_signed import make

HARD = "p@ss:w/rd?#%&+ é"
POSTGRES = {"POSTGRES_HOST": "postgres", "POSTGRES_PORT": "5432", "POSTGRES_USER": "litellm", "POSTGRES_DB": "litellm"}
POSTGRES["POSTGRES_POOL"] = "7"
FILES = {
    "master_key": "sk-master",
    "salt_key": "sk-salt",
    "postgres_password": HARD,
    "redis_password": "redis-word",
    "provider_keys.json": json.dumps({"ANTHROPIC_API_KEY": "sk-ant-1"}),
}


@pytest.fixture
def secrets(tmp_path: Path) -> Path:
    for name, value in FILES.items():
        (tmp_path / name).write_text(value + "\n")
    return tmp_path


def test_every_secret_has_litellms_name_for_it(secrets: Path) -> None:
    environ = replica.environment(secrets, {**POSTGRES, "TZ": "UTC"})
    assert {name: environ[name] for name in environ if name not in POSTGRES and name != "DATABASE_URL"} == {
        "TZ": "UTC",
        "LITELLM_MASTER_KEY": "sk-master",
        "LITELLM_SALT_KEY": "sk-salt",
        "REDIS_PASSWORD": "redis-word",
        "ANTHROPIC_API_KEY": "sk-ant-1",
    }


def test_a_password_with_special_characters_of_urls_is_kept(secrets: Path) -> None:
    url = urlsplit(replica.environment(secrets, POSTGRES)["DATABASE_URL"])
    assert (url.scheme, url.hostname, url.port, url.path, url.username) == (
        "postgresql",
        "postgres",
        5432,
        "/litellm",
        "litellm",
    )
    assert unquote(url.password or "") == HARD
    assert "connection_limit=7" in url.query.split("&")


def test_without_a_database_litellm_gets_no_settings_for_one(secrets: Path) -> None:
    for name in ("postgres_password", "redis_password", "salt_key"):
        (secrets / name).unlink()
    environ = replica.environment(secrets, {"TZ": "UTC"})
    assert set(environ) == {"TZ", "LITELLM_MASTER_KEY", "ANTHROPIC_API_KEY"}


def test_a_missing_provider_key_is_not_an_error(secrets: Path) -> None:
    (secrets / "provider_keys.json").write_text("{}")
    assert "ANTHROPIC_API_KEY" not in replica.environment(secrets, POSTGRES)


START = """
from pathlib import Path
from tollgate.services.replica import __main__ as replica
replica.SECRETS, replica.SERVER = Path({secrets!r}), "stand_in"
replica.main()
"""
STAND_IN = "import os, sys; print('pid', os.getpid(), 'args', sys.argv[1:], 'master', os.environ['LITELLM_MASTER_KEY'])"


@pytest.fixture
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a server that prints how it was started."""
    directory = tmp_path_factory.mktemp("server")
    (directory / "stand_in.py").write_text(STAND_IN)
    return directory


def run(secrets: Path, program: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Start it as in the container, with another directory of secrets and a stand-in for the server.

    `-S` leaves site-packages out, so only the standard library can be imported.
    """
    source = Path(__file__).resolve().parents[4] / "src"
    environ = {"PATH": os.environ["PATH"], "PYTHONPATH": f"{source}:{program}", **environment}
    with subprocess.Popen(
        [sys.executable, "-S", "-c", START.format(secrets=str(secrets))],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environ,
    ) as process:
        out, err = process.communicate(timeout=60)
    return subprocess.CompletedProcess([process.pid], process.returncode, out, err)


def test_the_server_replaces_the_entrypoint(secrets: Path, program: Path) -> None:
    """It is the same process, so signals reach it. No secret is in its arguments, because `ps` shows them."""
    done = run(secrets, program, **POSTGRES)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"pid {done.args[0]} args [] master sk-master\n"


@pytest.mark.parametrize("name", sorted(FILES))
def test_a_missing_file_is_named(secrets: Path, program: Path, name: str) -> None:
    (secrets / name).unlink()
    done = run(secrets, program, **POSTGRES)
    assert done.returncode == 1
    assert "error: replica cannot start: [Errno 2]" in done.stderr
    assert name in done.stderr
    assert "Traceback" not in done.stderr
    assert "hint:  run `make deploy`" in done.stderr


@pytest.mark.parametrize("name", sorted(FILES))
def test_an_empty_file_is_named(secrets: Path, program: Path, name: str) -> None:
    (secrets / name).write_text("\n")
    done = run(secrets, program, **POSTGRES)
    assert done.returncode == 1
    assert f"secret {name} is empty" in done.stderr


def test_secrets_are_never_shown(secrets: Path, program: Path) -> None:
    (secrets / "provider_keys.json").write_text('{"ANTHROPIC_API_KEY": "sk-ant-precious')
    done = run(secrets, program, **POSTGRES)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    for value in ("sk-ant-precious", *FILES.values()):
        assert value not in done.stdout + done.stderr


def test_a_missing_setting_is_named(secrets: Path, program: Path) -> None:
    done = run(secrets, program, POSTGRES_HOST="postgres")
    assert done.returncode == 1
    assert "POSTGRES_PORT" in done.stderr


def test_it_imports_only_the_standard_library_and_certifi() -> None:
    """It runs with the Python of any LiteLLM image. LiteLLM itself needs certifi, so every image has it."""
    tree = ast.parse(Path(str(replica.__file__)).read_text())
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    imported |= {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert {name.partition(".")[0] for name in imported} <= sys.stdlib_module_names | {"certifi"}


def test_the_operators_and_the_images_authorities_are_trusted(tmp_path: Path) -> None:
    given, bundle = tmp_path / "ca.crt", tmp_path / "bundle.pem"
    text = make(("private.example",), datetime.now(UTC)).reveal()
    given.write_text(text[text.index("-----BEGIN CERTIFICATE") :])
    environ = replica.trusting({"TOLLGATE_AUTHORITIES": str(given), "TZ": "UTC"}, bundle)
    assert {environ[name] for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "AWS_CA_BUNDLE")} == {str(bundle)}
    context = ssl.create_default_context(cafile=str(bundle))
    # The image's own authorities, which public providers need, and this one.
    usual = ssl.create_default_context(cafile=certifi.where()).cert_store_stats()["x509"]
    assert usual > 50
    assert context.cert_store_stats()["x509"] == usual + 1


def test_twin_without_authorities_nothing_changes(tmp_path: Path) -> None:
    assert replica.trusting({"TZ": "UTC"}, tmp_path / "bundle.pem") == {"TZ": "UTC"}
    assert not (tmp_path / "bundle.pem").exists()
