"""Compares nginx's rendered files with copies in tests/golden/nginx; `UPDATE_GOLDEN=1` rewrites them for a review.

With Docker, nginx itself accepts the files, for each number of replicas and at the limits of each setting.
"""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from tests.support.images import image
from tollgate.render.nginx import render_nginx
from tollgate.render.output import write

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = Path(__file__).with_name("nginx")


@dataclass(frozen=True)
class Limits:
    requests_per_second: int = 50
    burst: int = 100
    connections_per_address: int = 1000
    max_body_mb: int = 32
    read_timeout_s: float = 600.0
    connect_timeout_s: float = 5.0


FILES = {str(file.path).removeprefix("nginx/"): file.text for file in render_nginx(ROOT, Limits(), 3, "1.2.3")}


# With TLS nothing but the one file differs.
ENCRYPTED = {str(file.path): file.text for file in render_nginx(ROOT, Limits(), 3, "1.2.3", tls=True)}
TLS_CONF = GOLDEN.parent / "nginx-tls" / "nginx.conf"


def test_with_tls_only_the_listener_is_added() -> None:
    text = ENCRYPTED["nginx/nginx.conf"]
    if os.environ.get("UPDATE_GOLDEN"):
        TLS_CONF.parent.mkdir(exist_ok=True)
        TLS_CONF.write_text(text)
    assert text == TLS_CONF.read_text(), "nginx.conf with TLS changed: review it, then UPDATE_GOLDEN=1"
    assert {name for name, other in ENCRYPTED.items() if FILES[name.removeprefix("nginx/")] != other} == {
        "nginx/nginx.conf"
    }
    assert "4443" not in FILES["nginx.conf"]


# With gateway processes before the replicas.
WITH_GATEWAYS = {
    str(file.path).removeprefix("nginx/"): file.text for file in render_nginx(ROOT, Limits(), 3, "1.2.3", gateways=2)
}
GATEWAYS_GOLDEN = GOLDEN.parent / "nginx-gateways"


def test_gateway_processes_change_two_files() -> None:
    """The directory keeps only the files that differ from those without gateway processes."""
    changed = {name: text for name, text in WITH_GATEWAYS.items() if FILES.get(name) != text}
    assert changed.keys() == {"nginx.conf", "gateways"}
    if os.environ.get("UPDATE_GOLDEN"):
        GATEWAYS_GOLDEN.mkdir(exist_ok=True)
        for name, text in changed.items():
            (GATEWAYS_GOLDEN / name).write_text(text)
    assert {path.name: path.read_text() for path in GATEWAYS_GOLDEN.iterdir()} == changed


@pytest.mark.parametrize(
    ("gateways", "direct", "route"), [(0, True, "litellm"), (2, True, "direct"), (2, False, "litellm")]
)
def test_health_names_the_route_that_is_on(gateways: int, direct: bool, route: str) -> None:
    files = render_nginx(ROOT, Limits(), 3, "1.2.3", gateways=gateways, direct=direct)
    [text] = [file.text for file in files if file.path.name == "nginx.conf"]
    answers = [line for line in text.splitlines() if "proxy_backend" in line]
    assert len(answers) == 2
    assert all(line.endswith(f'"version":"1.2.3","route":"{route}"}}\';') for line in answers)


def test_with_acme_a_port_of_its_own_answers_only_challenges() -> None:
    files = {str(file.path): file.text for file in render_nginx(ROOT, Limits(), 3, "1.2.3", tls=True, acme=True)}
    assert {name for name, text in files.items() if ENCRYPTED[name] != text} == {"nginx/nginx.conf"}
    text = files["nginx/nginx.conf"]
    [added] = [server for server in text.split("\n    server {\n") if "listen 4080" in server]
    added = added[: added.index("\n    }\n")]
    locations = [line.strip() for line in added.splitlines() if line.strip().startswith("location")]
    assert locations == ["location /.well-known/acme-challenge/ {", "location / {"]
    assert "proxy_pass" not in added
    assert text.count("ssl_certificate /run/nginx/tls.pem;") == 1
    assert "4080" not in ENCRYPTED["nginx/nginx.conf"]


