"""Keeps the list of replicas right: which there are, where they are, which are drained, and which are silent.

docs/decisions/0020 gives the reasons.
"""

from __future__ import annotations

import asyncio
import logging
import re
import socket
from collections.abc import Awaitable, Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import aiohttp

from tollgate.services.gateway.replicas import Replica, Replicas

log = logging.getLogger("tollgate.gateway.replicas")

# The rendered list of names, one on a line.
FILE = Path("gateway") / "replicas"
PORT = 4000
LOOK_EVERY_S = 1.0
LOOKUP_S = 2.0
CHECK_EVERY_S = 2.0
# A busy replica answers within seconds.
CHECK_S = 3.0
# It needs neither Postgres nor Redis, so their outage removes no replica.
ALIVE = "/health/liveliness"
# LiteLLM has had an authentication bypass through this header (CVE-2026-49468). nginx sets the same.
HOST = "litellm"
_NAME = re.compile(r"litellm-\d{1,4}")

LookUp = Callable[[str], Awaitable[str]]


# Lookups that hang must not hold the threads that others need.
_threads = ThreadPoolExecutor(16, "lookup")


async def resolve(name: str) -> str:
    """The address of a replica as host:port; empty if the name does not exist."""
    return await asyncio.get_running_loop().run_in_executor(_threads, _resolve, name)


def _resolve(name: str) -> str:
    """The dot at the end disables search domains. With a wildcard DNS entry the name of a stopped replica could resolve
    to another host, which would receive requests with keys in them."""
    try:
        rows = socket.getaddrinfo(f"{name}.", PORT, family=socket.AF_INET, type=socket.SOCK_STREAM)
    except OSError:
        return ""
    return f"{rows[0][4][0]}:{PORT}"


class Watch:
    """`directory` has what is rendered. `drain` has a file for each drained replica."""

    def __init__(self, replicas: Replicas, directory: Path, drain: Path, look_up: LookUp = resolve) -> None:
        self._replicas, self._file, self._drain, self._look_up = replicas, directory / FILE, drain, look_up
        self._asked: dict[str, asyncio.Task[str]] = {}
        self._names_missing = False

    async def look(self) -> None:
        """One round. It ends within LOOKUP_S."""
        self._read_names()
        names = [replica.name for replica in self._replicas.listed]
        # A lookup that hangs is not asked again: it holds a thread.
        for name in names:
            if name not in self._asked:
                self._asked[name] = asyncio.ensure_future(self._look_up(name))
        if self._asked:
            await asyncio.wait(self._asked.values(), timeout=LOOKUP_S)
        done = {name: task for name, task in self._asked.items() if task.done()}
        self._asked = {name: task for name, task in self._asked.items() if not task.done()}
        self._replicas.found({name: task.result() for name, task in done.items()})
        # This comes last: a replica that is put back is called at its new address.
        self._replicas.drain(self._drained())

    async def run(self) -> None:
        """Look forever, and check forever. `look` comes first, before the process takes requests."""
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(self._keep_looking())
                both.create_task(self._keep_checking())
        finally:
            for task in self._asked.values():
                task.cancel()

    async def _keep_looking(self) -> None:
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            await self.look()

    async def _keep_checking(self) -> None:
        timeout = aiohttp.ClientTimeout(total=CHECK_S)
        # A new connection for each check, as a call has one.
        connector = aiohttp.TCPConnector(limit=0, force_close=True)
        async with aiohttp.ClientSession(
            connector=connector, timeout=timeout, cookie_jar=aiohttp.DummyCookieJar()
        ) as session:
            while True:
                # A drained replica is not checked: the command that drained it replaces it and checks it.
                asked = [replica for replica in self._replicas.listed if replica.in_rotation]
                await asyncio.gather(*(self._check(session, replica) for replica in asked))
                await asyncio.sleep(CHECK_EVERY_S)

    async def _check(self, session: aiohttp.ClientSession, replica: Replica) -> None:
        address = replica.address
        answered = await alive(session, address)
        # Meanwhile it may have been drained, or moved.
        if not replica.in_rotation or replica.address != address or not self._replicas.checked(replica, answered):
            return
        if replica.silent:
            log.warning("%s takes connections and answers no health check", replica.name)
        else:
            log.warning("%s answers its health checks again", replica.name)

    def _read_names(self) -> None:
        """If the list is missing or empty, because it is being replaced, the names stay as they are."""
        text = ""
        with suppress(OSError, UnicodeDecodeError):
            text = self._file.read_text()
        names = [line for line in text.split() if _NAME.fullmatch(line)]
        if names:
            self._replicas.named(names)
        elif not self._names_missing:
            log.warning("cannot read the list of replicas; its names stay as they were")
        self._names_missing = not names

    def _drained(self) -> Collection[str]:
        """A missing directory drains nobody."""
        try:
            return {path.name for path in self._drain.iterdir()}
        except OSError:
            return ()


async def alive(session: aiohttp.ClientSession, address: str) -> bool | None:
    """Whether the replica passes its check. None if it refused the connection: it is starting or gone."""
    try:
        async with session.get(f"http://{address}{ALIVE}", headers={"Host": HOST}, allow_redirects=False) as answer:
            return answer.status == 200
    except TimeoutError:
        return False
    except aiohttp.ClientConnectorError:
        return None
    except (aiohttp.ClientError, OSError):
        return False
