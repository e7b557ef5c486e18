"""The order in which containers change, and the error if one does not start. A class in this file plays Compose."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from pathlib import Path

import pytest

from tollgate.errors import StepError
from tollgate.stack.containers import bring_up as module
from tollgate.stack.containers import rollout
from tollgate.stack.containers.bring_up import bring_up, start_all
from tollgate.stack.containers.compose import Compose
from tollgate.stack.containers.container import Container
from tollgate.stack.containers.drain import Drain
from tollgate.stack.containers.rollout import Rollout
from tollgate.stack.host.progress import PlainProgress

KEY = "sk-0123456789abcdefghij0123"
UP = ("up", "--detach", "--no-deps", "--quiet-pull")
REPLICAS = ["litellm-1", "litellm-2", "litellm-3"]


class Engine(Compose):
    """`live` holds the running services. `up` gives stale services, and those that do not run, a new container."""

    def __init__(self, *live: str, stale: Collection[str] = (), refuses: str = "") -> None:
        super().__init__("t", (), Path("compose.env"))
        self.live = {name: (f"id of {name}", "then") for name in live}
        self.stale = set(stale)
        self.refuses = refuses
        self.orphans: set[str] = set()
        self.out: set[str] = set()
        self.failed: list[Container] = []
        self.calls: list[str] = []

    def run(self, step: str, progress: object, *arguments: str, hint: str = "") -> str:
        assert arguments[: len(UP)] == UP
        services = arguments[len(UP) :]
        self.calls.append(f"{step}: {' '.join(services)}")
        if self.refuses in services:
            raise StepError(step, "docker ended with status 1", "", ["Container t-x-1 Starting", "port is taken"])
        for name in services:
            if not name.startswith("--") and (name in self.stale or name not in self.live):
                self.live[name] = (f"new id of {name}", "now")
        self.stale -= set(services)
        if "--remove-orphans" in services:
            self.live = {name: container for name, container in self.live.items() if name not in self.orphans}
        return ""

    def running(self) -> dict[str, tuple[str, str]]:
        return dict(self.live)

    def containers(self) -> list[Container]:
        return self.failed

    def services(self) -> list[str]:
        return sorted([*REPLICAS, "migrate", "nginx", "postgres", "prometheus", "redis"])

    def remove_half_recreated(self) -> list[str]:
        return []

    def tail(self, service: str, lines: int = 20) -> list[str]:
        return [f"{service} says", f"Authorization: Bearer {KEY}"]


@pytest.fixture(autouse=True)
def sick(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Record each wait in `calls`. A service in the returned set does not become healthy."""
    never: set[str] = set()

    def wait(step: str, engine: Engine, services: Collection[str], _: object) -> None:
        engine.calls.append(f"wait: {' '.join(sorted(services))}")
        if bad := never & set(services):
            raise StepError(step, f"{min(bad)} did not become healthy")

    monkeypatch.setattr(module, "wait_ready", wait)
    return never


class RecordedDrain(Drain):
    """Records each call in `calls`. `out` of the engine holds the drained replicas."""

    def take_out(self, name: str) -> None:
        self._note("out", name)
        self.compose.out.add(name)

    def put_back(self, name: str) -> None:
        self._note("back", name)
        self.compose.out.discard(name)

    def forget(self, names: Iterable[str]) -> None:
        self.compose.out -= set(names)

    def drained(self) -> set[str]:
        return set(self.compose.out)

    def _note(self, what: str, name: str) -> None:
        self.compose.calls.append(f"{what}: {name}")


@pytest.fixture(autouse=True)
def recorded_drain(monkeypatch: pytest.MonkeyPatch, sick: set[str]) -> None:
    def check(self: Rollout, name: str) -> None:
        self.compose.calls.append(f"check: {name}")
        if f"{name} refuses" in sick:
            raise StepError(self.step, f"{name} refuses")

    def stale(self: Rollout, replicas: Collection[str]) -> list[str]:
        return sorted(name for name in replicas if name in self.compose.stale or name not in self.compose.live)

    monkeypatch.setattr(module, "Drain", RecordedDrain)
    monkeypatch.setattr(rollout, "wait_ready", module.wait_ready)
    monkeypatch.setattr(Rollout, "check", check)
    monkeypatch.setattr(Rollout, "stale", stale)


def up(engine: Engine, *services: str, replace: bool = False) -> list[str]:
    return bring_up("services", engine, services, PlainProgress(), replace_replicas=replace)


def replacing(name: str, *options: str) -> list[str]:
    words = " ".join([*options, name])
    return [f"out: {name}", f"services: {words}", f"wait: {name}", f"check: {name}", f"back: {name}"]