def test_both_public_listeners_have_the_same_routes() -> None:
    """A path that is closed on one listener must be closed on the other."""
    servers = ENCRYPTED["nginx/nginx.conf"].split("\n    server {\n")
    plain, encrypted = (next(text for text in servers if f"listen {port}" in text) for port in (4000, 4443))
    plain, encrypted = (
        text[text.index("        server_name") : text.index("\n    }\n")] for text in (plain, encrypted)
    )
    assert plain == encrypted
    assert "location = /v1/messages {" in plain


@pytest.mark.parametrize("name", FILES)
def test_the_rendered_file_is_the_reviewed_one(name: str) -> None:
    golden = GOLDEN / name
    if os.environ.get("UPDATE_GOLDEN"):
        golden.parent.mkdir(parents=True, exist_ok=True)
        golden.write_text(FILES[name])
    assert FILES[name] == golden.read_text(), f"{name} changed: review it, then UPDATE_GOLDEN=1 pytest {__file__}"


def test_no_reviewed_file_is_left_over() -> None:
    assert {str(path.relative_to(GOLDEN)) for path in GOLDEN.rglob("*") if path.is_file()} == set(FILES)


@pytest.fixture(scope="session")
def nginx_image() -> str:
    return image("NGINX_IMAGE")


def accepts(reference: str, directory: Path) -> subprocess.CompletedProcess[str]:
    """`entrypoint.sh test` in the container as the stack runs it: nginx -t with a first list of replicas."""
    for path in (directory, *directory.rglob("*")):
        path.chmod(0o755)
    hardening = [
        "--user=65520:65520",
        "--read-only",
        "--cap-drop=ALL",
        "--security-opt=no-new-privileges",
        "--network=none",
    ]
    writable = ["--tmpfs=/run/nginx:uid=65520,mode=0755", "--tmpfs=/tmp:uid=65520,mode=0700"]
    mount = f"--volume={directory / 'nginx'}:/etc/nginx/tollgate:ro"
    command = ["/etc/nginx/tollgate/entrypoint.sh", "test"]
    return subprocess.run(
        [
            "docker",
            "run",
            "--rm",
            *hardening,
            *writable,
            mount,
            "--entrypoint=/bin/sh",
            reference,
            *command,
        ],
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.mark.docker
@pytest.mark.parametrize(
    ("limits", "replicas", "gateways"),
    [
        (Limits(), 1, 0),
        (Limits(), 3, 0),
        (Limits(), 12, 0),
        (Limits(), 3, 2),
        (Limits(requests_per_second=1, burst=0, max_body_mb=1, read_timeout_s=0.5, connect_timeout_s=0.1), 2, 0),
        (Limits(requests_per_second=10_000, burst=100_000, max_body_mb=2000, read_timeout_s=86_400), 2, 0),
    ],
    ids=["one replica", "three", "twelve", "gateway processes", "smallest", "largest"],
)
def test_nginx_accepts_what_is_rendered(
    nginx_image: str, tmp_path: Path, limits: Limits, replicas: int, gateways: int
) -> None:
    write(tmp_path, render_nginx(ROOT, limits, replicas, "1.2.3", gateways=gateways))
    done = accepts(nginx_image, tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.docker
def test_twin_nginx_refuses_a_broken_one(nginx_image: str, tmp_path: Path) -> None:
    write(tmp_path, render_nginx(ROOT, replace(Limits(), connect_timeout_s=5), 3, "1.2.3"))
    conf = tmp_path / "nginx" / "nginx.conf"
    conf.write_text(conf.read_text().replace("zone=per_key burst", "zone=nobody burst"))
    done = accepts(nginx_image, tmp_path)
    assert done.returncode != 0
    assert "nobody" in done.stderr
