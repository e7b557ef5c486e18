"""The server: LiteLLM's ASGI application under uvicorn, one process, JSON lines on standard output.

LiteLLM's own command line would start it the same way, but first hands the database URL, password included, to
`prisma migrate diff` as an argument, where `ps` shows it. Its other work (pool size, keep-alive, log format) is what
`environment` in __main__ and this module do. A layer around the application belongs here.
"""

from __future__ import annotations

import os
from typing import Any

import uvicorn

APPLICATION = "litellm.proxy.proxy_server:app"
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


def main() -> None:
    uvicorn.run(
        APPLICATION,
        host=HOST,
        port=PORT,
        timeout_keep_alive=int(os.environ["KEEPALIVE_TIMEOUT"]),
        log_config=log_config(os.environ["LITELLM_LOG"]),
        server_header=False,
    )


if __name__ == "__main__":
    main()
