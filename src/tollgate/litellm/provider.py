"""LiteLLM as the reconciler sees it: `observe()` what is there, `write()` one thing at a time, `confirm()` many keys.

Only objects whose metadata says `managed_by: tollgate` are ours; others are counted and left alone. What is written is
read back: LiteLLM drops fields it does not know, and answers 200.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields
from datetime import UTC, datetime
from typing import Any

from tollgate.config.secret import Secret
from tollgate.errors import TollgateError
from tollgate.litellm import normalize
from tollgate.litellm.client import Client, Row
from tollgate.litellm.errors import LiteLLMError
from tollgate.litellm.fields import expiry_field, key_difference, key_fields, team_difference, team_fields
from tollgate.litellm.state import Key, State, Team

# LiteLLM looks for budgets to reopen every minute (config/litellm/config.yaml.j2); twice that has seen it do so.
RESET_WITHIN_S = 150
RESET_POLL_S = 3
CREATIONS = 3


class Provider:
    """`secrets` holds the plain text of the keys that may have to be created, by sha256. Safe to share by threads."""

    def __init__(self, client: Client, secrets: Mapping[str, Secret]) -> None:
        self._client = client
        self._secrets = secrets

    def observe(self, tenant: str | None = None) -> State:
        """Read everything, or one tenant. The number of calls grows with pages of 100 objects, not with objects."""
        now = datetime.now(UTC)
        teams: dict[str, Team] = {}
        keys: dict[str, Key] = {}
        unmanaged_teams, unmanaged_keys = {}, {}
        for row in self._client.list_teams(tenant):
            if normalize.is_managed(row):
                teams[row["team_id"]] = normalize.team(row)
            else:
                unmanaged_teams[row["team_id"]] = normalize.label(row)
        for row in self._client.list_keys(tenant):
            if normalize.is_managed(row):
                keys[row["token"]] = normalize.key(row, now)
            else:
                unmanaged_keys[row["token"]] = normalize.label(row)
        return State(teams, keys, unmanaged_teams, unmanaged_keys)

    def apply_change(self, before: Team | Key | None, after: Team | Key | None) -> None:
        """`write` one thing and be sure of it. Raises TollgateError."""
        self.write(before, after)
        if isinstance(after, Key):
            for _, error in self.confirm([after]):
                raise error

    def write(self, before: Team | Key | None, after: Team | Key | None) -> None:
        """Make `before` into `after`: nothing before creates, nothing after deletes. Raises TollgateError.

        Sends only the fields that differ: a budget sent again would move its next reset (docs/facts.md 2). A key is
        not read back yet: `confirm` does that for many in one call.
        """
        if isinstance(after, Team):
            self._write_team(before if isinstance(before, Team) else None, after)
        elif isinstance(after, Key):
            self._write_key(before if isinstance(before, Key) else None, after)
        elif isinstance(before, Team):
            self._refuse_unmanaged("team", before.id, self._client.find_team(before.id))
            self._refuse_inhabited(before)
            self._client.delete_team(before.id)
        elif isinstance(before, Key):
            self._refuse_unmanaged("key", before.alias, self._client.find_key(before.id))
            self._client.block_key(before.id)  # a deleted key works on other replicas until their caches expire
            self._client.delete_key(before.id)

    def confirm(self, keys: Sequence[Key]) -> Iterator[tuple[Key, TollgateError]]:
        """Read keys back that were written, and give those that are not as they should be. Raises TollgateError."""
        # These rows do not have the hash. An alias that is not there is one that was not written: ask for that key.
        rows = {row.get("key_alias"): row for row in self._client.find_keys([key.id for key in keys])}
        for key in keys:
            row = rows.get(key.alias) or self._client.find_key(key.id)
            try:
                self._refuse_taken(key, row)
                self._refuse_unmanaged("key", key.alias, row)
                found = normalize.key({"token": key.id, **row}, datetime.now(UTC)) if row else None
                self._compare(f"key {key.alias}", key, found)
            except TollgateError as error:
                yield key, error

    def _write_team(self, before: Team | None, after: Team) -> None:
        if before is None:
            row: Row | None = self._create_team(after)
        else:
            changed = team_difference(before, after)
            if "budget_limits" in changed:
                self._wait_for_reset(f"team {after.id}", lambda: self._client.find_team(after.id))
            self._client.update_team(after.id, changed)
            row = self._client.find_team(after.id)
        self._refuse_unmanaged("team", after.id, row)
        self._compare(f"team {after.id}", after, normalize.team(row) if row else None)

    def _create_team(self, team: Team) -> Row:
        """Its row. The answer is what the database has, so there is nothing to read back.

        Creating is not repeatable, but the database of a busy gateway does drop a transaction now and then: after a
        failure of LiteLLM's own, what is there decides whether to try again.
        """
        for attempt in range(CREATIONS):
            try:
                return self._client.create_team({"team_id": team.id, **team_fields(team)})
            except LiteLLMError as error:
                if not error.may_pass or attempt == CREATIONS - 1:
                    raise
                found = self._client.find_team(team.id)
                if found is not None:
                    return found
                time.sleep(attempt + 1)
        raise AssertionError("the last attempt returns or raises")

    def _write_key(self, before: Key | None, after: Key) -> None:
        if before is None:
            self._client.create_key(self._secret(after), {**key_fields(after), **self._expiry(after)})
            return
        if after.blocked and not before.blocked:
            self._client.block_key(after.id)  # first: whoever is cut off is cut off before anything can fail
        changed = key_difference(before, after, datetime.now(UTC))
        if after.blocked:
            changed.pop("blocked", None)
        if "budget_limits" in changed:
            self._wait_for_reset(f"key {after.alias}", lambda: self._client.find_key(after.id))
        if changed:
            self._client.update_key(after.id, changed)

    @staticmethod
    def _expiry(key: Key) -> Row:
        return expiry_field(key, datetime.now(UTC)) if key.expires else {}

    def _wait_for_reset(self, name: str, read: Callable[[], Row | None]) -> None:
        """Hold a new amount back while a window that has ended is not yet reopened.

        LiteLLM gives each window it is sent its next reset, so the one that is due would be skipped, and yesterday's
        spend would count today. That is the minute after midnight UTC; at any other time this is one read.
        """
        until = time.monotonic() + RESET_WITHIN_S
        while (row := read()) and normalize.reset_is_due(row, datetime.now(UTC)):
            if time.monotonic() > until:
                raise TollgateError(
                    f"{name}: a budget window has ended and LiteLLM has not reopened it; its new amount was not sent",
                    "LiteLLM does so every minute: see `make logs` for why it does not, then run this again",
                )
            time.sleep(RESET_POLL_S)

    def _secret(self, key: Key) -> Secret:
        try:
            return self._secrets[key.id]
        except KeyError:
            raise TollgateError(
                f"key {key.alias}: it is to be created and its plain text is not at hand",
                "it was removed from secrets/ or the tenant's file since the plan was made; plan again",
            ) from None

    def _refuse_taken(self, key: Key, row: Row | None) -> None:
        """Creating a key that exists answers 200 and changes nothing, so what is there then tells whose it is."""
        if row is not None and row.get("team_id") != key.team:
            raise TollgateError(
                f"key {key.alias}: LiteLLM has this key already, of team {row.get('team_id') or 'none'}",
                "plan again if it is Tollgate's; otherwise give the tenant another key",
            )

    def _refuse_inhabited(self, team: Team) -> None:
        """Ours are gone by now; LiteLLM would delete with the team what somebody else put into it."""
        others = [normalize.label(row) or row["token"][:16] for row in self._client.list_keys(team.id)]
        if others:
            raise TollgateError(
                f"team {team.id}: it holds {len(others)} key(s) that Tollgate did not make: {', '.join(others[:5])}",
                "LiteLLM deletes a team's keys with it: if nobody needs them, remove them there and run this again",
            )

    def _refuse_unmanaged(self, kind: str, name: str, row: Row | None) -> None:
        if row is not None and not normalize.is_managed(row):
            raise TollgateError(
                f"{kind} {name}: it has lost Tollgate's mark (metadata.managed_by) and is left alone",
                "someone changed it by hand; put the mark back or remove the object, then plan again",
            )

    def _compare(self, name: str, wanted: Team | Key, found: Team | Key | None) -> None:
        if found == wanted:
            return
        if found is None:
            raise TollgateError(f"{name}: LiteLLM said it was written, and does not have it", _HINT)
        names = [field.name for field in fields(wanted)]
        kept = [name for name in names if getattr(found, name) != getattr(wanted, name)]
        told = ", ".join(f"{field} is {_show(found, field)}, not {_show(wanted, field)}" for field in kept)
        raise TollgateError(f"{name}: LiteLLM accepted the change and did not make it: {told}", _HINT)


_HINT = "is LiteLLM the pinned version? Run it again; if it stays so, report it with this message"


def _show(value: Any, field: str) -> str:
    return repr(getattr(value, field))
