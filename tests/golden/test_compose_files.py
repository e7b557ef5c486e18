"""Compares the rendered Compose files with reviewed copies in tests/golden/compose; `UPDATE_GOLDEN=1` rewrites them.

And, with Docker: Compose accepts every combination that a deployment can have.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.support.images import stand_ins
from tests.support.site import dials_on, new_home
from tollgate.config.secret import Secret
from tollgate.render import tls
from tollgate.render.litellm import render_basic
from tollgate.render.output import Rendered, write
from tollgate.render.stack import render_replicas
from tollgate.site import Site
from tollgate.stack import configuration
from tollgate.stack.basic import setup
from tollgate.stack.certificates import self_signed
from tollgate.stack.containers import drain
from tollgate.stack.containers.compose import Compose
from tollgate.stack.deploy import render
from tollgate.stack.secrets import publish
from tollgate.stack.secrets import store as secrets

GOLDEN = Path(__file__).with_name("compose")
WATCHERS = {"grafana", "loki", "alloy", "docker-socket-proxy"}
GATEWAYS = {"gateway-1", "gateway-2"}
ALWAYS = {
    *GATEWAYS,
    *("nginx", "postgres", "redis", "migrate", "provider", "prometheus", "alertmanager"),
    *("postgres-exporter", "redis-exporter", "nginx-exporter", "node-exporter"),
}


def rendered(
    home: Path, replicas: int, *, watchers: bool, fixed: bool = False, lines: Sequence[str] = ()
) -> tuple[Site, list[Rendered]]:
    """Everything a deploy renders for a home; `fixed`: with secrets and paths that are the same every time."""
    site = new_home(home, f"REPLICAS={replicas}", f"GATEWAYS={len(GATEWAYS)}", *lines)
    secrets.ensure(site)
    self_signed.ensure(site, configuration.settings(site))
    loaded, images = configuration.load(site), stand_ins(watchers=watchers)
    files = render.rendered_files(site, loaded, render.watchers(loaded, stand_ins(watchers=watchers)))
    published = publish.published(site, loaded.settings)
    if fixed:
        published = [publish.Published(file.service, file.name, file.uid, Secret(file.name)) for file in published]
    return site, [*files, render.compose_env(site, loaded, images, files, published)]


def golden(home: Path) -> dict[str, str]:
    site, files = rendered(home, 3, watchers=True, fixed=True)
    texts = {str(file.path): file.text for file in files}
    env = texts["compose.env"].replace(str(site.home), "/home")
    # The copies do not contain the hashes, because they change with each file. They show only where a hash is.
    env = re.sub(r"'[0-9a-f]{12}-[0-9a-f]{12}'", "'<files>-<secrets>'", env)
    return {"replicas.yaml": texts["compose/replicas.yaml"], "compose.env": env}


@pytest.mark.parametrize(("under_test", "said"), [(False, "no"), (True, "yes")])
def test_the_embedded_provider_is_told_whether_it_is_under_test(tmp_path: Path, under_test: bool, said: str) -> None:
    if under_test:
        dials_on(tmp_path / "home")
    assert f"PROVIDER_UNDER_TEST='{said}'" in golden(tmp_path / "home")["compose.env"]


@pytest.mark.parametrize("name", ["replicas.yaml", "compose.env"])
def test_the_rendered_file_is_the_reviewed_one(tmp_path: Path, name: str) -> None:
    file, text = GOLDEN / name, golden(tmp_path / "home")[name]
    if os.environ.get("UPDATE_GOLDEN"):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    assert text == file.read_text(), f"{name} changed: review it, then UPDATE_GOLDEN=1 pytest {__file__}"


def test_no_reviewed_file_is_left_over() -> None:
    assert {path.name for path in GOLDEN.iterdir()} == {"replicas.yaml", "compose.env"}


def test_twin_another_number_of_replicas_is_another_file() -> None:
    assert render_replicas(Site.here().root, 2, 10).text != (GOLDEN / "replicas.yaml").read_text()


def config(compose: Compose, *options: str) -> subprocess.CompletedProcess[str]:
    """`docker compose config` with nothing of this process's environment that Compose would take for its own."""
    environment = {name: value for name, value in os.environ.items() if not re.match("COMPOSE_|[A-Z_]+_IMAGE$", name)}
    return subprocess.run(
        compose.argv("config", *options), capture_output=True, text=True, timeout=60, check=False, env=environment
    )


def model(compose: Compose) -> dict[str, Any]:
    done = config(compose, "--format", "json")
    assert done.returncode == 0, done.stderr
    assert "warn" not in done.stderr.lower(), done.stderr
    return dict(json.loads(done.stdout))


