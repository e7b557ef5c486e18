"""How long a running request is waited for: nobody is cut off by a rollout that nginx itself would let finish."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from tests.support.images import stand_ins
from tests.support.site import new_home
from tollgate.render.times import Times
from tollgate.stack import configuration
from tollgate.stack.containers.compose import Compose
from tollgate.stack.deploy import render
from tollgate.stack.secrets import publish
from tollgate.stack.secrets import store as secrets


def rendered(home: Path, read_timeout_s: str) -> dict[str, str]:
    """Every rendered file by its path, with compose.env."""
    site = new_home(home)
    secrets.ensure(site)
    text = site.gateway_file.read_text()
    site.gateway_file.write_text(re.sub(r"read_timeout_s: \d+", f"read_timeout_s: {read_timeout_s}", text))
    loaded, images = configuration.load(site), stand_ins()
    files = render.rendered_files(site, loaded, [])
    env = render.compose_env(site, loaded, images, files, publish.published(site, loaded.settings))
    return {str(file.path): file.text for file in (*files, env)}


def waits(home: Path, read_timeout_s: str) -> tuple[float, str, str, str]:
    """Of a rollout, of nginx's old workers, of Docker for a replica, of Docker for nginx."""
    files = rendered(home, read_timeout_s)
    (home / "compose.env").write_text(files["compose.env"])
    environment = Compose("t", (), home / "compose.env").environment
    replicas = YAML(typ="safe").load(files["compose/replicas.yaml"])["services"]
    [of_a_replica] = {str(service["stop_grace_period"]) for service in replicas.values()}
    workers = re.search(r"worker_shutdown_timeout (\S+);", files["nginx/nginx.conf"])
    assert workers
    return Times.deployed(environment).streams, workers[1], of_a_replica, environment["NGINX_STOP_GRACE"]


def test_the_shipped_setting_gives_these_times(tmp_path: Path) -> None:
    assert waits(tmp_path / "home", "600") == (600, "660s", "660s", "670s")


def test_a_longer_read_timeout_makes_all_of_them_longer(tmp_path: Path) -> None:
    assert waits(tmp_path / "home", "1200") == (1200, "1260s", "1260s", "1270s")


@pytest.mark.parametrize("read_timeout_s", [0.5, 600, 600.5, 1200, 86_400])
def test_each_waits_longer_than_what_it_waits_for(read_timeout_s: float) -> None:
    times = Times.of(read_timeout_s)
    assert read_timeout_s <= times.streams < times.nginx_workers < times.nginx_grace
    assert times.streams < times.replica_grace


def test_a_short_read_timeout_makes_none_shorter() -> None:
    """It is the time without data: a stream may go on for longer."""
    assert Times.of(30) == Times.of(600)


def test_a_stack_of_an_older_kit_has_the_times_of_that_kit() -> None:
    assert Times.deployed({}) == Times.of(600)
