"""A deployment with GATEWAYS=2, compared with tests/golden/gateways; `UPDATE_GOLDEN=1` rewrites the copies.

Its nginx.conf is in nginx-gateways, its prometheus.yml in observability/two-gateways.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.support.site import new_home
from tollgate.config.env import settings as env
from tollgate.config.gateway import load as gateway
from tollgate.render.gateway import render_gateways
from tollgate.render.stack import render_order
from tollgate.site import Site
from tollgate.stack import configuration
from tollgate.stack.deploy import render
from tollgate.stack.secrets import publish
from tollgate.stack.secrets import store as secrets

ROOT = Site.here().root
GOLDEN = Path(__file__).with_name("gateways")
KEYS = "ANTHROPIC_API_KEY=sk-ant-secret\nOPENAI_API_KEY=sk-proj-secret\nOPENROUTER_API_KEY=sk-or-secret\n"
SHIPPED = gateway.load(ROOT / "config" / "gateway.yaml")
FILES = {
    file.path.name: file.text
    for file in (
        *render_gateways(ROOT, SHIPPED, env.parse(f"GATEWAYS=2\n{KEYS}", Path(".env"))),
        render_order(ROOT, 3, 2, backup=False),
    )
}


@pytest.mark.parametrize("name", FILES)
def test_the_rendered_file_is_the_reviewed_one(name: str) -> None:
    if os.environ.get("UPDATE_GOLDEN"):
        GOLDEN.mkdir(exist_ok=True)
        (GOLDEN / name).write_text(FILES[name])
    assert FILES[name] == (GOLDEN / name).read_text(), f"{name} changed: review it, then UPDATE_GOLDEN=1"


def test_no_reviewed_file_is_left_over() -> None:
    names = {"catalogue.json", "console.json", "gateways.yaml", "order.yaml", "replicas"}
    assert {path.name for path in GOLDEN.iterdir()} == names == FILES.keys()


@pytest.mark.parametrize("name", FILES)
def test_no_secret_is_rendered(name: str) -> None:
    assert "secret" not in FILES[name].replace("/secrets/", "").replace("secrets:", "")


def _deployed(home: Path, *lines: str) -> tuple[dict[str, str], set[str]]:
    """Everything a deploy renders, and the services that get secrets."""
    site = new_home(home, *lines)
    secrets.ensure(site)
    loaded = configuration.load(site)
    files = render.rendered_files(site, loaded, [])
    return {str(file.path): file.text for file in files}, {
        file.service for file in publish.published(site, loaded.settings)
    }


def test_gateways_add_only_their_own_files_and_secrets(tmp_path: Path) -> None:
    without, readers = _deployed(tmp_path / "without", "GATEWAYS=0")
    with_them, more_readers = _deployed(tmp_path / "with", "GATEWAYS=2")
    added = {"compose/gateways.yaml", "gateway/catalogue.json", "gateway/console.json", "gateway/replicas"}
    added |= {"nginx/gateways"}
    assert with_them.keys() - without.keys() == added
    changed = {path for path in without if without[path] != with_them[path]}
    assert changed == {"compose/order.yaml", "nginx/nginx.conf", "prometheus/prometheus.yml"}
    assert more_readers - readers == {"gateway"}
