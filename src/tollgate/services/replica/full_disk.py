"""Makes LiteLLM keep spend that it could not write because Postgres has no disk space or memory left.

Without this, LiteLLM treats that error as a problem of the data, and drops the rows one by one. But it is like too many
connections: Postgres rolled the statement back, and LiteLLM can send it again.
"""

from __future__ import annotations

import re

# SQLSTATE disk_full and out_of_memory, as Prisma's engine quotes them.
_NO_ROOM = re.compile(r'code: "(?:53100|53200)"')


def retry_spend_when_disk_full() -> None:
    """Patch LiteLLM. If its method is missing, the replica does not start."""
    from litellm.proxy.db.exception_handler import PrismaDBExceptionHandler

    known = PrismaDBExceptionHandler.is_database_capacity_error

    def is_database_capacity_error(e: Exception) -> bool:
        return known(e) or (PrismaDBExceptionHandler.is_prisma_error(e) and _NO_ROOM.search(str(e)) is not None)

    PrismaDBExceptionHandler.is_database_capacity_error = staticmethod(is_database_capacity_error)
