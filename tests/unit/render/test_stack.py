"""The Compose side of what is rendered: replicas, code, and compose.env against the variables the files use."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
from ruamel.yaml import YAML

from tests.support.images import REGISTRY_ONLY, stand_ins
from tests.support.site import new_home
from tollgate.render import stack as render_stack
from tollgate.render.observability import WITHOUT_GRAFANA
from tollgate.render.output import Rendered, digest, prune, write
from tollgate.render.stack import below, render_code, render_compose_env, render_mounted, render_replicas, replica_names
from tollgate.render.watchers import WATCHERS
from tollgate.site import Site
from tollgate.stack import configuration
from tollgate.stack.deploy import render
from tollgate.stack.secrets import publish
from tollgate.stack.secrets import store as secrets
from tollgate.stack.secrets.nginx_read import nginx_has_read_it, nginx_to_reload

ROOT = Site.here().root
# What .env of the compose command itself sets, not a value in a file.
COMPOSES_OWN = {"COMPOSE_PROJECT_NAME", "COMPOSE_PROFILES"}
# How long a rollout waits for streams: for the next command that changes containers.
READ_BY_THE_KIT = {"STREAMS_MAY_TAKE_S"}
FILES = (
    *("compose.yaml", "observability.yaml", "tls.yaml", "acme.yaml.j2", "backup.yaml.j2", "replicas.yaml.j2"),
    "gateways.yaml.j2",
)


def used_variables(text: str) -> set[str]:
    """Names in ${NAME} and ${NAME:?message}, but not in $${...}, which is for a container's shell."""
    return set(re.findall(r"(?<!\$)\$\{([A-Z][A-Z0-9_]*)", text))


def names(rendered: Rendered) -> dict[str, str]:
    lines = [line for line in rendered.text.splitlines() if not line.startswith("#")]
    return dict(line.split("=", 1) for line in lines)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    made = new_home(tmp_path / "home")
    secrets.ensure(made)
    return made


def compose_env(site: Site, *, watchers: bool = True) -> Rendered:
    loaded = configuration.load(site)
    files = render.rendered_files(site, loaded, render.watchers(loaded, stand_ins(watchers=watchers)))
    published = publish.published(site, loaded.settings)
    return render.compose_env(site, loaded, stand_ins(watchers=watchers), files, published)


@pytest.mark.parametrize("count", [1, 3, 32])
def test_there_is_one_service_a_replica(count: int) -> None:
    services: dict[str, Any] = YAML(typ="safe").load(render_replicas(ROOT, count, 10).text)["services"]
    assert list(services) == replica_names(count)
    for name, service in services.items():
        assert service["hostname"] == name
        assert service["extra_hosts"] == ["host.docker.internal:host-gateway"]
        assert "TOLLGATE_REPLICA" not in service["environment"], "its host name says it"
        assert all(isinstance(value, str) for value in service["environment"].values()), "YAML must not read a 5432"


def test_replicas_differ_in_their_names_only() -> None:
    services: dict[str, Any] = YAML(typ="safe").load(render_replicas(ROOT, 2, 10).text)["services"]
    first, second = (repr(service).replace(name, "X") for name, service in services.items())
    assert first == second


def test_each_replica_has_its_share_of_the_databases_connections() -> None:
    services: dict[str, Any] = YAML(typ="safe").load(render_replicas(ROOT, 2, 7).text)["services"]
    assert {service["environment"]["POSTGRES_POOL"] for service in services.values()} == {"7"}


def test_no_secret_and_no_provider_key_is_in_a_replicas_environment() -> None:
    assert not [name for name in render_stack.REPLICA_ENVIRONMENT if re.search("PASSWORD|SECRET|_KEY|DATABASE", name)]


def test_only_the_replicas_own_programs_are_copied() -> None:
    """Any change in them restarts every replica, so the embedded provider and the rest must not be among them."""
    parts = [file.path.parts for file in render_code(ROOT)]
    assert {path[:3] for path in parts if len(path) > 4} == {("code", "tollgate", "services")}
    assert {path[3] for path in parts if len(path) > 4} == {
        "choice",
        "hooks",
        "limits",
        "refusals",
        "replica",
        "requests",
    }
    assert {path[1:] for path in parts if len(path) <= 4} == {
        ("tollgate", "__init__.py"),
        ("tollgate", "services", "__init__.py"),
    }
    assert all(file.text == (ROOT / "src" / file.path.relative_to("code")).read_text() for file in render_code(ROOT))


def test_compose_env_has_exactly_the_variables_of_the_compose_files(site: Site) -> None:
    used = set().union(*(used_variables((ROOT / "compose" / name).read_text()) for name in FILES))
    assert set(names(compose_env(site))) == used | COMPOSES_OWN | READ_BY_THE_KIT


def test_twin_a_variable_that_nothing_fills_would_be_seen() -> None:
    assert used_variables("a: ${NEW_IMAGE:?run make deploy} b: ${PORT}:1 c: $${SHELL} d: $$(cat x)") == {
        "NEW_IMAGE",
        "PORT",
    }


def test_compose_env_holds_no_secret(site: Site) -> None:
    text = compose_env(site).text
    assert not [spec.name for spec in secrets.GENERATED if secrets.read(site, spec.name).reveal() in text]


def test_the_profile_and_the_images_of_the_watchers_come_together(site: Site) -> None:
    with_them, without = names(compose_env(site)), names(compose_env(site, watchers=False))
    assert with_them["COMPOSE_PROFILES"] == f"'{','.join(WATCHERS)}'"
    assert without["COMPOSE_PROFILES"] == f"'{','.join(WITHOUT_GRAFANA)}'"
    assert {without[name] for name in REGISTRY_ONLY} == {"'unavailable'"}, "Compose wants every variable filled"


