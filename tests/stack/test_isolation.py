"""Ports, secrets and privileges that nobody may see or use."""

from __future__ import annotations

import json

import pytest

from tests.support import logs
from tests.support.stack import Stack
from tollgate.stack.containers.compose import PROJECT_LABEL

# Root on purpose, with no capability: the engine's socket belongs to root, and nothing else is on its network.
ROOT_BY_DESIGN = {"docker-socket-proxy"}
LOOPBACK_ONLY = {"prometheus", "grafana"}


def inspected(stack: Stack) -> dict[str, dict[str, object]]:
    rows = {row.service: row.id for row in stack.compose.containers()}
    found = json.loads(stack.docker("inspect", *rows.values()))
    return dict(zip(rows, found, strict=True))


def test_only_nginx_is_published_to_others(stack: Stack) -> None:
    for service, container in inspected(stack).items():
        for port, bindings in (container["NetworkSettings"]["Ports"] or {}).items():
            for binding in bindings or []:
                public = service == "nginx" and port == "4000/tcp"
                assert public or service in LOOPBACK_ONLY or (service == "nginx" and port == "4001/tcp"), (
                    service,
                    port,
                )
                if not public:
                    assert binding["HostIp"] == "127.0.0.1", f"{service} {port} is published on {binding['HostIp']}"


def test_docker_inspect_shows_no_secret(stack: Stack) -> None:
    for service, container in inspected(stack).items():
        assert not logs.leaks(json.dumps(container), stack.secret_values()), f"docker inspect {service} shows a secret"


def test_no_process_has_a_secret_in_its_arguments(stack: Stack) -> None:
    for row in stack.compose.containers():
        if row.state == "running":
            arguments = stack.docker("top", row.name, "-eo", "pid,args")
            assert not logs.leaks(arguments, stack.secret_values()), f"ps in {row.service} shows a secret"


def test_no_log_since_the_start_shows_a_secret_or_a_crash(stack: Stack) -> None:
    lines = logs.since(stack.compose, "1970-01-01T00:00:00Z")
    assert len(lines) > 50, "the logs could not be read"
    assert not logs.leaks("\n".join(lines), stack.secret_values())
    # The clients, whose tests come before this folder's, ask for upstream faults.
    assert not logs.trouble(lines, [logs.UPSTREAM_FAULTS, logs.CLIENTS_FAULTS])


def test_twin_the_leak_check_finds_a_line_with_a_real_key(stack: Stack) -> None:
    """Without this, the test above could pass because it checks nothing."""
    assert logs.leaks(f"Authorization: Bearer {stack.key('example')}", stack.secret_values()) == ["key of example"]


def test_a_rendered_file_with_a_secret_is_readable_only_by_its_owner(stack: Stack) -> None:
    """A file that only its owner can read may hold a secret. Most of these belong to the containers' users."""
    closed, shown = 0, []
    for path in stack.site.rendered_dir.rglob("*"):
        if not path.is_file():
            continue
        if path.stat().st_mode & 0o077 == 0:
            closed += 1
        elif logs.leaks(path.read_text(errors="replace"), stack.secret_values()):
            shown.append(str(path))
    assert not shown, f"these hold a secret and others can read them: {shown}"
    assert closed >= 10, "expected the containers' secret files among the rendered ones"


def test_secrets_are_readable_only_by_their_owner(stack: Stack) -> None:
    for path in [stack.site.secrets_dir, *stack.site.secrets_dir.rglob("*")]:
        assert path.stat().st_mode & 0o077 == 0, path


def test_every_container_is_confined(stack: Stack) -> None:
    for service, container in inspected(stack).items():
        host = container["HostConfig"]
        assert host["ReadonlyRootfs"], service
        assert host["CapDrop"] == ["ALL"], service
        assert "no-new-privileges:true" in host["SecurityOpt"], service
        assert host["Memory"] > 0, service
        assert host["PidsLimit"] > 0, service
        is_root = container["Config"]["User"].split(":")[0] in ("", "0", "root")
        assert is_root == (service in ROOT_BY_DESIGN), f"{service} runs as {container['Config']['User'] or 'root'}"
        assert host["LogConfig"]["Config"].get("max-size"), service


@pytest.mark.parametrize("service", ["provider", "litellm-1"])
def test_a_confined_container_cannot_write_where_it_should_not(stack: Stack, service: str) -> None:
    code = (
        "import pathlib\ntry:\n    pathlib.Path('/usr/x').write_text('x')\nexcept OSError as e:\n    print(e.strerror)"
    )
    assert stack.python(service, code).strip() == "Read-only file system"


WAYS_OUT = {
    "nginx": "its ports are published from a network that is not internal",
    "prometheus": "the same",
    "grafana": "the same",
    "litellm": "replicas reach providers",
    "gateway": "gateway processes too",
    "alertmanager": "notifications go outside",
}


def test_only_services_that_need_the_internet_reach_it(stack: Stack) -> None:
    """Docker drops packets that leave an internal network, so a service with only such networks has no way out."""
    # Its own: those of others may come and go.
    ids = stack.docker("network", "ls", "-q", "--filter", f"label={PROJECT_LABEL}={stack.project}").split()
    internal = {row["Name"]: row["Internal"] for row in json.loads(stack.docker("network", "inspect", *ids))}
    assert any(internal.values())
    for service, container in inspected(stack).items():
        open_networks = [name for name in container["NetworkSettings"]["Networks"] if not internal[name]]
        if open_networks:
            assert service.partition("-")[0] in WAYS_OUT, f"{service} is on {open_networks}"
