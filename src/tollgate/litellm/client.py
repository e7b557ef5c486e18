"""A small client of LiteLLM's management API (docs/facts.md 1): what Tollgate calls, and nothing else.

Keys go in headers and bodies, never in a URL: URLs are logged. An object that is not there is None, every other
refusal is a LiteLLMError.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Any, Self

import httpx

from tollgate.config.secret import Secret
from tollgate.litellm.errors import LiteLLMError, refused, unreachable

# Connecting is local. An answer takes long only while Postgres fails over or a replica starts; LiteLLM itself gives
# up on its database after about 10 s.
TIMEOUT = httpx.Timeout(30.0, connect=3.0)
# 0.2 + 0.4 + 0.8 + 1.6 s: nginx needs less than that to take a replica that is restarting out of its rotation.
ATTEMPTS = 5
FIRST_PAUSE_S = 0.2
# From nginx while a replica is away, from LiteLLM while the database is or has dropped its transaction (500).
BUSY = frozenset({500, 502, 503, 504})
PAGE = 100  # the most /v2/team/list and /key/list give at once
# A page is some 60 ms of one replica's work: this many keep three replicas busy, and leave room for tenants' requests.
READERS = 8

Row = dict[str, Any]
Query = Mapping[str, str | int]


class Client:
    """`with Client("http://127.0.0.1:4001", master_key) as client: client.team("acme")`. Safe to share by threads."""

    def __init__(self, base_url: str, master_key: Secret, transport: httpx.BaseTransport | None = None) -> None:
        self._http = httpx.Client(
            base_url=base_url,
            headers={"Authorization": f"Bearer {master_key.reveal()}"},
            timeout=TIMEOUT,
            transport=transport,
            trust_env=False,  # a proxy from the environment must not see the master key
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()

    def alive(self) -> bool:
        """Whether a replica answers at all; needs no key and asks no database."""
        return self._answers("/health/liveliness")

    def ready(self) -> bool:
        """Whether a replica answers and reaches its database."""
        return self._answers("/health/readiness")

    def list_teams(self, team_id: str | None = None) -> Iterator[Row]:
        """Every team, or the one of this id, page by page."""
        query: Query = {"page_size": PAGE, "sort_by": "team_id", **({"team_id": team_id} if team_id else {})}
        yield from self._pages("/v2/team/list", "teams", query)

    def find_team(self, team_id: str) -> Row | None:
        found = self._find("/team/info", {"team_id": team_id})
        return found and found["team_info"]

    def create_team(self, fields: Row) -> Row:
        """Make a team and return its row. Not an upsert: 400 where the id is taken.

        So it is not sent again once it may have arrived.
        """
        made: Row = self._send("POST", "/team/new", fields)
        return made

    def update_team(self, team_id: str, fields: Row) -> None:
        """Change the fields given, leave the others."""
        self._send("POST", "/team/update", {"team_id": team_id, **fields}, again=True)

    def delete_team(self, team_id: str) -> None:
        """Delete a team; LiteLLM deletes its keys with it, and keeps the spend log."""
        self._send("POST", "/team/delete", {"team_ids": [team_id]})

    def list_keys(self, team_id: str | None = None) -> Iterator[Row]:
        """Every virtual key, or a team's, page by page; `token` is its sha256, its plain text is stored nowhere."""
        query: Query = {"size": PAGE, "return_full_object": "true", "sort_by": "token", "sort_order": "asc"}
        yield from self._pages("/key/list", "keys", {**query, **({"team_id": team_id} if team_id else {})})

    def find_key(self, key_hash: str) -> Row | None:
        """A key that works or is blocked. LiteLLM keeps deleted ones in an archive and still answers 200 for them."""
        found = self._find("/key/info", {"key": key_hash})
        if found is None or found["info"].get("status") == "deleted":
            return None
        info: Row = found["info"]
        return info

    def find_keys(self, key_hashes: Sequence[str]) -> Sequence[Row]:
        """Those of at most `PAGE` keys that are there, in any order, and without their hashes."""
        found: Sequence[Row] = self._send("POST", "/v2/key/info", {"keys": list(key_hashes)}, again=True)["info"]
        return found

    def create_key(self, key: Secret, fields: Row) -> None:
        """Make a key with the given plain text. For a key that exists LiteLLM answers 200 and changes nothing."""
        self._send("POST", "/key/generate", {"key": key.reveal(), **fields}, again=True)

    def update_key(self, key_hash: str, fields: Row) -> None:
        """Change the fields given, leave the others. `key_hash` is the sha256, which LiteLLM takes for the key."""
        self._send("POST", "/key/update", {"key": key_hash, **fields}, again=True)

    def block_key(self, key_hash: str) -> None:
        """Refuse the key from now on; every replica knows at once (unlike a blocked team)."""
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
            found: Row = self._send("GET", path, query=query, again=True)
        except LiteLLMError as error:
            if error.status == httpx.codes.NOT_FOUND:
                return None
            raise
        return found

    def _pages(self, path: str, name: str, query: Query) -> Iterator[Row]:
        """The first page says how many there are; the others are read a few at a time, and given in order."""

        def page(number: int) -> Row:
            found: Row = self._send("GET", path, query={**query, "page": number}, again=True)
            return found

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
        """One call. Repeated where it cannot have arrived; with `again` also after `BUSY` or a lost connection."""
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
