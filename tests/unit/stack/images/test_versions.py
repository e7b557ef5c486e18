"""images/versions.env: the shipped file is correct, and each kind of mistake is reported with its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from tollgate.errors import InputError
from tollgate.site import Site
from tollgate.stack.images.versions import load

SHIPPED = Site.here().root / "images" / "versions.env"


def test_the_shipped_file_pins_every_image_the_compose_files_name() -> None:
    versions = load(SHIPPED)
    state_and_edge = {"LITELLM", "POSTGRES", "REDIS", "NGINX"}
    monitoring = {"PROMETHEUS", "ALERTMANAGER", "GRAFANA", "LOKI", "ALLOY", "SOCKET_PROXY"}
    exporters = {"POSTGRES_EXPORTER", "REDIS_EXPORTER", "NGINX_EXPORTER", "NODE_EXPORTER"}
    assert {f"{name}_IMAGE" for name in state_and_edge | monitoring | exporters} <= set(versions.registry)
    assert versions.registry["LITELLM_IMAGE"].reference == "ghcr.io/berriai/litellm-non_root:v1.108.10"
    assert versions.pins["LITELLM_VERSION"] == "1.108.10"


def test_no_shipped_tag_moves() -> None:
    assert "latest" not in SHIPPED.read_text()
    for name, image in load(SHIPPED).registry.items():
        fixed = any(character.isdigit() for character in image.tag) or name == "DEBIAN_IMAGE"
        assert fixed, f"{name}: {image.tag}"


def test_a_digest_makes_the_reference_exact(tmp_path: Path) -> None:
    digest = "sha256:" + "a" * 64
    (tmp_path / "v").write_text(f"REDIS_IMAGE=docker.io/library/redis:8.10.2\nREDIS_DIGEST={digest}\n")
    image = load(tmp_path / "v").registry["REDIS_IMAGE"]
    assert image.reference == f"docker.io/library/redis:8.10.2@{digest}"
    assert image.listed_as == f"redis@{digest}"


def test_docker_hub_is_listed_without_its_host(tmp_path: Path) -> None:
    (tmp_path / "v").write_text(
        "A_IMAGE=docker.io/library/redis:8\nB_IMAGE=docker.io/prom/x:1\nC_IMAGE=quay.io/y/z:2\n"
    )
    listed = [image.listed_as for image in load(tmp_path / "v").registry.values()]
    assert listed == ["redis:8", "prom/x:1", "quay.io/y/z:2"]


@pytest.mark.parametrize(
    ("registry", "repository", "tag"),
    [
        ("mirror.example:5000", "library/redis", "8.10.2"),
        ("mirror.example", "a/b__c/d-e--f.g", "_8"),
        ("mirror:5000", "redis", "8"),
        ("localhost", "redis", "8"),
        ("localhost:5000", "redis", "8"),
        ("127.0.0.1", "redis", "8"),
        ("10.1.2.3:443", "docker.io/library/redis", "8"),
    ],
)
def test_a_mirror_is_a_host_with_a_dot_or_port_or_localhost(
    tmp_path: Path, registry: str, repository: str, tag: str
) -> None:
    (tmp_path / "v").write_text(f"REDIS_IMAGE={registry}/{repository}:{tag}\n")
    image = load(tmp_path / "v").registry["REDIS_IMAGE"]
    assert (image.registry, image.repository, image.tag) == (registry, repository, tag)
    assert image.reference == image.listed_as == f"{registry}/{repository}:{tag}"


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("REDIS_IMAGE=docker.io/library/redis:latest", "'latest' moves"),
        ("REDIS_IMAGE=redis:8", "expected registry/repository:tag"),
        ("REDIS_IMAGE=docker.io/library/redis", "expected registry/repository:tag"),
        ("REDIS_IMAGE=library/redis:8", "expected a registry, found 'library'"),
        ("REDIS_IMAGE=mirror:/redis:8", "expected registry/repository:tag"),
        ("REDIS_IMAGE=mirror:0/redis:8", "expected registry/repository:tag"),
        ("REDIS_IMAGE=mirror:65536/redis:8", "expected a port from 1 to 65535, found 65536"),
        ("REDIS_IMAGE=mirror:5000/redis", "expected registry/repository:tag"),
        ("REDIS_IMAGE=10.0.0.256/redis:8", "expected an IPv4 address"),
        ("REDIS_IMAGE=10.0.0/redis:8", "expected an IPv4 address"),
        ("REDIS_IMAGE=10.0.0.01:5000/redis:8", "expected an IPv4 address"),
        ("REDIS_IMAGE=https://mirror.example/redis:8", "expected registry/repository:tag"),
        ("REDIS_IMAGE=mirror.example//redis:8", "expected registry/repository:tag"),
        ("REDIS_IMAGE=mirror.example/redis/:8", "expected registry/repository:tag"),
        ("REDIS_IMAGE=mirror..example/redis:8", "expected registry/repository:tag"),
        ("REDIS_IMAGE=-mirror.example/redis:8", "expected registry/repository:tag"),
        ("REDIS_IMAGE=mirror-.example/redis:8", "expected registry/repository:tag"),
        ("REDIS_IMAGE=mirror.example/Redis:8", "expected registry/repository:tag"),
        ("REDIS_IMAGE=mirror.example/re..dis:8", "expected registry/repository:tag"),
        ("REDIS_IMAGE=mirror.example/redis:8 ;id", "expected registry/repository:tag"),
        ("REDIS_IMAGE=mirror.example/redis:-8", "expected registry/repository:tag"),
        (f"REDIS_IMAGE=mirror.example/redis:{'8' * 129}", "expected registry/repository:tag"),
        (f"REDIS_IMAGE=mirror.example/{'r' * 250}:8", "expected at most 255 characters"),
        ("redis=8", "expected NAME=value"),
        ("just words", "expected NAME=value"),
        ("GHOST_DIGEST=", "no image in this file belongs to this digest"),
    ],
)
def test_a_mistake_is_reported_with_its_line(tmp_path: Path, line: str, complaint: str) -> None:
    (tmp_path / "v").write_text(f"# first\n{line}\n")
    with pytest.raises(InputError) as error:
        load(tmp_path / "v")
    [problem] = error.value.problems
    assert problem.line == 2
    assert complaint in problem.message


def test_one_error_reports_all_mistakes(tmp_path: Path) -> None:
    text = "A_IMAGE=docker.io/a/b:1\nA_DIGEST=sha256:short\nA_IMAGE=docker.io/a/b:2\nB_IMAGE=docker.io/a/b:edge\n"
    (tmp_path / "v").write_text(text)
    with pytest.raises(InputError) as error:
        load(tmp_path / "v")
    assert [problem.line for problem in error.value.problems] == [2, 3, 4]


@pytest.mark.parametrize(
    ("version", "complaint"),
    [
        ("1.82.7", "is backdoored"),
        ("1.82.8", "is backdoored"),
        ("1.83.6", "SQL injection without any key (CVE-2026-42208), fixed in 1.83.7"),
        ("1.81.0", "SQL injection"),
        ("1.83.13", "any user can become administrator"),
        ("1.83.14", "Host header"),
    ],
)
def test_a_litellm_that_must_not_run_is_refused_with_its_line(tmp_path: Path, version: str, complaint: str) -> None:
    text = f"# pins\nLITELLM_IMAGE=ghcr.io/berriai/litellm-non_root:v{version}-stable\nLITELLM_VERSION={version}\n"
    (tmp_path / "v").write_text(text)
    with pytest.raises(InputError) as error:
        load(tmp_path / "v")
    assert [(problem.line, problem.path) for problem in error.value.problems] == [
        (2, "LITELLM_IMAGE"),
        (3, "LITELLM_VERSION"),
    ]
    assert all(complaint in problem.message and problem.hint for problem in error.value.problems)


@pytest.mark.parametrize("version", ["1.84.0", "1.100.1", "1.108.10", "2.0.0"])
def test_twin_a_later_litellm_is_accepted(tmp_path: Path, version: str) -> None:
    (tmp_path / "v").write_text(f"LITELLM_VERSION={version}\n")
    assert load(tmp_path / "v").pins["LITELLM_VERSION"] == version
