"""The checks before a deploy changes anything. Each problem has a hint."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tollgate.config.env.settings import Settings, parse
from tollgate.errors import TollgateError
from tollgate.site import Site
from tollgate.stack.containers.compose import Compose
from tollgate.stack.deploy import preflight
from tollgate.stack.deploy.preflight import Port
from tollgate.stack.deployment import Deployment
from tollgate.stack.secrets import store as secrets


@pytest.fixture
def busy() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.fixture(autouse=True)
def roomy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight, "disk_free_gib", lambda: 100.0)
    monkeypatch.setattr(preflight, "memory_gib", lambda: 16.0)


@pytest.fixture(autouse=True)
def idle(monkeypatch: pytest.MonkeyPatch) -> None:
    """A project without running containers."""
    monkeypatch.setattr(Compose, "any_running", lambda _: False)


def deployment(**ports: int) -> Deployment:
    return Deployment.of(Site.here(Path("/nowhere")), settings(**ports))


def settings(**ports: int) -> Settings:
    chosen = {"GATEWAY_PORT": 0, "ADMIN_PORT": 0, "GRAFANA_PORT": 0, "PROMETHEUS_PORT": 0} | ports
    lines = "".join(f"{name}={value}\n" for name, value in chosen.items())
    return parse(f"GATEWAY_BIND=127.0.0.1\n{lines}", Path(".env"))


@pytest.mark.parametrize("name", ["GATEWAY_PORT", "ADMIN_PORT"])
def test_a_busy_port_is_named_with_the_setting_that_moves_it(busy: int, name: str) -> None:
    with pytest.raises(TollgateError, match=rf"port {busy} on 127\.0\.0\.1 is in use; set {name} in \.env"):
        preflight.check_host(deployment(**{name: busy}))


@pytest.mark.parametrize("name", ["GRAFANA_PORT", "PROMETHEUS_PORT"])
def test_a_busy_port_of_an_optional_service_stops_nothing(busy: int, name: str) -> None:
    assert preflight.check_host(deployment(**{name: busy})) == []


def test_grafanas_port_is_not_checked_if_grafana_is_off() -> None:
    on, off = (parse(f"GRAFANA={value}\n", Path(".env")) for value in ("on", "off"))
    left = {port.setting for port in preflight.ports(on)} - {port.setting for port in preflight.ports(off)}
    assert left == {"GRAFANA_PORT"}


def test_port_0_is_always_free() -> None:
    assert preflight.check_host(deployment()) == []


def test_a_running_deployment_may_use_its_own_ports(busy: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Compose, "any_running", lambda _: True)
    preflight.check_host(deployment(GATEWAY_PORT=busy))


def test_one_error_lists_every_problem(busy: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight, "disk_free_gib", lambda: 0.5)
    with pytest.raises(TollgateError) as refused:
        preflight.check_host(deployment(GATEWAY_PORT=busy))
    for part in ("expected 1 GiB of free disk, found 0.5", f"port {busy}"):
        assert part in refused.value.message


def test_low_disk_space_and_memory_are_warnings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight, "disk_free_gib", lambda: 1.5)
    monkeypatch.setattr(preflight, "memory_gib", lambda: 2.0)
    disk, memory = preflight.check_host(deployment())
    assert "1.5 GiB free" in disk
    assert "2.0 GiB" in memory


OTHERS = "/srv/other/compose/compose.yaml,/srv/other/var/rendered/compose/replicas.yaml"


def test_another_checkouts_containers_are_not_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ours = Compose.core(Site(tmp_path, tmp_path), "tollgate")
    monkeypatch.setattr(Compose, "owner", lambda _: OTHERS)
    with pytest.raises(TollgateError, match="project tollgate runs from other files: /srv/other/") as refused:
        preflight.check_owner(ours)
    assert "COMPOSE_PROJECT_NAME" in refused.value.hint
    for owner in ("", ",".join(map(str, ours.files)), str(ours.files[1])):
        monkeypatch.setattr(Compose, "owner", lambda _, owner=owner: owner)
        preflight.check_owner(ours)


def test_another_home_of_the_same_checkout_is_another_deployment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They share compose/compose.yaml, but not the rendered files."""
    first, other = (Compose.core(Site(tmp_path, tmp_path / name), "tollgate") for name in ("home", "home2"))
    monkeypatch.setattr(Compose, "owner", lambda _: ",".join(map(str, other.files)))
    with pytest.raises(TollgateError, match="runs from other files"):
        preflight.check_owner(first)
    preflight.check_owner(other)


def of(site: Site, project: str) -> Deployment:
    return Deployment.of(site, parse(f"COMPOSE_PROJECT_NAME={project}\n", Path(".env")))


@pytest.mark.parametrize("lost", ["postgres_password", "litellm_salt_key"])
def test_a_lost_secret_of_an_existing_database_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lost: str
) -> None:
    site = Site(tmp_path, tmp_path)
    secrets.ensure(site)
    monkeypatch.setattr(preflight, "ask", lambda *words: "[{}]" if words[-1] == "t_postgres-data" else None)
    preflight.check_secrets(of(site, "t"))
    (site.secrets_dir / lost).unlink()
    with pytest.raises(TollgateError, match=f"lacks {lost}, and the database t_postgres-data needs it"):
        preflight.check_secrets(of(site, "t"))
    preflight.check_secrets(of(site, "fresh"))


def test_a_port_that_was_just_closed_is_free(busy: int) -> None:
    assert not preflight.is_free(Port("GATEWAY_PORT", "127.0.0.1", busy))
    with socket.create_connection(("127.0.0.1", busy)):
        pass
    with socket.create_server(("127.0.0.1", 0)) as server:
        number = server.getsockname()[1]
    assert preflight.is_free(Port("GATEWAY_PORT", "127.0.0.1", number))


def test_an_address_of_another_machine_is_not_free() -> None:
    why = preflight.why_not_free(Port("GATEWAY_PORT", "192.0.2.1", 0))
    assert "192.0.2.1 is not an address of this machine" in why
    assert "GATEWAY_BIND" in why
    assert "in use" not in why


@pytest.mark.parametrize(("code", "busy"), [(errno.EADDRINUSE, True), (errno.EACCES, False)])
def test_a_port_that_only_root_may_open_is_not_busy(monkeypatch: pytest.MonkeyPatch, code: int, busy: bool) -> None:
    """Docker's daemon opens it, for every user who deploys."""

    class Refusing(socket.socket):
        def bind(self, _: object) -> None:
            raise OSError(code, "refused")

    monkeypatch.setattr(preflight.socket, "socket", Refusing)
    why = preflight.why_not_free(Port("GATEWAY_PORT", "127.0.0.1", 443))
    assert why == ("port 443 on 127.0.0.1 is in use; set GATEWAY_PORT in .env to a free one" if busy else "")


def test_memory_is_read_in_gib(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemFree:  1024 kB\nMemTotal:       8388608 kB\n")
    assert preflight.memory_gib(meminfo) == 8.0
