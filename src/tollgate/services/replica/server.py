"""The server: LiteLLM's ASGI application under uvicorn, one process, JSON lines on standard output.

LiteLLM's own command line would start it the same way, but first hands the database URL, password included, to
`prisma migrate diff` as an argument, where `ps` shows it. Its other work (pool size, keep-alive, log format) is what
`environment` in __main__ and this module do.
"""

from __future__ import annotations

import gc
import os
from typing import Any

import uvicorn

from tollgate.services.replica.deferred import defer_prisma_types
from tollgate.services.replica.full_disk import keep_what_found_no_room
from tollgate.services.replica.headers import Application, without_provider_headers
from tollgate.services.replica.ledger_wait import bound_ledger_reads
from tollgate.services.replica.refusals import with_refusals

HOST, PORT = "0.0.0.0", 4000  # noqa: S104  inside a container that publishes nothing


def log_config(level: str) -> dict[str, Any]:
    """uvicorn's loggers in the format of LiteLLM's own (`json_logs: true`), so that a replica's log is one format."""
    handler = {"class": "logging.StreamHandler", "formatter": "json", "stream": "ext://sys.stdout"}
    logger = {"handlers": ["out"], "level": level, "propagate": False}
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"json": {"()": "litellm._logging.JsonFormatter"}},
        "handlers": {"out": handler},
        "loggers": dict.fromkeys(("uvicorn", "uvicorn.error", "uvicorn.access"), logger),
    }


def application() -> Application:
    """LiteLLM's application with our layers around it, the outermost last.

    Its import makes a million objects that stay. Looking through them for garbage is a third of a replica's start, and
    later a pause of every full collection; so nobody looks while they are made, and they are frozen afterwards.
    """
    defer_prisma_types()
    gc.disable()
    from litellm.proxy.proxy_server import app  # takes seconds, and is there only in its own image

    gc.freeze()
    gc.enable()
    bound_ledger_reads()
    keep_what_found_no_room()
    return with_refusals(without_provider_headers(app))


def main() -> None:
    uvicorn.run(
        application,
        factory=True,
        host=HOST,
        port=PORT,
        timeout_keep_alive=int(os.environ["KEEPALIVE_TIMEOUT"]),
        log_config=log_config(os.environ["LITELLM_LOG"]),
        server_header=False,
    )


if __name__ == "__main__":
    main()
