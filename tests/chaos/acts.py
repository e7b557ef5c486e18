"""How things are broken, and mended again."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import httpx

from tests.chaos import disk
from tests.chaos.book import container, psql
from tests.chaos.load import Load, body, client
from tests.support.eventually import eventually
from tests.support.stack import Stack

Act = Callable[[Stack, Load], object]
# How long a fault lasts.
HOLD_S = 20.0


def nothing(stack: Stack, load: Load) -> None:
    """It is over by itself."""


def docker(*words: str) -> Callable[[str], Act]:
    return lambda service: lambda stack, load: insist(stack, *words, container(stack, service))


def insist(stack: Stack, *words: str) -> None:
    """Until Docker does it: on a busy machine it may be unable to freeze a container that is starting a process."""

    def done() -> bool:
        try:
            stack.docker(*words)
        except subprocess.CalledProcessError as error:
            raise AssertionError(error.stderr.strip()) from None
        return True

    eventually(done, within=20, every=0.5)


kill = docker("kill", "--signal", "KILL")
freeze = docker("pause")
thaw = docker("unpause")
start = docker("start")
stop = docker("stop", "--time", "30")


def dial(dials: str) -> Act:
    def act(stack: Stack, load: Load) -> None:
        load.dials = dials

    return act


def frozen_for_good(stack: Stack, load: Load) -> None:
    """Do what the runbook says about a replica that hangs."""
    name = container(stack, "litellm-2")
    stack.docker("kill", "--signal", "KILL", name)
    stack.docker("start", name)


def emptied(stack: Stack, load: Load) -> None:
    name = container(stack, "redis")
    stack.docker("exec", name, "sh", "-c", "rm -rf /data/*")
    stack.docker("kill", "--signal", "KILL", name)
    stack.docker("start", name)


def never_seen(stack: Stack) -> tuple[str, list[str]]:
    """How keys that nobody has seen are refused, on Anthropic's route and on OpenAI's; both are asked at once."""

    def refusal(path: str) -> str:
        headers = {"Authorization": f"Bearer sk-never-seen-{time.monotonic_ns()}"}
        with client() as http:
            try:
                return str(http.post(stack.url + path, json=body(stream=False), headers=headers).status_code)
            except httpx.HTTPError as error:
                return type(error).__name__

    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(refusal, ("/v1/messages", "/v1/chat/completions")))
    wrong = ["a key that could not be looked up was called wrong (401)"] if "401" in found else []
    return f"unknown key: {', '.join(found)}", wrong


def no_connection_left(stack: Stack, load: Load) -> None:
    """Others take each connection there is, again and again, while those of the replicas are closed under them."""
    seconds = int(HOLD_S + 20)
    login = "psql -XqAt -U litellm -d litellm"
    limit = int(psql(stack, "show max_connections"))
    taker = f"{login} -c 'select pg_sleep({seconds})'"
    takers = f"for n in $(seq {limit + 20}); do while ! {taker}; do [ $(date +%s) -lt $end ] || exit; done & done"
    closing = "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'prisma-query-engine'"
    again = " ".join(f'-c "{closing}" -c "select pg_sleep(2)"' for _ in range(3))
    script = f"end=$(($(date +%s) + {seconds})); {login} -c 'select pg_sleep(1)' {again} & {takers}; wait"
    stack.docker("exec", "--detach", container(stack, "postgres"), "sh", "-c", f"({script}) >/dev/null 2>&1")
    eventually(lambda: refuses(stack), within=10, every=0.3)


def refuses(stack: Stack, *statements: str) -> bool:
    """Whether Postgres does not take a connection, or loses it over the statements."""
    try:
        psql(stack, "select 1", *statements)
    except subprocess.CalledProcessError:
        return True
    return False


def full_disk(stack: Stack, load: Load) -> None:
    """Not a byte is free, and the space that Postgres keeps for its log is used up too."""
    disk.fill()
    eventually(lambda: refuses(stack, "select pg_switch_wal()", "checkpoint"), within=30)
    disk.fill()


def freed_disk(stack: Stack, load: Load) -> None:
    disk.free()
    stack.docker("start", container(stack, "postgres"))


def everything_killed(stack: Stack, load: Load) -> None:
    running = [row.name for row in stack.compose.containers() if row.state == "running"]
    stack.docker("kill", "--signal", "KILL", *running)


def started_again(stack: Stack, load: Load) -> None:
    stack.cli("start")