def test_each_replica_is_healthy_before_the_next_is_changed() -> None:
    engine = Engine("nginx", *REPLICAS, stale=REPLICAS)
    assert up(engine, *REPLICAS, "nginx") == [f"started {name}" for name in REPLICAS]
    assert engine.calls == [
        "services: --remove-orphans nginx",
        *(call for name in REPLICAS for call in replacing(name)),
        "wait: litellm-1 litellm-2 litellm-3 nginx",
    ]


def test_replicas_change_one_at_a_time_even_if_only_one_runs() -> None:
    engine = Engine("nginx", "litellm-2", stale=["litellm-2"])
    up(engine, *REPLICAS)
    assert [call for call in engine.calls if "services" in call] == [f"services: {name}" for name in REPLICAS]


def test_only_a_changed_replica_is_drained() -> None:
    engine = Engine("nginx", *REPLICAS, stale=["litellm-2"])
    up(engine, *REPLICAS)
    assert engine.calls == [*replacing("litellm-2"), "wait: litellm-1 litellm-2 litellm-3"]


def test_twin_a_rollout_replaces_every_replica() -> None:
    engine = Engine("nginx", *REPLICAS)
    up(engine, *REPLICAS, replace=True)
    assert engine.calls[:-1] == [call for name in REPLICAS for call in replacing(name, "--force-recreate")]


def test_replicas_are_drained_before_they_are_removed() -> None:
    engine = Engine("nginx", *REPLICAS)
    engine.orphans = {"litellm-3"}
    up(engine, "nginx", "litellm-1", "litellm-2")
    assert engine.calls[:2] == ["out: litellm-3", "services: --remove-orphans nginx"]
    assert "litellm-3" not in engine.running()
    assert engine.out == set()


def test_gateway_processes_are_replaced_one_at_a_time_after_the_replicas() -> None:
    """A process hands requests to the replicas, so a new one must not meet old replicas."""
    running = ["litellm-1", "litellm-2", "gateway-1", "gateway-2"]
    engine = Engine("nginx", *running, stale=running)
    assert up(engine, *reversed(running)) == [f"started {name}" for name in sorted(running)]
    assert engine.calls[:-1] == [call for name in running for call in replacing(name)]


def test_twin_a_rollout_replaces_gateway_processes_that_did_not_change() -> None:
    engine = Engine("nginx", "gateway-1", "gateway-2")
    up(engine, "gateway-1", "gateway-2", replace=True)
    calls = [call for name in ("gateway-1", "gateway-2") for call in replacing(name, "--force-recreate")]
    assert engine.calls[:-1] == calls


def test_a_new_gateway_process_serves_after_its_check_and_the_others_stay() -> None:
    engine = Engine("nginx", "litellm-1", "gateway-1")
    assert up(engine, "litellm-1", "gateway-1", "gateway-2") == ["started gateway-2"]
    assert engine.calls == [*replacing("gateway-2"), "wait: gateway-1 gateway-2 litellm-1"]


def test_without_gateway_processes_the_first_ones_start_together() -> None:
    engine = Engine("nginx", "litellm-1")
    assert up(engine, "litellm-1", "gateway-1", "gateway-2") == ["started gateway-1", "started gateway-2"]
    assert engine.calls[0] == "services: gateway-1 gateway-2"


@pytest.mark.parametrize("left", [["gateway-1"], []], ids=["one stays", "GATEWAYS=0"])
def test_gateway_processes_are_drained_before_they_are_removed(left: list[str]) -> None:
    engine = Engine("nginx", "litellm-1", "gateway-1", "gateway-2", "gateway-10")
    gone = [name for name in ("gateway-1", "gateway-2", "gateway-10") if name not in left]
    engine.orphans = set(gone)
    assert up(engine, "nginx", "litellm-1", *left) == [f"removed {name}" for name in gone]
    assert engine.calls[: len(gone) + 1] == [*(f"out: {name}" for name in gone), "services: --remove-orphans nginx"]
    assert engine.out == set()


def test_starting_the_databases_removes_no_replica() -> None:
    """It is the first step of a deploy, and a replica that must go is not drained yet."""
    engine = Engine("nginx", "litellm-4")
    engine.orphans = {"litellm-4"}
    up(engine, "postgres", "redis")
    assert "litellm-4" in engine.running()


def test_a_healthy_replica_of_an_interrupted_rollout_is_put_back() -> None:
    engine = Engine("nginx", *REPLICAS)
    engine.out = {"litellm-2"}
    engine.failed = [Container("litellm-2", "t-litellm-2-1", "a", "running", "healthy", 0, "")]
    up(engine, *REPLICAS)
    assert engine.calls[:2] == ["check: litellm-2", "back: litellm-2"]


