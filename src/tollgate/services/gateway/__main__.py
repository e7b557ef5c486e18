"""The entrypoint of a gateway container: secrets from /run/secrets, everything else from the environment."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Mapping
from pathlib import Path

import uvloop

from tollgate.services.gateway.app import BrokenOffError
from tollgate.services.gateway.console.routes import Addresses
from tollgate.services.gateway.handover import CONNECT_S
from tollgate.services.gateway.record import JsonLines
from tollgate.services.gateway.server import Settings, serve

SECRETS = Path("/run/secrets")
NAMES = ("master_key", "postgres_password", "redis_password", "provider_keys.json", "metrics_key", "handover_key")
PORT = 4100


def settings(secrets: Path, environment: Mapping[str, str]) -> Settings:
    """Raises OSError for a secret that is missing, KeyError for a variable, ValueError for an empty secret."""
    read = {name: (secrets / name).read_text().strip() for name in NAMES}
    for name, value in read.items():
        if not value:
            raise ValueError(f"secret {name} is empty")
    return Settings(
        name=environment["GATEWAY_NAME"],
        port=int(environment.get("GATEWAY_PORT", PORT)),
        directory=Path(environment["GATEWAY_CONFIGURATION"]),
        journal=Path(environment["GATEWAY_JOURNAL"]),
        drain=Path(environment["GATEWAY_DRAIN"]),
        postgres={
            "host": environment["POSTGRES_HOST"],
            "port": environment.get("POSTGRES_PORT", "5432"),
            "user": environment["POSTGRES_USER"],
            "dbname": environment["POSTGRES_DB"],
        },
        redis=environment["TOLLGATE_REDIS"],
        secrets=read,
        proxy=environment.get("HTTPS_PROXY"),
        connect_s=float(environment.get("REPLICA_CONNECT_S", CONNECT_S)),
        inner=Addresses(environment.get("PROMETHEUS_URL", ""), environment.get("NGINX_URL", "")),
        stop_s=int(environment.get("GATEWAY_STOP_S", "600")),
    )


def is_news(record: logging.LogRecord) -> bool:
    """False for uvicorn's traceback of an answer that we broke off. The lines before it say why."""
    return not (record.exc_info and isinstance(record.exc_info[1], BrokenOffError))


def main() -> None:
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(JsonLines())
    handler.addFilter(is_news)
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    # No line names a process or a thread, so none has to be asked for.
    logging.logProcesses = logging.logThreads = logging.logMultiprocessing = False
    try:
        configured = settings(SECRETS, os.environ)
    except (OSError, ValueError, KeyError) as error:
        # The container starts again until the file is there; the message names the file or variable, never a value.
        print(f"error: the gateway process cannot start: {error}", file=sys.stderr)
        print("hint:  run `make deploy`, which writes every secret and setting that it needs", file=sys.stderr)
        sys.exit(1)
    uvloop.run(serve(configured))


if __name__ == "__main__":
    main()
