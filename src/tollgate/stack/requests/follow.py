"""Follows the logs of the gateway processes while somebody watches."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import suppress
from types import TracebackType

from tollgate.errors import TollgateError
from tollgate.stack.containers.compose import Compose, plain
from tollgate.stack.host.docker import HINT
from tollgate.stack.host.run import Running, follow
from tollgate.stack.requests.live import WINDOW_S, Minute, ended

STOP_S = 5


def read_once(compose: Compose, names: Sequence[str], minute: Minute) -> None:
    """Add what ended in the last minute."""
    if names:
        for line in compose.lines("logs", "--no-color", "--since", f"{WINDOW_S}s", *names):
            minute.add(ended(line))


class Follower:
    """Adds each request when it ends, beginning with those of the last minute. `with` ends what it started."""

    def __init__(self, compose: Compose, names: Sequence[str], minute: Minute) -> None:
        self._compose, self._names, self._minute = compose, names, minute
        self._process: Running | None = None
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Follower:
        self._start(f"{WINDOW_S}s")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stop()

    def go_on(self) -> None:
        """Follow again if Docker has ended the logs, as it does when all containers stop."""
        if self._thread is not None and not self._thread.is_alive():
            self._stop()
            self._start("1s")

    def _start(self, since: str) -> None:
        if not self._names:
            return
        argv = self._compose.argv("logs", "--no-color", "--follow", "--since", since, *self._names)
        try:
            self._process = follow(argv, env=self._compose.environment)
        except OSError as error:
            raise TollgateError(f"docker compose logs: {error.strerror}", HINT) from None
        self._thread = threading.Thread(target=self._read, args=(self._process,), daemon=True)
        self._thread.start()

    def _read(self, process: Running) -> None:
        assert process.stdout is not None  # noqa: S101  `follow` asks for it
        with suppress(ValueError):  # it was closed
            for line in process.stdout:
                self._minute.add(ended(plain(line)))

    def _stop(self) -> None:
        if self._process is None or self._thread is None:
            return
        self._process.terminate()
        self._thread.join(STOP_S)
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._process = self._thread = None