def test_a_drained_replica_that_starts_with_all_others_is_put_back() -> None:
    """A drain outlives `make stop`, and then nothing is rolled."""
    engine = Engine("postgres")
    engine.out = {"litellm-2"}
    engine.failed = [Container("litellm-2", "t-litellm-2-1", "a", "running", "healthy", 0, "")]
    up(engine, *REPLICAS, "nginx")
    assert engine.calls[-3:] == [
        "wait: litellm-1 litellm-2 litellm-3 nginx",
        "check: litellm-2",
        "back: litellm-2",
    ]
    assert engine.out == set()


def test_twin_an_unhealthy_replica_stays_drained() -> None:
    engine = Engine("nginx", *REPLICAS)
    engine.out = {"litellm-2"}
    engine.failed = [Container("litellm-2", "t-litellm-2-1", "a", "running", "unhealthy", 0, "")]
    up(engine, *REPLICAS)
    assert engine.out == {"litellm-2"}


def test_a_replica_that_refuses_a_valid_key_stops_the_rollout(sick: set[str]) -> None:
    engine = Engine("nginx", *REPLICAS, stale=REPLICAS)
    sick.add("litellm-1 refuses")
    with pytest.raises(StepError) as failed:
        up(engine, *REPLICAS)
    assert failed.value.message == "services: litellm-1 refuses"
    assert "litellm-2, litellm-3 still serve as before; litellm-1 gets no requests" in failed.value.hint
    assert engine.out == {"litellm-1"}
    assert engine.stale == {"litellm-2", "litellm-3"}


def test_if_no_replica_runs_all_start_together() -> None:
    engine = Engine("postgres")
    assert up(engine, *REPLICAS, "nginx") == [f"started {name}" for name in (*REPLICAS, "nginx")]
    assert engine.calls == [
        "services: --remove-orphans nginx",
        "services: litellm-1 litellm-2 litellm-3",
        "wait: litellm-1 litellm-2 litellm-3 nginx",
    ]


def test_after_a_failed_replica_the_others_serve_as_before(sick: set[str]) -> None:
    engine = Engine(*REPLICAS, stale=REPLICAS)
    sick.add("litellm-1")
    with pytest.raises(StepError, match="litellm-1 did not become healthy"):
        up(engine, *REPLICAS)
    assert engine.stale == {"litellm-2", "litellm-3"}
    assert engine.running()["litellm-2"] == ("id of litellm-2", "then")


def test_without_replicas_nothing_is_drained() -> None:
    engine = Engine()
    up(engine, "postgres", "redis")
    assert engine.calls == ["services: postgres redis", "wait: postgres redis"]


def test_an_unchanged_running_service_is_not_reported() -> None:
    assert up(Engine("nginx", *REPLICAS), "nginx", *REPLICAS) == []


def test_a_failed_up_names_the_container_and_shows_its_masked_log() -> None:
    engine = Engine(refuses="nginx")
    engine.failed = [Container("nginx", "t-nginx-1", "a", "exited", "", 1, "")]
    with pytest.raises(StepError) as failed:
        up(engine, "nginx", "redis")
    assert failed.value.message == "services: nginx (exited with 1) did not become healthy"
    assert "make logs S=nginx" in failed.value.hint
    assert failed.value.log == ("nginx says", "Authorization: Bearer ***")
    assert KEY not in str(failed.value)


@pytest.mark.parametrize(
    "others",
    [
        [],
        [Container("grafana", "t-grafana-1", "a", "exited", "", 1, "")],
        [Container("nginx", "t-nginx-1", "a", "created", "", 0, "")],
    ],
    ids=["no container", "a service outside this up", "a service that did not fail"],
)
def test_twin_without_a_failed_container_the_error_is_composes_last_line(others: list[Container]) -> None:
    engine = Engine(refuses="nginx")
    engine.failed = others
    with pytest.raises(StepError) as failed:
        up(engine, "nginx", "redis")
    assert failed.value.message == "services: port is taken"
    assert "`make deploy` again" in failed.value.hint
    assert failed.value.log == ("Container t-x-1 Starting", "port is taken")


def test_a_start_begins_with_the_databases_and_skips_jobs_and_watchers() -> None:
    engine = Engine()
    started = start_all(engine, PlainProgress())
    assert engine.calls == [
        "start: postgres redis",
        "wait: postgres redis",
        "start: --remove-orphans nginx",
        "start: litellm-1 litellm-2 litellm-3",
        "wait: litellm-1 litellm-2 litellm-3 nginx",
    ]
    assert started == [f"started {name}" for name in ("postgres", "redis", *REPLICAS, "nginx")]
