"""The list of replicas follows the rendered names, the DNS, the drain directory and the checks."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from tests.unit.services.gateway.process import run
from tollgate.services.gateway import replica_watch as module
from tollgate.services.gateway.replica_watch import FILE, HOST, Watch, alive
from tollgate.services.gateway.replicas import Replicas

HANGS = "hangs"


class Names:
    """A DNS. A name whose address is HANGS gets no answer."""

    def __init__(self, **known: str) -> None:
        self.known = {name.replace("_", "-"): address for name, address in known.items()}
        self.asked: list[str] = []

    async def __call__(self, name: str) -> str:
        self.asked.append(name)
        if self.known.get(name) == HANGS:
            await asyncio.Event().wait()
        return self.known.get(name, "")


def write(directory: Path, text: str) -> None:
    (directory / FILE).parent.mkdir(exist_ok=True)
    (directory / FILE).write_text(text)


def watch(directory: Path, names: Names) -> tuple[Replicas, Watch]:
    replicas = Replicas()
    return replicas, Watch(replicas, directory, directory / "drain", names)


def taking(replicas: Replicas) -> list[str]:
    return sorted(replica.name for replica in replicas.order())


def test_names_are_read_again_and_drain_files_are_obeyed(tmp_path: Path) -> None:
    async def test() -> None:
        names = Names(litellm_1="10.0.0.1:4000", litellm_2="10.0.0.2:4000", litellm_3="10.0.0.3:4000")
        replicas, watching = watch(tmp_path, names)
        write(tmp_path, "litellm-1\nlitellm-2\n")
        await watching.look()
        assert taking(replicas) == ["litellm-1", "litellm-2"]
        write(tmp_path, "litellm-1\nlitellm-2\nlitellm-3\nnginx\n../x\n")
        (tmp_path / "drain").mkdir()
        (tmp_path / "drain" / "litellm-1").touch()
        await watching.look()
        assert taking(replicas) == ["litellm-2", "litellm-3"]
        assert "nginx" not in names.asked
        (tmp_path / "drain" / "litellm-1").unlink()
        await watching.look()
        assert taking(replicas) == ["litellm-1", "litellm-2", "litellm-3"]

    run(test)


@pytest.mark.parametrize("loss", ["gone", "empty"])
def test_a_missing_list_of_names_changes_nothing(tmp_path: Path, loss: str, caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        names = Names(litellm_1="10.0.0.1:4000")
        replicas, watching = watch(tmp_path, names)
        write(tmp_path, "litellm-1\n")
        await watching.look()
        write(tmp_path, "")
        if loss == "gone":
            (tmp_path / FILE).unlink()
        names.known["litellm-1"] = "10.0.0.9:4000"
        for _ in range(3):
            await watching.look()
        assert [replica.address for replica in replicas.order()] == ["10.0.0.9:4000"]

    run(test)
    assert [record.message for record in caplog.records if "list of replicas" in record.message] == [
        "cannot read the list of replicas; its names stay as they were"
    ]


def test_a_lookup_that_hangs_delays_no_other_and_is_not_asked_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LOOKUP_S", 0.05)

    async def test() -> None:
        names = Names(litellm_1="10.0.0.1:4000", litellm_2="10.0.0.2:4000")
        replicas, watching = watch(tmp_path, names)
        write(tmp_path, "litellm-1\nlitellm-2\n")
        await watching.look()
        names.known = {"litellm-1": "10.0.0.9:4000", "litellm-2": HANGS}
        for _ in range(3):
            await watching.look()
        assert {replica.name: replica.address for replica in replicas.order()} == {
            "litellm-1": "10.0.0.9:4000",
            "litellm-2": "10.0.0.2:4000",
        }
        assert names.asked.count("litellm-2") == 2

    run(test)


def test_names_are_absolute(monkeypatch: pytest.MonkeyPatch) -> None:
    """A search domain with a wildcard entry could name another host."""
    asked: list[str] = []

    def getaddrinfo(host: str, *_: object, **__: object) -> list[tuple[object, ...]]:
        asked.append(host)
        if host == "litellm-2.":
            raise OSError("no such name")
        return [(2, 1, 6, "", ("10.0.0.1", 4000))]

    monkeypatch.setattr(module.socket, "getaddrinfo", getaddrinfo)

    async def test() -> None:
        assert await module.resolve("litellm-1") == "10.0.0.1:4000"
        assert await module.resolve("litellm-2") == ""

    run(test)
    assert asked == ["litellm-1.", "litellm-2."]


class Server:
    """Answers its checks, or holds them while `frozen`."""

    def __init__(self) -> None:
        self.frozen, self.status = False, 200
        self.hosts: list[str] = []
        self.checks = 0

    async def check(self, request: web.Request) -> web.Response:
        self.checks += 1
        self.hosts.append(request.headers["Host"])
        if self.frozen:
            await asyncio.sleep(60)
        return web.Response(status=self.status)


@asynccontextmanager
async def serving(server: Server) -> AsyncIterator[str]:
    application = web.Application()
    application.router.add_get("/health/liveliness", server.check)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def until(what: object) -> None:
    async with asyncio.timeout(20):
        while not what():  # type: ignore[operator]
            await asyncio.sleep(0.02)


def test_a_frozen_replica_is_silent_until_it_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for name, value in {"LOOK_EVERY_S": 0.05, "CHECK_EVERY_S": 0.02, "CHECK_S": 0.2}.items():
        monkeypatch.setattr(module, name, value)
    caplog.set_level(logging.WARNING)

    async def test() -> None:
        first, second = Server(), Server()
        async with serving(first) as here, serving(second) as there:
            replicas, watching = watch(tmp_path, Names(litellm_1=here, litellm_2=there))
            write(tmp_path, "litellm-1\nlitellm-2\n")
            await watching.look()
            task = asyncio.create_task(watching.run())
            first.frozen = True
            await until(lambda: taking(replicas) == ["litellm-2"])
            (tmp_path / "drain").mkdir()
            (tmp_path / "drain" / "litellm-2").touch()
            # The only other one is drained: a silent replica is better than none.
            await until(lambda: taking(replicas) == ["litellm-1"])
            checks = second.checks
            await until(lambda: first.checks > 3)
            assert second.checks <= checks + 1, "a drained replica is not checked"
            (tmp_path / "drain" / "litellm-2").unlink()
            first.frozen = False
            await until(lambda: taking(replicas) == ["litellm-1", "litellm-2"])
            await until(lambda: not any(replica.silent for replica in replicas.listed))
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            assert set(first.hosts) == {HOST}

    run(test)
    told = [record.message for record in caplog.records if record.name == module.log.name]
    assert told == [
        "litellm-1 takes connections and answers no health check",
        "litellm-1 answers its health checks again",
    ]


@pytest.mark.parametrize(("status", "passes"), [(200, True), (500, False), (302, False)])
def test_only_a_200_passes(status: int, passes: bool) -> None:
    async def test() -> None:
        server = Server()
        server.status = status
        async with serving(server) as address, aiohttp.ClientSession() as session:
            assert await alive(session, address) is passes

    run(test)


def test_a_refused_connection_is_neither() -> None:
    async def test() -> None:
        async with aiohttp.ClientSession() as session:
            assert await alive(session, "127.0.0.1:9") is None

    run(test)
