"""Makes LiteLLM keep what it could not write because Postgres had no room left.

It takes that error for one about the data, drops the ledger's lines one by one and goes on. A Postgres without room is
one without capacity: as with too many connections, the statement was rolled back and can be sent again.
"""

from __future__ import annotations

import re

# SQLSTATE disk_full and out_of_memory, as Prisma's engine quotes them.
_NO_ROOM = re.compile(r'code: "(?:53100|53200)"')


def keep_what_found_no_room() -> None:
    """Without the method, a replica of another LiteLLM does not start."""
    from litellm.proxy.db.exception_handler import PrismaDBExceptionHandler

    known = PrismaDBExceptionHandler.is_database_capacity_error

    def is_database_capacity_error(e: Exception) -> bool:
        return known(e) or (PrismaDBExceptionHandler.is_prisma_error(e) and _NO_ROOM.search(str(e)) is not None)

    PrismaDBExceptionHandler.is_database_capacity_error = staticmethod(is_database_capacity_error)