def test_the_same_configuration_gives_the_same_bytes(site: Site) -> None:
    assert compose_env(site).text == compose_env(site).text


def hashes(site: Site) -> dict[str, str]:
    return {name: value for name, value in names(compose_env(site)).items() if name.endswith("_CONFIG_HASH")}


def changed(before: dict[str, str], after: dict[str, str]) -> set[str]:
    return {name.removesuffix("_CONFIG_HASH") for name in before if before[name] != after[name]}


def test_a_changed_secret_changes_the_hash_of_those_who_read_it(site: Site) -> None:
    before = hashes(site)
    (site.secrets_dir / "redis_password").write_text("another-one-of-forty-three-random-characters\n")
    assert changed(before, hashes(site)) == {"REDIS", "LITELLM", "GATEWAY", "REDIS_EXPORTER"}


def test_a_changed_limit_of_nginx_recreates_nothing(site: Site) -> None:
    """nginx reads it when told to, and keeps its streams meanwhile (nginx_to_reload)."""
    before = hashes(site)
    file = site.gateway_file
    file.write_text(file.read_text().replace("requests_per_second: 50", "requests_per_second: 51"))
    assert changed(before, hashes(site)) == set()


NEEDS = [("nginx/entrypoint.sh", {"NGINX"}), ("nginx/checks.sh", {"NGINX"}), ("nginx/nginx.conf", set())]


@pytest.mark.parametrize(("name", "expected"), NEEDS)
def test_only_nginxs_programs_need_a_new_container(site: Site, name: str, expected: set[str]) -> None:
    """A running shell script does not read itself again."""
    loaded = configuration.load(site)
    files = render.rendered_files(site, loaded, list(WATCHERS))
    published = publish.published(site, loaded.settings)

    def labels(files: list[Rendered]) -> dict[str, str]:
        found = names(render.compose_env(site, loaded, stand_ins(), files, published))
        return {key: value for key, value in found.items() if key.endswith("_CONFIG_HASH")}

    other = [replace(file, text=file.text + "# new\n") if str(file.path) == name else file for file in files]
    assert other != files
    assert changed(labels(files), labels(other)) == expected


def test_nginx_is_told_when_its_files_differ_from_those_it_read(site: Site) -> None:
    (site.rendered_dir / "nginx").mkdir(parents=True)
    conf = site.rendered_dir / "nginx" / "nginx.conf"
    conf.write_text("a")
    assert nginx_to_reload(site), "it never read any"
    nginx_has_read_it(site)
    assert not nginx_to_reload(site)
    conf.write_text("b")
    assert nginx_to_reload(site)


def test_what_is_no_longer_rendered_is_removed_and_nothing_else(tmp_path: Path) -> None:
    """A dropped rule would otherwise go on being read: programs take all of their directory."""
    old = [Rendered(PurePosixPath(name), "x") for name in ("prometheus/rules/a.yml", "prometheus/b.yml", "nginx/c")]
    write(tmp_path, old)
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "kept").touch()
    (tmp_path / "nginx-read").touch()
    assert prune(tmp_path, old) == []
    assert prune(tmp_path, old[1:2]) == [PurePosixPath("prometheus/rules/a.yml")]
    left = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file())
    assert left == ["nginx-read", "nginx/c", "prometheus/b.yml", "secrets/kept"]


def test_a_provider_key_changes_the_replicas_and_the_gateway_processes(site: Site) -> None:
    before = hashes(site)
    with site.env_file.open("a") as stream:
        stream.write("ANTHROPIC_API_KEY=sk-ant-0123\n")
    assert changed(before, hashes(site)) == {"LITELLM", "GATEWAY"}


def test_a_path_with_a_space_or_a_dollar_stays_one_value() -> None:
    text = render_compose_env({"TOLLGATE_ROOT": "/srv/my $kit"}, {}, {}).text
    assert text.endswith("TOLLGATE_ROOT='/srv/my $kit'\n")


def test_mounted_files_are_copies_that_containers_can_read(tmp_path: Path) -> None:
    script = tmp_path / "config" / "postgres" / "initdb.d" / "10.sh"
    script.parent.mkdir(parents=True)
    script.write_text("#!/bin/sh\n")
    (tmp_path / "config" / "redis").mkdir()
    (tmp_path / "config" / "redis" / "redis.conf").write_text("port 6379\n")
    script.chmod(0o700)
    (tmp_path / "config" / "redis" / "redis.conf").chmod(0o600)
    found = {str(file.path): (file.text, file.mode) for file in render_mounted(tmp_path)}
    assert found.pop("users/passwd")[1] == 0o644
    assert found == {"redis/redis.conf": ("port 6379\n", 0o644), "initdb/10.sh": ("#!/bin/sh\n", 0o755)}


def test_below_takes_whole_directory_names() -> None:
    files = render_code(ROOT)
    assert below(files, "code") == files
    assert below(files, "cod") == []
    assert digest(below(files, "nginx")) == digest([])


def test_the_way_to_providers_and_who_is_trusted_reach_every_replica() -> None:
    given = render_replicas(ROOT, 2, 10, proxy="http://proxy.example:3128", authorities=True).text
    for service in YAML(typ="safe").load(given)["services"].values():
        environment = service["environment"]
        assert environment["HTTPS_PROXY"] == "http://proxy.example:3128"
        # Or each query and each counter would be carried through somebody's proxy.
        assert {"postgres", "redis", "provider", "localhost"} <= set(environment["NO_PROXY"].split(","))
        assert environment["TOLLGATE_AUTHORITIES"] == "/etc/litellm/ca.crt"
        assert "HTTP_PROXY" not in environment
    plain = render_replicas(ROOT, 2, 10).text
    assert "PROXY" not in plain
    assert "AUTHORITIES" not in plain
