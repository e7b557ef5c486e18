"""Finds the holder of a key with LiteLLM's own look-up: in memory, else in Redis, else in Postgres."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from tollgate.services.hooks.names import tenant_name
from tollgate.services.requests.holder import KeysAwayError

# If the database hangs, requests whose keys are not in memory must not keep their connections for longer.
PATIENCE_S = 15.0
_UNKNOWN = "token_not_found_in_db"


@dataclass(frozen=True)
class Known:
    """The holder of a key. `operator` means the master key; `closed` means that the key is revoked or expired."""

    tenant: str
    operator: bool = False
    closed: bool = False


class Keys:
    """Looks keys up with LiteLLM's own code. LiteLLM caches the result for its own look-up a moment later."""

    async def find(self, key: str, *, remembered: bool = False) -> Known | None:
        """The holder of the key; None for an unknown key. With `remembered` it does not query the database.

        Raises KeysAwayError.
        """
        from litellm.proxy import proxy_server as server  # only in LiteLLM's image, and configured after its start

        if server.master_key and hmac.compare_digest(key.encode(), server.master_key.encode()):
            return Known("", operator=True)
        if server.prisma_client is None:
            return None
        try:
            async with asyncio.timeout(PATIENCE_S):
                caller = await _look_up(server, hashlib.sha256(key.encode()).hexdigest(), remembered)
        except TimeoutError as error:
            raise KeysAwayError from error
        return None if caller is None else Known(tenant_name(caller), closed=_closed(caller, datetime.now(UTC)))


async def _look_up(server: Any, token: str, remembered: bool) -> Any:
    from litellm.proxy.auth.auth_checks import get_key_object

    try:
        return await get_key_object(
            token,
            server.prisma_client,
            server.user_api_key_cache,
            proxy_logging_obj=server.proxy_logging_obj,
            check_cache_only=remembered,
        )
    except TimeoutError:
        raise
    except Exception as error:  # the errors of LiteLLM and Prisma have no common base
        kind = getattr(error, "type", None)
        if remembered or getattr(kind, "value", kind) == _UNKNOWN:
            return None
        raise KeysAwayError from error


def _closed(caller: Any, now: datetime) -> bool:
    """Whether the key is blocked or expired. Replicas see this immediately; a tenant's changes take up to a minute.

    The keys of a suspended tenant are blocked. `team_blocked` is not asked: LiteLLM remembers it with the key for ten
    minutes, but decides by the tenant's own row. So it would let a resumed tenant pass, without the body.
    """
    expires = expiry(caller)
    return bool(getattr(caller, "blocked", False)) or (expires is not None and expires <= now)


def expiry(caller: Any) -> datetime | None:
    """The end of the key, or None. LiteLLM has it as text or as a datetime; without a zone it is UTC."""
    expires = getattr(caller, "expires", None)
    if isinstance(expires, str):
        expires = datetime.fromisoformat(expires)
    if not isinstance(expires, datetime):
        return None
    return expires if expires.tzinfo else expires.replace(tzinfo=UTC)
