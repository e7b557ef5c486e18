"""The server: LiteLLM's ASGI application under uvicorn, in one process, with JSON lines on standard output.

LiteLLM's own command line does the same. But first it passes the database URL with the password to `prisma migrate
diff` as an argument, and `ps` shows arguments. Its other tasks (pool size, keep-alive, log format) are done here and by
`environment` in __main__.
"""

from __future__ import annotations

import gc
import os
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import uvicorn

from tollgate.services.replica.access_log import WithoutChecks
from tollgate.services.replica.counted_once import count_once
from tollgate.services.replica.fallback_money import ask_budgets_for_fallbacks
from tollgate.services.replica.full_disk import retry_spend_when_disk_full
from tollgate.services.replica.headers import without_provider_headers
from tollgate.services.replica.keys import Keys
from tollgate.services.replica.ledger_wait import bound_ledger_reads
from tollgate.services.replica.metrics_key import with_metrics_key
from tollgate.services.replica.missing_modules import remember_missing_modules
from tollgate.services.replica.nul import keep_nul_from_the_database
from tollgate.services.replica.own_limits import keep_limits_apart
from tollgate.services.replica.prisma_types import defer_prisma_types
from tollgate.services.replica.refusals import with_refusals
from tollgate.services.replica.refused_log import log_refusals_as_information
from tollgate.services.replica.reservation import reserve_the_longest
from tollgate.services.requests.asgi import Application
from tollgate.services.requests.guard import Guard
from tollgate.services.requests.rules import FILE, read

HOST, PORT = "0.0.0.0", 4000  # noqa: S104  inside a container


def log_config(level: str) -> dict[str, Any]:
    """uvicorn's loggers and ours in LiteLLM's format (`json_logs: true`), so a replica's log has one format."""
    handler = {"class": "logging.StreamHandler", "formatter": "json", "stream": "ext://sys.stdout"}
    logger: dict[str, Any] = {"handlers": ["out"], "level": level, "propagate": False}
    loggers = dict.fromkeys(("uvicorn", "uvicorn.error", "uvicorn.access", "tollgate"), logger)
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"json": {"()": "litellm._logging.JsonFormatter"}},
        "filters": {"checks": {"()": WithoutChecks}},
        "handlers": {"out": handler},
        "loggers": loggers | {"uvicorn.access": {**logger, "filters": ["checks"]}},
    }


def before_the_import() -> None:
    """Call this before anything imports LiteLLM. uvicorn does so too, for the format of the log.

    The import creates a million permanent objects. Garbage collection of them takes a third of a replica's start, and
    later delays every full collection. So the collector is off during the import, and the objects are frozen after it.
    """
    gc.disable()
    defer_prisma_types()


def application() -> Application:
    """LiteLLM's application with our layers around it, the outermost last. It follows `before_the_import`."""
    from litellm.proxy.proxy_server import app  # takes seconds, and works only in LiteLLM's image

    remember_missing_modules()
    gc.freeze()
    gc.enable()
    log_refusals_as_information()
    count_once()
    bound_ledger_reads()
    retry_spend_when_disk_full()
    keep_limits_apart()
    keep_nul_from_the_database()
    reserve_the_longest()
    ask_budgets_for_fallbacks()
    rules = read(Path(os.environ["CONFIG_FILE_PATH"]).with_name(FILE).read_text())
    inner = with_metrics_key(with_refusals(without_provider_headers(app)), os.environ.get("TOLLGATE_METRICS_KEY", ""))
    return Guard(inner, Keys(), rules)


def http() -> Literal["httptools", "h11"]:
    """The parser of HTTP. Our image has httptools, in C. The official image may have only h11, in Python.

    The event loop is uvloop in both images: uvicorn takes it if it is there, and LiteLLM's proxy requires it.
    """
    return "httptools" if find_spec("httptools") is not None else "h11"


def main() -> None:
    before_the_import()
    uvicorn.run(
        application,
        factory=True,
        http=http(),
        host=HOST,
        port=PORT,
        timeout_keep_alive=int(os.environ["KEEPALIVE_TIMEOUT"]),
        log_config=log_config(os.environ["LITELLM_LOG"]),
        server_header=False,
    )


if __name__ == "__main__":
    main()
