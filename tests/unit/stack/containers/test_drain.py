"""A drain waits for nginx's list, for each gateway process, and for the requests that still run."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tollgate.errors import TollgateError
from tollgate.stack.containers import drain, readiness
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


@dataclass
class Engine:
    """`in_use` are the texts of in-use.conf, one for each read; '' if the file is missing. The last text stays.

    `readiness` has the answers of each gateway process in the same way; '' if it does not answer. `tables` are those of
    /proc/net/tcp in nginx's container.
    """

    directory: Path
    in_use: list[str] = field(default_factory=list)
    readiness: dict[str, list[str]] = field(default_factory=dict)
    tables: list[str] = field(default_factory=lambda: [TABLE.partition("\n")[0]])
    nginx: str = "running"
    lines: list[str] = field(default_factory=list)

    def docker(self, argv: list[str], what: str = "", timeout: float = 0) -> str:
        if argv[1] == "inspect":
            return "172.20.0.5"
        if "in-use.conf" in argv[-1]:
            return following(self.in_use)
        if argv[2] in self.readiness:
            answer = following(self.readiness[argv[2]])
            if not answer:
                raise TollgateError("docker exec: timed out")
            return answer
        return following(self.tables)

    def containers(self) -> list[Container]:
        states = {"nginx": self.nginx, "nginx-exporter": "running", "litellm-1": "running"}
        states |= dict.fromkeys(self.readiness, "running") | {"gateway-9": "exited"}
        return [Container(name, name, name, state, "starting", 0, "") for name, state in states.items()]

    @property
    def drained(self) -> list[str]:
        return sorted(file.name for file in (self.directory / "drain").iterdir())


def following(texts: list[str]) -> str:
    return texts.pop(0) if len(texts) > 1 else texts[0]


def says(takes: bool, running: int = 0, name: str = "litellm-1") -> str:
    return json.dumps({"replicas": {name: {"takes": takes, "running": running}}})


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Engine:
    engine = Engine(tmp_path)
    monkeypatch.setattr(drain, "docker", engine.docker)
    monkeypatch.setattr(readiness, "docker", engine.docker)
    monkeypatch.setattr(drain.time, "sleep", lambda _: None)
    monkeypatch.setattr(Compose, "containers", lambda _: engine.containers())
    monkeypatch.setattr(Compose, "environment", {"TOLLGATE_RENDERED": str(tmp_path)})
    monkeypatch.setattr(PlainProgress, "say", lambda _, line: engine.lines.append(line))
    return engine


def draining(clock: Iterator[float] | None = None) -> Drain:
    ticks = clock or iter(range(10_000))
    return Drain(Compose("t", (), Path("x")), PlainProgress(), clock=lambda: next(ticks))


OUT = IN_USE.replace("fail_timeout=5s;", "fail_timeout=5s down;")


def test_the_drain_waits_until_a_new_nginx_writes_its_list(engine: Engine) -> None:
    """A missing list does not prove that the replica is out."""
    engine.in_use = ["", "", IN_USE, OUT]
    draining().take_out("litellm-1")
    assert len(engine.in_use) == 1, "it reads until the list has changed"
    assert engine.drained == ["litellm-1"]
    assert draining().drained() == {"litellm-1"}
    engine.in_use = ["", IN_USE]
    draining().put_back("litellm-1")
    assert engine.in_use == [IN_USE]
    assert engine.drained == []


def test_the_drain_gives_up_if_nginx_never_writes_its_list(engine: Engine) -> None:
    engine.in_use = [""]
    with pytest.raises(TollgateError, match="nginx: waited 30 s for litellm-2 to leave its list of replicas"):
        draining().take_out("litellm-2")


def test_the_drain_waits_until_each_process_has_left_the_replica(engine: Engine) -> None:
    engine.in_use = [OUT]
    engine.readiness = {
        "gateway-1": [says(takes=True), says(takes=False, running=2), says(takes=False)],
        "gateway-2": [says(takes=True), says(takes=True), says(takes=False, running=1), says(takes=False)],
    }
    draining().take_out("litellm-1")
    assert engine.readiness == {"gateway-1": [says(takes=False)], "gateway-2": [says(takes=False)]}
    engine.readiness = {"gateway-1": [says(takes=False), says(takes=True)], "gateway-2": [says(takes=True)]}
    engine.in_use = [IN_USE]
    draining().put_back("litellm-1")
    assert engine.readiness["gateway-1"] == [says(takes=True)]


def test_the_drain_waits_for_nginx_and_for_the_processes(engine: Engine) -> None:
    """Requests of nginx itself end too: they come through the admin listener, or while no process takes any."""
    engine.in_use, engine.tables = [OUT], [TABLE, TABLE, TABLE.partition("\n")[0]]
    engine.readiness = {"gateway-1": [says(takes=False)]}
    draining().take_out("litellm-1")
    assert len(engine.tables) == 1
    assert engine.lines == []


def test_a_request_that_does_not_end_is_cut_at_last(engine: Engine) -> None:
    engine.in_use = [OUT]
    engine.readiness = {"gateway-1": [says(takes=False, running=3)]}
    draining().take_out("litellm-1")
    assert engine.lines == ["litellm-1: 3 request(s) still ran after 601 s and will be cut"]


def test_a_process_that_keeps_the_replica_stops_the_rollout(engine: Engine) -> None:
    engine.in_use = [OUT]
    engine.readiness = {"gateway-1": [says(takes=True)]}
    with pytest.raises(TollgateError, match="gateway-1: waited 30 s for litellm-1 to leave its list of replicas"):
        draining().take_out("litellm-1")


def test_twin_a_process_that_stands_still_does_not(engine: Engine) -> None:
    """The rollout may bring its remedy."""
    engine.in_use = [OUT]
    engine.readiness = {"gateway-1": [""], "gateway-2": [says(takes=False)]}
    draining().take_out("litellm-1")
    assert engine.lines == ["gateway-1 does not answer; its requests to litellm-1 may be cut"]


@pytest.mark.parametrize(
    "answer",
    ["{}", '{"status": "ok", "running": 1}', '{"replicas": {}}'],
    ids=["it does not serve", "of an older kit", "it does not know the replica"],
)
def test_a_process_that_cannot_say_is_not_waited_for(engine: Engine, answer: str) -> None:
    engine.in_use, engine.readiness = [OUT], {"gateway-1": [answer]}
    draining().take_out("litellm-1")
    assert engine.lines == []


def test_a_gateway_process_is_drained_at_nginx_alone(engine: Engine) -> None:
    engine.in_use = [IN_USE]
    engine.readiness = {"gateway-1": [""]}
    draining().take_out("gateway-2")
    assert engine.drained == ["gateway-2"]
    assert engine.lines == []


def test_without_nginx_only_the_processes_are_waited_for(engine: Engine) -> None:
    engine.nginx = "exited"
    engine.readiness = {"gateway-1": [says(takes=True), says(takes=False)]}
    draining().take_out("litellm-1")
    assert engine.readiness["gateway-1"] == [says(takes=False)]


def test_drain_files_of_removed_replicas_go(engine: Engine) -> None:
    engine.in_use = [OUT]
    assert draining().drained() == set(), "before the first deploy there is no directory"
    draining().take_out("litellm-1")
    draining().forget(["litellm-1", "litellm-7"])
    assert engine.drained == []
