"""The HTTP server: uvicorn, with one thing added: a request can have its own connection reset (the `drop` dial)."""

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

# Hanging requests never end by themselves; a stop waits this many seconds for the others.
STOP_SECONDS = 3
# Longer than a proxy keeps idle connections to us, so that it is never us who closes one it is about to use.
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
        # No lingering: close sends RST at once. What was sent before stays readable for the client.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()
        # Only then does uvicorn know, and not take the missing end of the answer for a fault of ours.
        await self._lost.wait()


def server(app: ASGIApp) -> uvicorn.Server:
    return uvicorn.Server(
        uvicorn.Config(
            app,
            http=ResettableProtocol,
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
