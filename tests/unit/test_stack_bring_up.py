"""In which order containers are changed, and what is said of one that does not start. Compose is made up."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import pytest

from tollgate.errors import StepError
from tollgate.stack import bring_up as module
from tollgate.stack.bring_up import bring_up, start_all
from tollgate.stack.compose import Compose, Container
from tollgate.stack.progress import PlainProgress

KEY = "sk-0123456789abcdefghij0123"
UP = ("up", "--detach", "--no-deps", "--remove-orphans", "--quiet-pull")
REPLICAS = ["litellm-1", "litellm-2", "litellm-3"]


class Engine(Compose):
    """`live` is what runs; an `up` gives the services in `stale`, and those that do not run, a new container."""

    def __init__(self, *live: str, stale: Collection[str] = (), refuses: str = "") -> None:
        super().__init__("t", (), Path("compose.env"))
        self.live = {name: (f"id of {name}", "then") for name in live}
        self.stale = set(stale)
        self.refuses = refuses
        self.failed: list[Container] = []
        self.calls: list[str] = []

    def run(self, step: str, progress: object, *arguments: str, hint: str = "") -> str:
        assert arguments[: len(UP)] == UP
        services = arguments[len(UP) :]
        self.calls.append(f"{step}: {' '.join(services)}")
        if self.refuses in services:
            raise StepError(step, "docker ended with status 1", "", ["Container t-x-1 Starting", "port is taken"])
        for name in services:
            if name in self.stale or name not in self.live:
                self.live[name] = (f"new id of {name}", "now")
        self.stale -= set(services)
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


def up(engine: Engine, *services: str) -> list[str]:
    return bring_up("services", engine, services, PlainProgress())


def test_replicas_are_changed_one_at_a_time_each_healthy_before_the_next() -> None:
    engine = Engine("nginx", *REPLICAS, stale=REPLICAS)
    assert up(engine, *REPLICAS, "nginx") == [f"started {name}" for name in REPLICAS]
    assert engine.calls == [
        "services: nginx",
        "services: litellm-1",
        "wait: litellm-1",
        "services: litellm-2",
        "wait: litellm-2",
        "services: litellm-3",
        "wait: litellm-3",
        "wait: litellm-1 litellm-2 litellm-3 nginx",
    ]


def test_also_where_only_one_of_them_runs() -> None:
    engine = Engine("nginx", "litellm-2", stale=["litellm-2"])
    up(engine, *REPLICAS)
    assert [call for call in engine.calls if "services" in call] == [f"services: {name}" for name in REPLICAS]


def test_where_none_runs_all_are_started_at_once() -> None:
    engine = Engine("postgres")
    assert up(engine, *REPLICAS, "nginx") == [f"started {name}" for name in (*REPLICAS, "nginx")]
    assert engine.calls == [
        "services: nginx",
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
        "start: nginx",
        "start: litellm-1 litellm-2 litellm-3",
        "wait: litellm-1 litellm-2 litellm-3 nginx",
    ]
    assert started == [f"started {name}" for name in ("postgres", "redis", *REPLICAS, "nginx")]
