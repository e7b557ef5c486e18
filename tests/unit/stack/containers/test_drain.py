"""Reads nginx's list of replicas and the kernel's connection table while a replica is drained."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tollgate.errors import TollgateError
from tollgate.stack.containers import drain
from tollgate.stack.containers.compose import Compose
from tollgate.stack.containers.container import Container
from tollgate.stack.containers.drain import Drain, active, connections
from tollgate.stack.host.progress import PlainProgress

IN_USE = """# written by entrypoint.sh
server 172.20.0.5:4000 max_fails=2 fail_timeout=5s; # litellm-1
server 172.20.0.6:4000 max_fails=2 fail_timeout=5s down; # litellm-2
server 172.20.0.7:4000 max_fails=2 fail_timeout=5s; # litellm-10
"""
# Rows of /proc/net/tcp: nginx listens; two requests to 172.20.0.5; one connection in TIME_WAIT; one to 172.20.0.7; one
# to another port.
TABLE = """  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000:0FA0 00000000:0000 0A 00000000:00000000 00:00000000 00000000   101        0 1 1 0 100 0 0 10 0
   1: 040014AC:B0A2 050014AC:0FA0 01 00000000:00000000 00:00000000 00000000   101        0 2 1 0 20 4 30 10 -1
   2: 040014AC:B0A4 050014AC:0FA0 01 00000000:00000000 00:00000000 00000000   101        0 3 1 0 20 4 30 10 -1
   3: 040014AC:B0A6 050014AC:0FA0 06 00000000:00000000 03:00000000 00000000     0        0 0 3 0
   4: 040014AC:B0A8 070014AC:0FA0 01 00000000:00000000 00:00000000 00000000   101        0 4 1 0 20 4 30 10 -1
   5: 040014AC:B0AA 050014AC:1770 01 00000000:00000000 00:00000000 00000000   101        0 5 1 0 20 4 30 10 -1
"""


def test_a_replica_marked_down_is_not_active() -> None:
    assert active(IN_USE) == {"litellm-1", "litellm-10"}


def test_an_empty_list_has_no_active_replica() -> None:
    assert active("# written by entrypoint.sh\nserver 127.0.0.1:1 down;\n") == set()


@pytest.mark.parametrize(
    ("addresses", "running"),
    [(["172.20.0.5"], 2), (["172.20.0.7", "10.0.0.1"], 1), (["172.20.0.6"], 0), (["172.20.0.4"], 0)],
    ids=["two requests", "any of its addresses", "none", "its own listening socket does not count"],
)
def test_established_connections_to_its_port_are_running_requests(addresses: list[str], running: int) -> None:
    assert connections(TABLE, addresses, 4000) == running


@pytest.fixture
def in_use(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The texts of in-use.conf, one for each read; '' if the file is missing. The last text stays."""
    answers: list[str] = []
    nginx = Container("nginx", "t-nginx-1", "1", "running", "starting", 0, "")

    def docker(argv: list[str], what: str = "") -> str:
        if "in-use.conf" not in argv[-1]:
            return ""
        return answers.pop(0) if len(answers) > 1 else answers[0]

    monkeypatch.setattr(drain, "docker", docker)
    monkeypatch.setattr(drain.time, "sleep", lambda _: None)
    monkeypatch.setattr(Compose, "containers", lambda _: [nginx])
    return answers


def draining(clock: Iterator[float]) -> Drain:
    return Drain(Compose("t", (), Path("x")), PlainProgress(), clock=lambda: next(clock))


def test_the_drain_waits_until_a_new_nginx_writes_its_list(in_use: list[str]) -> None:
    """A missing list does not prove that the replica is out."""
    in_use += ["", "", IN_USE, IN_USE.replace("fail_timeout=5s;", "fail_timeout=5s down;")]
    draining(iter(range(100))).take_out("litellm-1")
    assert len(in_use) == 1, "it reads until the list has changed"
    in_use[:] = ["", IN_USE]
    draining(iter(range(100))).put_back("litellm-1")
    assert in_use == [IN_USE]


def test_the_drain_gives_up_if_nginx_never_writes_its_list(in_use: list[str]) -> None:
    in_use.append("")
    with pytest.raises(TollgateError, match="waited 30 s for litellm-2 to leave its list of replicas"):
        draining(iter(range(100))).take_out("litellm-2")
