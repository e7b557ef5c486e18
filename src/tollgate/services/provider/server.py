"""The HTTP server: uvicorn, extended so that a request can reset its own connection (the `drop` dial)."""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import Any

import uvicorn
from starlette.types import ASGIApp
from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

# A stop waits this many seconds for running requests. Hanging requests never end by themselves.
STOP_SECONDS = 3
# Longer than a proxy keeps idle connections, so the provider never closes a connection that the proxy is about to use.
KEEP_ALIVE_SECONDS = 75


class ResettableProtocol(H11Protocol):
    """Gives each request `scope["state"]["reset"]`, which breaks its connection with a TCP reset."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, {**app_state, "reset": self._reset}, _loop)
        self._lost = asyncio.Event()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._lost.set()

    async def _reset(self) -> None:
        connection = self.transport.get_extra_info("socket")
        # No lingering: close sends RST immediately. The client can still read data that was sent before.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()
        # Now uvicorn knows that the connection is lost, and does not report the missing end of the answer as an error.
        await self._lost.wait()


def server(app: ASGIApp) -> uvicorn.Server:
    return uvicorn.Server(
        uvicorn.Config(
            app,
            http=ResettableProtocol,
            # The image also has uvloop, whose stop cuts running requests in another way.
            loop="asyncio",
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=True,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=STOP_SECONDS,
        )
    )
