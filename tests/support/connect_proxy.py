"""A forward proxy on loopback that knows CONNECT. Every name leads to 127.0.0.1. It keeps what it was asked for."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from socketserver import StreamRequestHandler, ThreadingTCPServer


@dataclass
class Proxy:
    url: str = ""
    asked: list[str] = field(default_factory=list)


@contextmanager
def connect_proxy() -> Iterator[Proxy]:
    kept = Proxy()

    class Tunnel(StreamRequestHandler):
        def handle(self) -> None:
            method, target, _ = self.rfile.readline().decode().split()
            while self.rfile.readline().strip():
                pass
            kept.asked.append(target)
            if method != "CONNECT":
                self.wfile.write(b"HTTP/1.1 405 only CONNECT\r\n\r\n")
                return
            port = int(target.rpartition(":")[2])
            with socket.create_connection(("127.0.0.1", port)) as upstream:
                self.wfile.write(b"HTTP/1.1 200 connected\r\n\r\n")
                back = threading.Thread(target=_copy, args=(upstream, self.connection), daemon=True)
                back.start()
                _copy(self.connection, upstream)
                back.join()

    server = ThreadingTCPServer(("127.0.0.1", 0), Tunnel)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        kept.url = f"http://127.0.0.1:{server.server_address[1]}"
        yield kept
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _copy(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
