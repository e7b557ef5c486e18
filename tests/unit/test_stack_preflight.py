"""What has to hold before anything is changed, each shortage with what to do."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tollgate.config.env import Settings, parse
from tollgate.errors import TollgateError
from tollgate.site import Site
from tollgate.stack import preflight, secrets
from tollgate.stack.compose import Compose
from tollgate.stack.preflight import Port


@pytest.fixture
def busy() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.fixture(autouse=True)
def roomy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight, "disk_free_gib", lambda: 100.0)
    monkeypatch.setattr(preflight, "memory_gib", lambda: 16.0)


@pytest.fixture
def compose(monkeypatch: pytest.MonkeyPatch) -> Compose:
    """Of a project of which nothing runs."""
    monkeypatch.setattr(Compose, "any_running", lambda _: False)
    return Compose("tollgate-test", (), Path("compose.env"))


def settings(**ports: int) -> Settings:
    chosen = {"GATEWAY_PORT": 0, "ADMIN_PORT": 0, "GRAFANA_PORT": 0, "PROMETHEUS_PORT": 0} | ports
    lines = "".join(f"{name}={value}\n" for name, value in chosen.items())
    return parse(f"GATEWAY_BIND=127.0.0.1\n{lines}", Path(".env"))


@pytest.mark.parametrize("name", ["GATEWAY_PORT", "ADMIN_PORT", "PROMETHEUS_PORT"])
def test_a_busy_port_is_named_with_the_setting_that_moves_it(compose: Compose, busy: int, name: str) -> None:
    with pytest.raises(TollgateError, match=rf"port {busy} on 127\.0\.0\.1 is in use; set {name} in \.env"):
        preflight.check_host(compose, settings(**{name: busy}))


def test_grafanas_port_is_left_to_docker(compose: Compose, busy: int) -> None:
    """Whether Grafana starts is not known before its image is."""
    preflight.check_host(compose, settings(GRAFANA_PORT=busy))


def test_port_0_is_always_free(compose: Compose) -> None:
    assert preflight.check_host(compose, settings()) == []


def test_ports_of_a_running_deployment_are_its_own(
    compose: Compose, busy: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Compose, "any_running", lambda _: True)
    preflight.check_host(compose, settings(GATEWAY_PORT=busy))


def test_all_shortages_are_told_at_once(compose: Compose, busy: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight, "disk_free_gib", lambda: 0.5)
    with pytest.raises(TollgateError) as refused:
        preflight.check_host(compose, settings(GATEWAY_PORT=busy))
    for part in ("expected 1 GiB of free disk, found 0.5", f"port {busy}"):
        assert part in refused.value.message


def test_what_a_deploy_may_get_past_is_a_warning(compose: Compose, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight, "disk_free_gib", lambda: 1.5)
    monkeypatch.setattr(preflight, "memory_gib", lambda: 2.0)
    disk, memory = preflight.check_host(compose, settings())
    assert "1.5 GiB of free disk" in disk
    assert "2.0 GiB" in memory


OTHERS = "/srv/other/compose/compose.yaml,/srv/other/var/rendered/compose/replicas.yaml"


def test_another_checkouts_containers_are_not_taken_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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
    """They share compose/compose.yaml; what was rendered tells them apart."""
    one, other = (Compose.core(Site(tmp_path, tmp_path / name), "tollgate") for name in ("home", "home2"))
    monkeypatch.setattr(Compose, "owner", lambda _: ",".join(map(str, other.files)))
    with pytest.raises(TollgateError, match="runs from other files"):
        preflight.check_owner(one)
    preflight.check_owner(other)


@pytest.mark.parametrize("lost", ["postgres_password", "litellm_salt_key"])
def test_a_lost_secret_is_not_made_anew_beside_a_database_that_needs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lost: str
) -> None:
    site = Site(tmp_path, tmp_path)
    secrets.ensure(site)
    monkeypatch.setattr(preflight, "ask", lambda *words: "[{}]" if words[-1] == "t_postgres-data" else None)
    preflight.check_secrets(site, "t")
    (site.secrets_dir / lost).unlink()
    with pytest.raises(TollgateError, match=f"lacks {lost}, and the database t_postgres-data needs it"):
        preflight.check_secrets(site, "t")
    preflight.check_secrets(site, "fresh")


def test_a_port_that_was_just_closed_is_free(busy: int) -> None:
    assert not preflight.is_free(Port("GATEWAY_PORT", "127.0.0.1", busy))
    with socket.create_connection(("127.0.0.1", busy)):
        pass
    with socket.create_server(("127.0.0.1", 0)) as server:
        number = server.getsockname()[1]
    assert preflight.is_free(Port("GATEWAY_PORT", "127.0.0.1", number))


def test_an_address_that_is_not_this_machines_is_not_free() -> None:
    why = preflight.why_not_free(Port("GATEWAY_PORT", "192.0.2.1", 0))
    assert "192.0.2.1 is no address of this machine" in why
    assert "GATEWAY_BIND" in why
    assert "in use" not in why


@pytest.mark.parametrize(("code", "busy"), [(errno.EADDRINUSE, True), (errno.EACCES, False)])
def test_a_port_that_only_root_may_take_is_not_called_busy(
    monkeypatch: pytest.MonkeyPatch, code: int, busy: bool
) -> None:
    """Docker's daemon publishes it, whoever deploys."""

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