@pytest.mark.docker
@pytest.mark.parametrize("replicas", [1, 3, 5])
@pytest.mark.parametrize("watchers", [False, True], ids=["without grafana", "with grafana"])
def test_compose_accepts_every_combination(tmp_path: Path, replicas: int, watchers: bool) -> None:
    site, files = rendered(tmp_path / "home", replicas, watchers=watchers)
    write(site.rendered_dir, files)
    compose = Compose.core(site, "tollgate-test")
    services = model(compose)["services"]
    names = {f"litellm-{number}" for number in range(1, replicas + 1)}
    # Nothing in the order is a service that is not there.
    assert compose.order is not None
    assert model(replace(compose, extra=(*compose.extra, compose.order)))["services"].keys() == services.keys()
    assert services.keys() == ALWAYS | names | (WATCHERS if watchers else set())
    assert {service["image"] for service in services.values()} <= set(stand_ins().images.values())


@pytest.mark.docker
@pytest.mark.parametrize("kind", ["off", "self-signed"])
@pytest.mark.parametrize("watchers", [False, True], ids=["without grafana", "with grafana"])
def test_compose_publishes_the_encrypted_port_where_tls_is_on(tmp_path: Path, kind: str, watchers: bool) -> None:
    site, files = rendered(tmp_path / "home", 1, watchers=watchers, lines=(f"TLS={kind}", "TLS_PORT=8443"))
    write(site.rendered_dir, files)
    resolved = model(Compose.core(site, "tollgate-test"))
    ports = {port["target"]: port.get("published") for port in resolved["services"]["nginx"]["ports"]}
    assert ports.get(4443) == (None if kind == "off" else "8443")
    readers = [name for name, service in resolved["services"].items() if "nginx-tls" in str(service.get("secrets"))]
    assert readers == ([] if kind == "off" else ["nginx"])


ASKED = ("TLS=acme", "GATEWAY_HOSTS=gateway.example", "ACME_EMAIL=a@gateway.example")


@pytest.mark.docker
def test_compose_runs_who_fetches_the_certificate_where_acme_is_asked(tmp_path: Path) -> None:
    site, files = rendered(tmp_path / "home", 1, watchers=False, lines=(*ASKED, "EGRESS_PROXY=http://proxy:3128"))
    write(site.rendered_dir, files)
    services = model(Compose.core(site, "tollgate-test"))["services"]
    ports = {port["target"]: port.get("published") for port in services["nginx"]["ports"]}
    assert (ports[4443], ports[4080]) == ("443", "80")
    acme = services["acme"]
    assert acme["environment"]["ACME_NAMES"] == "gateway.example"
    assert acme["environment"]["HTTPS_PROXY"] == "http://proxy:3128"
    assert (acme["read_only"], acme["cap_drop"], acme["user"]) == (True, ["ALL"], "65520:65520")
    assert "ports" not in acme
    # Its key reaches nginx, to read, and nobody else.
    holders = {
        name: volume.get("read_only", False)
        for name, service in services.items()
        for volume in service.get("volumes", [])
        if volume["source"] in ("acme-data", "acme-served")
    }
    assert holders == {"acme": False, "nginx": True}


@pytest.mark.docker
@pytest.mark.parametrize("recipient", ["", "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p"])
def test_compose_accepts_the_schedule_and_mounts_secrets_only_if_kept(tmp_path: Path, recipient: str) -> None:
    lines = ("BACKUP_SCHEDULE=17 2 * * *", f"BACKUP_AGE_RECIPIENT={recipient}")
    site, files = rendered(tmp_path / "a home", 1, watchers=False, lines=lines)
    write(site.rendered_dir, files)
    backup = model(Compose.core(site, "tollgate-test"))["services"]["backup"]
    seen = {volume["source"]: volume.get("read_only", False) for volume in backup["volumes"]}
    written = {f"{site.home}/var/backups", f"{site.home}/var/lock", f"{site.home}/var/rendered/metrics"}
    assert {source for source, only in seen.items() if not only} == written
    public = {f"{site.home}/tenants", f"{site.home}/config"}
    assert seen.keys() - written == ({str(site.home)} if recipient else public)
    assert backup["environment"]["BACKUP_SALT"] != (site.secrets_dir / "litellm_salt_key").read_text().strip()


