"""Logs on standard output, one JSON object per line: requests and the server's messages. No credentials, no queries."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime

from tollgate.services.provider.recorder import Entry

access = logging.getLogger("tollgate.provider.access")


class JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "ts": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


def to_stdout() -> None:
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)


def answered(entry: Entry, seconds: float) -> None:
    fields = {
        "method": entry.method,
        "path": entry.path,
        "status": entry.status,
        "model": entry.model,
        "stream": entry.stream,
        "tokens_sent": entry.tokens_sent,
        "ended": entry.ended,
        "seconds": round(seconds, 3),
        "request_id": entry.request_id,
    }
    access.info("request", extra={"fields": fields})
