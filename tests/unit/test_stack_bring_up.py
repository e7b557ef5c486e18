"""In which order containers are changed, and what is said of one that does not start. Compose is made up."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from pathlib import Path

import pytest

from tollgate.errors import StepError
from tollgate.stack import bring_up as module
from tollgate.stack import rollout
from tollgate.stack.bring_up import bring_up, start_all
from tollgate.stack.compose import Compose, Container
from tollgate.stack.progress import PlainProgress
from tollgate.stack.rollout import Rollout
from tollgate.stack.rotation import Rotation

KEY = "sk-0123456789abcdefghij0123"
UP = ("up", "--detach", "--no-deps", "--quiet-pull")
REPLICAS = ["litellm-1", "litellm-2", "litellm-3"]


class Engine(Compose):
    """`live` is what runs; an `up` gives the services in `stale`, and those that do not run, a new container."""

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
            self.live = {name: made for name, made in self.live.items() if name not in self.orphans}
        return ""

    def running(self) -> dict[str, tuple[str, str]]:
        return dict(self.live)

    def containers(self) -> list[Container]:
        return self.failed

    def services(self) -> list[str]:
        return sorted([*REPLICAS, "migrate", "nginx", "postgres", "redis"])

    def remove_half_recreated(self) -> list[str]:
        return []

    def tail(self, service: str, lines: int = 20) -> list[str]:
        return [f"{service} says", f"Authorization: Bearer {KEY}"]


@pytest.fixture(autouse=True)
def sick(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Waiting is a call among the others; a service in this set does not become healthy."""
    never: set[str] = set()

    def wait(step: str, engine: Engine, services: Collection[str], _: object) -> None:
        engine.calls.append(f"wait: {' '.join(sorted(services))}")
        if bad := never & set(services):
            raise StepError(step, f"{min(bad)} did not become healthy")

    monkeypatch.setattr(module, "wait_ready", wait)
    return never


class Rotating(Rotation):
    """nginx's part as calls among the others; the engine remembers who is out."""

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
def rotating(monkeypatch: pytest.MonkeyPatch, sick: set[str]) -> None:
    def check(self: Rollout, name: str) -> None:
        self.compose.calls.append(f"check: {name}")
        if f"{name} refuses" in sick:
            raise StepError(self.step, f"{name} refuses")

    def stale(self: Rollout, replicas: Collection[str]) -> list[str]:
        return sorted(name for name in replicas if name in self.compose.stale or name not in self.compose.live)

    monkeypatch.setattr(module, "Rotation", Rotating)
    monkeypatch.setattr(rollout, "wait_ready", module.wait_ready)
    monkeypatch.setattr(Rollout, "check", check)
    monkeypatch.setattr(Rollout, "stale", stale)


def up(engine: Engine, *services: str, replace: bool = False) -> list[str]:
    return bring_up("services", engine, services, PlainProgress(), replace_replicas=replace)


def replacing(name: str, *options: str) -> list[str]:
    words = " ".join([*options, name])
    return [f"out: {name}", f"services: {words}", f"wait: {name}", f"check: {name}", f"back: {name}"]


def test_replicas_are_changed_one_at_a_time_each_healthy_before_the_next() -> None:
    engine = Engine("nginx", *REPLICAS, stale=REPLICAS)
    assert up(engine, *REPLICAS, "nginx") == [f"started {name}" for name in REPLICAS]
    assert engine.calls == [
        "services: --remove-orphans nginx",
        *(call for name in REPLICAS for call in replacing(name)),
        "wait: litellm-1 litellm-2 litellm-3 nginx",
    ]


def test_also_where_only_one_of_them_runs() -> None:
    engine = Engine("nginx", "litellm-2", stale=["litellm-2"])
    up(engine, *REPLICAS)
    assert [call for call in engine.calls if "services" in call] == [f"services: {name}" for name in REPLICAS]


def test_only_what_changed_is_drained() -> None:
    engine = Engine("nginx", *REPLICAS, stale=["litellm-2"])
    up(engine, *REPLICAS)
    assert engine.calls == [*replacing("litellm-2"), "wait: litellm-1 litellm-2 litellm-3"]


