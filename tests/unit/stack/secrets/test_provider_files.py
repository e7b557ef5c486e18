"""Google's credentials are in a file of the operator. No message quotes its content."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.site import new_home
from tollgate.errors import TollgateError
from tollgate.stack import configuration
from tollgate.stack.secrets import provider_files

ACCOUNT = '{\n "type": "service_account",\n "private_key": "-----BEGIN very secret\\n"\n}\n'


def test_without_the_file_there_is_nothing(tmp_path: Path) -> None:
    assert provider_files.credentials(new_home(tmp_path / "home")) == {}


def test_a_service_account_serves_the_models_that_need_it(tmp_path: Path) -> None:
    site = new_home(tmp_path / "home")
    text = "models: {v: {targets: [{model: vertex_ai/claude-x, region: europe-west1, project: mine}], price: free}}\n"
    site.gateway_file.write_text(text)
    for tenant in site.tenants_dir.glob("*.yaml"):
        tenant.unlink()
    assert dict(configuration.load(site).catalogue.left_out).keys() == {"v"}
    site.secrets_dir.mkdir(exist_ok=True)
    (site.secrets_dir / provider_files.VERTEX_FILE).write_text(ACCOUNT)
    loaded = configuration.load(site)
    assert set(loaded.catalogue.models) == {"v"}
    assert "\n" not in loaded.settings.provider_keys["VERTEX_CREDENTIALS"].reveal()


@pytest.mark.parametrize("content", ["-----BEGIN very secret", '["very secret"]', '{"private_key": "very secret"}'])
def test_a_file_without_credentials_is_refused_and_not_quoted(tmp_path: Path, content: str) -> None:
    site = new_home(tmp_path / "home")
    site.secrets_dir.mkdir(exist_ok=True)
    (site.secrets_dir / provider_files.VERTEX_FILE).write_text(content)
    with pytest.raises(TollgateError) as caught:
        provider_files.credentials(site)
    assert provider_files.VERTEX_FILE in str(caught.value)
    assert "secret" not in str(caught.value).replace(str(site.secrets_dir), "")


def test_aws_credentials_are_in_env(tmp_path: Path) -> None:
    site = new_home(tmp_path / "home", "AWS_ACCESS_KEY_ID=AKIA", "AWS_SECRET_ACCESS_KEY=a/b+c")
    assert set(configuration.settings(site).provider_keys) == {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}
