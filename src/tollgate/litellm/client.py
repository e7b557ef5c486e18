"""A small client for LiteLLM's management API (docs/facts.md 1). It has only the calls that Tollgate makes.

Keys go in headers and bodies, never in a URL, because URLs are logged. A missing object is None. Every other refusal
raises a LiteLLMError.
"""

from __future__ import annotations

import ssl
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Any, Self

import httpx

from tollgate.config.secret import Secret
from tollgate.litellm.errors import LiteLLMError, refused, unreachable

# The connection is local. An answer takes long only while Postgres fails over or a replica starts. LiteLLM stops
# waiting for its database after about 10 s.
TIMEOUT = httpx.Timeout(30.0, connect=3.0)
# The pauses are 0.2 + 0.4 + 0.8 + 1.6 s. In less time nginx stops sending requests to a replica that restarts.
ATTEMPTS = 5
FIRST_PAUSE_S = 0.2
# nginx answers so while a replica is down. LiteLLM answers so while the database is down, and with 500 after the
# database has dropped a transaction.
BUSY = frozenset({500, 502, 503, 504})
PAGE = 100  # the largest page of /v2/team/list and /key/list
# One replica works about 60 ms on a page. Eight readers keep three replicas busy and leave room for tenants' requests.
READERS = 8
# For addresses on this machine, which are http. To read the certificates that a machine trusts takes 33 ms.
TRUSTS_NOBODY = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)

Row = dict[str, Any]
Query = Mapping[str, str | int]


class Client:
    """`with Client("http://127.0.0.1:4001", master_key) as client: client.team("acme")`. Threads can share it."""

    def __init__(self, base_url: str, master_key: Secret, transport: httpx.BaseTransport | None = None) -> None:
        self._http = httpx.Client(
            base_url=base_url,
            headers={"Authorization": f"Bearer {master_key.reveal()}"},
            timeout=TIMEOUT,
            transport=transport,
            trust_env=False,  # a proxy from the environment must not see the master key
            verify=TRUSTS_NOBODY,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()

    def alive(self) -> bool:
        """Whether a replica answers. The call needs no key and no database."""
        return self._answers("/health/liveliness")

    def ready(self) -> bool:
        """Whether a replica answers and reaches its database."""
        return self._answers("/health/readiness")

    def list_teams(self, team_id: str | None = None) -> Iterator[Row]:
        """Every team, or only the team with this id, page by page."""
        query: Query = {"page_size": PAGE, "sort_by": "team_id", **({"team_id": team_id} if team_id else {})}
        yield from self._pages("/v2/team/list", "teams", query)

    def find_team(self, team_id: str) -> Row | None:
        answer = self._find("/team/info", {"team_id": team_id})
        return answer and answer["team_info"]

    def create_team(self, fields: Row) -> Row:
        """Create a team and return its row. LiteLLM answers 400 if the id exists (no upsert).

        So the call is not repeated when the first one could have arrived.
        """
        row: Row = self._send("POST", "/team/new", fields)
        return row

    def update_team(self, team_id: str, fields: Row) -> None:
        """Change the given fields only."""
        self._send("POST", "/team/update", {"team_id": team_id, **fields}, again=True)

    def delete_team(self, team_id: str) -> None:
        """Delete a team. LiteLLM also deletes its keys, and keeps the spend log."""
        self._send("POST", "/team/delete", {"team_ids": [team_id]})

    def list_keys(self, team_id: str | None = None) -> Iterator[Row]:
        """Every virtual key, or only a team's keys, page by page. `token` is the sha256; no plain text is stored."""
        query: Query = {"size": PAGE, "return_full_object": "true", "sort_by": "token", "sort_order": "asc"}
        yield from self._pages("/key/list", "keys", {**query, **({"team_id": team_id} if team_id else {})})

    def find_key(self, key_hash: str) -> Row | None:
        """A key that works or is blocked. Deleted keys are None here, although LiteLLM answers 200 for them."""
        answer = self._find("/key/info", {"key": key_hash})
        if answer is None or answer["info"].get("status") == "deleted":
            return None
        info: Row = answer["info"]
        return info

    def find_keys(self, key_hashes: Sequence[str]) -> Sequence[Row]:
        """The rows of the keys that exist, in any order, without their hashes. At most `PAGE` keys in one call."""
        rows: Sequence[Row] = self._send("POST", "/v2/key/info", {"keys": list(key_hashes)}, again=True)["info"]
        return rows

    def create_key(self, key: Secret, fields: Row) -> None:
        """Create a key with this plain text. If the key exists, LiteLLM answers 200 and changes nothing."""
        self._send("POST", "/key/generate", {"key": key.reveal(), **fields}, again=True)

    def update_key(self, key_hash: str, fields: Row) -> None:
        """Change the given fields only. `key_hash` is the sha256; LiteLLM accepts it in place of the key."""
        self._send("POST", "/key/update", {"key": key_hash, **fields}, again=True)

    def block_key(self, key_hash: str) -> None:
        """Block the key. Every replica refuses it immediately (a blocked team takes longer)."""
        self._send("POST", "/key/block", {"key": key_hash}, again=True)

    def delete_key(self, key_hash: str) -> None:
        self._send("POST", "/key/delete", {"keys": [key_hash]})

    def _answers(self, path: str) -> bool:
        try:
            return self._http.get(path).is_success
        except httpx.HTTPError:
            return False

    def _find(self, path: str, query: Query) -> Row | None:
        try:
            answer: Row = self._send("GET", path, query=query, again=True)
        except LiteLLMError as error:
            if error.status == httpx.codes.NOT_FOUND:
                return None
            raise
        return answer

    def _pages(self, path: str, name: str, query: Query) -> Iterator[Row]:
        """Read the first page, which has the number of pages, then the others: a few at a time, yielded in order."""

        def page(number: int) -> Row:
            answer: Row = self._send("GET", path, query={**query, "page": number}, again=True)
            return answer

        first = page(1)
        yield from first[name]
        numbers = range(2, int(first.get("total_pages") or 0) + 1)
        with ThreadPoolExecutor(READERS, "pages") as pool:
            waiting = deque(pool.submit(page, number) for number in numbers[:READERS])
            for number in range(2, numbers.stop):
                rows: Sequence[Row] = waiting.popleft().result()[name]
                if number + READERS < numbers.stop:
                    waiting.append(pool.submit(page, number + READERS))
                yield from rows

    def _send(
        self,
        method: str,
        path: str,
        body: Row | None = None,
        *,
        query: Query | None = None,
        again: bool = False,
    ) -> Any:
        """Make one call. Retry it if it cannot have arrived; with `again` also after `BUSY` or a lost connection."""
        for attempt in range(ATTEMPTS):
            last = attempt == ATTEMPTS - 1
            try:
                response = self._http.request(method, path, params=query, json=body)
            except httpx.HTTPError as error:
                lost = isinstance(error, httpx.NetworkError | httpx.RemoteProtocolError)
                if last or not (isinstance(error, httpx.ConnectError) or (again and lost)):
                    raise unreachable(method, path, error) from error
            else:
                if response.is_success:
                    return response.json()
                if last or not again or response.status_code not in BUSY:
                    raise refused(method, path, response)
            time.sleep(FIRST_PAUSE_S * 2**attempt)
        raise AssertionError("the last attempt returns or raises")