def test_twin_a_rollout_replaces_all_of_them() -> None:
    engine = Engine("nginx", *REPLICAS)
    up(engine, *REPLICAS, replace=True)
    assert engine.calls[:-1] == [call for name in REPLICAS for call in replacing(name, "--force-recreate")]


def test_replicas_that_go_are_drained_before_they_are_removed() -> None:
    engine = Engine("nginx", *REPLICAS)
    engine.orphans = {"litellm-3"}
    up(engine, "nginx", "litellm-1", "litellm-2")
    assert engine.calls[:2] == ["out: litellm-3", "services: --remove-orphans nginx"]
    assert "litellm-3" not in engine.running()
    assert engine.out == set()


def test_bringing_up_the_databases_takes_no_replica_away() -> None:
    """The first step of a deploy: at that moment nobody has drained the superfluous replica yet."""
    engine = Engine("nginx", "litellm-4")
    engine.orphans = {"litellm-4"}
    up(engine, "postgres", "redis")
    assert "litellm-4" in engine.running()


def test_what_an_interrupted_roll_took_out_is_put_back_once_it_is_well() -> None:
    engine = Engine("nginx", *REPLICAS)
    engine.out = {"litellm-2"}
    engine.failed = [Container("litellm-2", "t-litellm-2-1", "a", "running", "healthy", 0, "")]
    up(engine, *REPLICAS)
    assert engine.calls[:2] == ["check: litellm-2", "back: litellm-2"]


def test_twin_and_stays_out_while_it_is_not() -> None:
    engine = Engine("nginx", *REPLICAS)
    engine.out = {"litellm-2"}
    engine.failed = [Container("litellm-2", "t-litellm-2-1", "a", "running", "unhealthy", 0, "")]
    up(engine, *REPLICAS)
    assert engine.out == {"litellm-2"}


def test_a_replica_that_refuses_an_authenticated_request_ends_the_roll_and_gets_nothing(sick: set[str]) -> None:
    engine = Engine("nginx", *REPLICAS, stale=REPLICAS)
    sick.add("litellm-1 refuses")
    with pytest.raises(StepError) as failed:
        up(engine, *REPLICAS)
    assert failed.value.message == "services: litellm-1 refuses"
    assert "litellm-2, litellm-3 still serve as before; litellm-1 gets no requests" in failed.value.hint
    assert engine.out == {"litellm-1"}
    assert engine.stale == {"litellm-2", "litellm-3"}


def test_where_none_runs_all_are_started_at_once() -> None:
    engine = Engine("postgres")
    assert up(engine, *REPLICAS, "nginx") == [f"started {name}" for name in (*REPLICAS, "nginx")]
    assert engine.calls == [
        "services: --remove-orphans nginx",
        "services: litellm-1 litellm-2 litellm-3",
        "wait: litellm-1 litellm-2 litellm-3 nginx",
    ]


def test_a_replica_that_fails_ends_it_while_the_others_still_serve_as_before(sick: set[str]) -> None:
    engine = Engine(*REPLICAS, stale=REPLICAS)
    sick.add("litellm-1")
    with pytest.raises(StepError, match="litellm-1 did not become healthy"):
        up(engine, *REPLICAS)
    assert engine.stale == {"litellm-2", "litellm-3"}
    assert engine.running()["litellm-2"] == ("id of litellm-2", "then")


def test_without_replicas_nothing_is_asked_for_in_their_name() -> None:
    engine = Engine()
    up(engine, "postgres", "redis")
    assert engine.calls == ["services: postgres redis", "wait: postgres redis"]


def test_what_ran_and_did_not_change_was_not_started() -> None:
    assert up(Engine("nginx", *REPLICAS), "nginx", *REPLICAS) == []


def test_an_up_that_fails_names_the_container_at_fault_and_shows_its_masked_log() -> None:
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
    ids=["no container", "one that this up was not about", "one that did not fail"],
)
def test_twin_without_a_failed_container_composes_own_last_line_is_told(others: list[Container]) -> None:
    engine = Engine(refuses="nginx")
    engine.failed = others
    with pytest.raises(StepError) as failed:
        up(engine, "nginx", "redis")
    assert failed.value.message == "services: port is taken"
    assert "`make deploy` again" in failed.value.hint
    assert failed.value.log == ("Container t-x-1 Starting", "port is taken")


def test_a_start_brings_the_data_up_first_and_never_the_one_shot_job() -> None:
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
