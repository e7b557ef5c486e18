"""How `make test` gives tests to lanes, and how it notices a test that ran never or twice."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.suite import table
from tests.suite.__main__ import containers
from tests.suite.all import run, targets
from tests.suite.groups import FIRST, LAST, ON_THE_STACK, REQUESTS, STACK, TESTS, group, turn, within_the_stack
from tests.suite.lanes import Lanes
from tests.suite.record import SHOWN, faults, folder

ROOT = TESTS.parent
MAKEFILE = (ROOT / "Makefile").read_text()


# ---- groups


def test_there_are_two_stacks_and_one_is_for_what_changes_containers() -> None:
    files = {file for folder in ON_THE_STACK for file in (TESTS / folder).glob("test_*.py")}
    changing = {TESTS / "stack" / name for name in LAST}
    assert changing < files
    assert {group(file) for file in changing} == {STACK}
    assert {group(file) for file in files - changing} == {REQUESTS}


def test_a_folder_below_contract_is_one_group_and_a_new_one_needs_no_entry() -> None:
    assert group(TESTS / "contract" / "new" / "test_x.py") == group(TESTS / "contract" / "new" / "test_y.py")
    assert group(TESTS / "contract" / "new" / "test_x.py") != group(TESTS / "contract" / "nginx" / "test_x.py")
    assert group(TESTS / "unit" / "test_x.py") != group(TESTS / "unit" / "test_y.py")


def test_the_groups_that_begin_first_exist() -> None:
    assert set(FIRST) <= {group(file) for file in TESTS.rglob("test_*.py")}


def test_what_removes_containers_runs_last_on_the_stack() -> None:
    files = sorted((TESTS / "stack").glob("test_*.py"), key=within_the_stack)
    assert [file.name for file in files[-2:]] == ["test_rollout.py", "test_lifecycle.py"]
    docs, clients = TESTS / "docs" / "test_commands.py", TESTS / "clients" / "test_sdks.py"
    by_turns = [docs, TESTS / "stack" / "test_usage.py", clients, *(TESTS / "stack" / name for name in LAST)]
    places = [within_the_stack(file) for file in by_turns]
    assert places == sorted(set(places))
    assert within_the_stack(TESTS / "unit" / "test_x.py") < within_the_stack(TESTS / "docs" / "test_commands.py")


# ---- lanes


class Lane:
    """The part of a worker process that a scheduler uses."""

    def __init__(self, name: str) -> None:
        self.gateway = SimpleNamespace(id=name)
        self.waiting: list[int] = []
        self.ran: list[int] = []
        self.shutting_down = False

    def send_runtest_some(self, indices: list[int]) -> None:
        self.waiting += indices

    def shutdown(self) -> None:
        self.shutting_down = True


def scheduled(ids: list[str], count: int) -> list[list[str]]:
    """The tests of this collection that each of `count` lanes runs, in order."""
    option = SimpleNamespace(loadscopereorder=False, tx=[f"{count}*popen"])
    config: Any = SimpleNamespace(option=option, getvalue=lambda name: getattr(option, name))
    scheduler, lanes = Lanes(config), [Lane(f"gw{number}") for number in range(count)]
    for lane in lanes:
        scheduler.add_node(lane)  # type: ignore[arg-type]
        scheduler.add_node_collection(lane, ids)  # type: ignore[arg-type]
    scheduler.schedule()
    while scheduler.has_pending:
        for lane in lanes:
            if lane.waiting:
                lane.ran.append(lane.waiting.pop(0))
                scheduler.mark_test_complete(lane, lane.ran[-1])  # type: ignore[arg-type]
    return [[ids[index] for index in lane.ran] for lane in lanes]


def ids_of(*files: str, number: int = 3) -> list[str]:
    return [f"tests/{file}::test_{count}[a::b-{count}]" for file in files for count in range(number)]


FILES = (
    *("stack/test_rollout.py", "docs/test_commands.py", "contract/nginx/test_a.py", "contract/nginx/test_b.py"),
    *("contract/new/test_a.py", "golden/test_a.py", "golden/test_b.py", "upgrade/test_upgrade.py"),
)


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_the_lanes_together_run_every_test_once_and_each_group_in_one_lane(count: int) -> None:
    ids = ids_of(*FILES)
    lanes = scheduled(ids, count)
    assert sorted(name for lane in lanes for name in lane) == sorted(ids)
    homes: dict[str, set[int]] = {}
    for number, lane in enumerate(lanes):
        for name in lane:
            homes.setdefault(group(ROOT / name.partition("::")[0]), set()).add(number)
    assert {name: lane for name, lane in homes.items() if len(lane) > 1} == {}
    assert count == 1 or len([lane for lane in lanes if lane]) > 1


def test_the_longest_groups_begin_first() -> None:
    files = sorted((TESTS / name for name in reversed(FILES)), key=turn)
    lanes = scheduled(ids_of(*(str(file.relative_to(TESTS)) for file in files)), 2)
    assert {group(ROOT / lane[0].partition("::")[0]) for lane in lanes} == {STACK, REQUESTS}


# ---- each test once


def test_the_parts_of_a_run_split_one_folder_by_one_marker() -> None:
    (process,) = containers()
    assert process.command[-1] == "tests"
    assert process.command[process.command.index("-m", 2) + 1] == "docker"
    assert '-m "not docker" -q tests\n' in (ROOT / "scripts" / "check.sh").read_text()


def test_every_test_that_was_collected_and_ran_once_is_no_fault() -> None:
    assert faults({"a", "b", "c"}, [{"a": 1, "c": 1}, {"b": 1}]) == []


def test_twin_a_test_that_never_ran_or_ran_twice_is_named() -> None:
    assert faults({"a", "b", "c"}, [{"a": 1, "b": 1}, {"b": 1}]) == [
        "error: this test never ran: c",
        "error: this test ran 2 times: b",
    ]
    many = faults({f"t{number:02}" for number in range(SHOWN + 5)}, [])
    assert many[-1] == "error: and 5 more" and len(many) == SHOWN + 1


# ---- the table


def test_the_table_has_the_parts_the_folders_and_the_lanes(tmp_path: Path) -> None:
    table.write_run(tmp_path, 0, {"checks": 41.2})
    first: dict[str, Any] = {"seconds": {"tests/unit": 30.4}, "tests": {"tests/unit": 7}, "lanes": {}}
    second: dict[str, Any] = {
        "seconds": {"tests/contract/nginx": 90, "tests/unit": 1},
        "tests": {"tests/contract/nginx": 9, "tests/unit": 1},
        "lanes": {"containers gw0": 91},
    }
    (tmp_path / "unit.json").write_text(json.dumps(first))
    (tmp_path / "containers.json").write_text(json.dumps(second))
    lines = table.text(tmp_path).splitlines()
    assert "| checks | | 41 |" in lines
    assert "| tests/contract/nginx | 9 | 90 |" in lines
    assert "| tests/unit | 8 | 31 |" in lines
    assert "lane containers gw0: 91 s of tests" in lines


def test_a_run_that_ended_before_any_test_has_a_table_too(tmp_path: Path) -> None:
    assert "| tests | number | seconds |" in table.text(tmp_path)


def test_a_test_is_of_the_folder_of_its_file() -> None:
    assert folder("tests/contract/nginx/test_tls.py::test_x[a/b::c]") == "tests/contract/nginx"


# ---- make test-all


def test_all_is_every_target_that_runs_tests() -> None:
    names = targets(MAKEFILE)
    assert names[0] == "test"
    assert {"test-chaos", "test-upgrade", "test-rollout"} <= set(names)
    assert "test-all" not in names
    assert targets("test: x\ntest-new: x\ncheck:\ntest-all: y\n") == ["test", "test-new"]


def test_all_goes_on_after_a_failure_and_says_how_long_each_took(capsys: pytest.CaptureFixture[str]) -> None:
    asked: list[str] = []

    def make(target: str) -> int:
        asked.append(target)
        return 2 if target == "test-a" else 0

    assert run(["test", "test-a", "test-b"], make) == 1
    assert asked == ["test", "test-a", "test-b"]
    shown = capsys.readouterr().out
    assert "| make test-a | 0 | 2 |" in shown and "| make test-b | 0 | 0 |" in shown
    assert run(["test"], make) == 0
