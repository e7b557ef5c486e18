"""Run the provider. With --check, test whether a running provider answers (the container's health check)."""

from __future__ import annotations

import argparse
import logging
import signal
import socket
import sys
import urllib.error
import urllib.request

from tollgate.services.provider import logs
from tollgate.services.provider.app import create_app
from tollgate.services.provider.server import server


def main(argv: list[str] | None = None) -> int:
    arguments = _parser().parse_args(argv)
    if arguments.check:
        return _check(arguments.port)
    logs.to_stdout()
    try:
        listener = socket.create_server((arguments.host, arguments.port), backlog=2048)
    except OSError as error:
        print(f"error: cannot listen on {arguments.host}:{arguments.port}: {error.strerror}", file=sys.stderr)
        print("hint:  choose another --port, or stop the program that uses this port", file=sys.stderr)
        return 1
    host, port = listener.getsockname()[:2]
    logging.getLogger("tollgate.provider").info("listening", extra={"fields": {"host": host, "port": port}})
    # After it has stopped, uvicorn raises the signal again. By default that would kill the process before it logs the
    # interrupted requests.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    server(create_app(under_test=arguments.under_test == "yes")).run(sockets=[listener])
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tollgate.services.provider", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=8080, help="port, 0 for any free one (default: %(default)s)")
    parser.add_argument(
        "--under-test",
        choices=("yes", "no"),
        default="no",
        help="obey dials, and show recorded requests to every client of this port (default: %(default)s)",
    )
    parser.add_argument("--check", action="store_true", help="exit 0 if the provider on --port of this host answers")
    return parser


def _check(port: int) -> int:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/_health", timeout=3):
            return 0
    except (urllib.error.URLError, OSError) as error:
        print(f"error: the provider on port {port} does not answer: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