@pytest.mark.docker
def test_what_holds_data_has_no_way_out(tmp_path: Path) -> None:
    """Docker drops what leaves an internal network; tests/stack/test_isolation.py looks at the running containers."""
    site, files = rendered(tmp_path / "home", 2, watchers=False)
    write(site.rendered_dir, files)
    resolved = model(Compose.core(site, "tollgate-test"))
    closed = {name for name, network in resolved["networks"].items() if network.get("internal")}
    assert closed == {"app", "observability"}
    on = {name: set(service["networks"]) for name, service in resolved["services"].items()}
    assert {name for name, networks in on.items() if networks <= closed} >= {"postgres", "redis", "migrate", "provider"}
    upstreams_are_called_by = GATEWAYS | {"litellm-1", "litellm-2"}
    assert {name for name, networks in on.items() if "egress" in networks} - {"alertmanager"} == upstreams_are_called_by


@pytest.mark.docker
def test_compose_mounts_only_what_was_rendered_and_published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A path that is not there would become an empty directory of root's."""
    monkeypatch.setattr(publish, "_give_away", lambda *_: None)
    site, files = rendered(tmp_path / "home", 3, watchers=True)
    write(site.rendered_dir, [*files, tls.metric(configuration.settings(site), None)])
    published = publish.published(site, configuration.load(site).settings)
    publish.write(site.rendered_dir / "secrets", published, "unused")
    drain.prepare(site.rendered_dir)
    resolved = model(Compose.core(site, "tollgate-test"))
    mounts = {
        Path(volume["source"])
        for service in resolved["services"].values()
        for volume in service.get("volumes", [])
        if volume["type"] == "bind"
    }
    mounts |= {Path(secret["file"]) for secret in resolved["secrets"].values()}
    ours = {path for path in mounts if path.is_relative_to(site.home)}
    assert {path for path in ours if not path.exists()} == set()
    assert {str(path) for path in mounts - ours} == {"/", "/sys", "/var/run/docker.sock"}


@pytest.mark.docker
def test_every_published_secret_is_mounted_by_its_own_service(tmp_path: Path) -> None:
    site, files = rendered(tmp_path / "home", 1, watchers=True)
    write(site.rendered_dir, files)
    resolved = model(Compose.core(site, "tollgate-test"))
    readers: dict[str, set[str]] = {}
    for name, service in resolved["services"].items():
        for secret in service.get("secrets", []):
            path = Path(resolved["secrets"][secret["source"]]["file"])
            readers.setdefault(str(path.relative_to(site.rendered_dir / "secrets")), set()).add(name)
            assert secret["target"].endswith(path.name), f"{name} sees {path.name} as {secret['target']}"
    published = publish.published(site, configuration.load(site).settings)
    assert readers.keys() == {str(file.path) for file in published}
    uids = {str(file.path): file.uid for file in published}
    for path, names in readers.items():
        users = {resolved["services"][name]["user"].split(":")[0] for name in names}
        assert users == {str(uids[path])}, f"{path} belongs to {uids[path]} and is read by {names}"


@pytest.mark.docker
def test_compose_accepts_the_basic_set_up(tmp_path: Path) -> None:
    site = new_home(tmp_path / "home")
    loaded = configuration.load(site)
    images = stand_ins().images
    values = {
        "TOLLGATE_RENDERED": str(site.rendered_dir),
        "GATEWAY_PORT": "4000",
        "LITELLM_CONFIG_HASH": "0",
        **{name: images[name] for name in setup.IMAGES},
    }
    env = "".join(f"{name}='{value}'\n" for name, value in values.items())
    files = [*render_basic(site.root, loaded.gateway, loaded.settings), setup._environment()]
    write(site.rendered_dir, files)
    (site.rendered_dir / "basic.env").write_text(env)
    services = model(Compose.basic(site, "tollgate-test"))["services"]
    assert services.keys() == {"litellm", "provider"}
    environment = services["litellm"]["environment"]
    assert not [name for name in environment if name.startswith(("POSTGRES", "REDIS", "DATABASE"))]


@pytest.mark.docker
@pytest.mark.parametrize("missing", ["POSTGRES_IMAGE", "LITELLM_IMAGE", "PROMETHEUS_IMAGE"])
def test_twin_compose_refuses_a_missing_image(tmp_path: Path, missing: str) -> None:
    site, files = rendered(tmp_path / "home", 1, watchers=False)
    write(site.rendered_dir, files)
    env = site.rendered_dir / "compose.env"
    env.write_text("".join(line for line in env.read_text().splitlines(True) if not line.startswith(missing)))
    done = config(Compose.core(site, "tollgate-test"))
    assert done.returncode != 0
    assert missing in done.stderr
    assert "run make deploy" in done.stderr
