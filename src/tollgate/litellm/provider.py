"""LiteLLM for the reconciler: `observe()` reads everything, `write()` changes one object, `confirm()` checks many keys.

Only objects whose metadata says `managed_by: tollgate` are ours; others are counted and not changed. Every write is
read back, because LiteLLM drops unknown fields and answers 200.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
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

CREATIONS = 3


class LiteLLMTenants:
    """`secrets` has the plain text of keys that may be created, by sha256. Threads can share this object."""

    def __init__(self, client: Client, secrets: Mapping[str, Secret]) -> None:
        self._client = client
        self._secrets = secrets

    def observe(self, tenant: str | None = None) -> State:
        """Read everything, or one tenant. It makes one call per page of 100 objects."""
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
        """`write` one object and read it back. Raises TollgateError."""
        self.write(before, after)
        if isinstance(after, Key):
            for _, error in self.confirm([after]):
                raise error

    def write(self, before: Team | Key | None, after: Team | Key | None) -> None:
        """Change `before` into `after`. No `before`: create it. No `after`: delete it. Raises TollgateError.

        It sends only fields that differ. Keys are read back later: `confirm` reads many in one call.
        """
        if isinstance(after, Team):
            self._write_team(before if isinstance(before, Team) else None, after)
        elif isinstance(after, Key):
            self._write_key(before if isinstance(before, Key) else None, after)
        elif isinstance(before, Team):
            self._refuse_unmanaged("team", before.id, self._client.find_team(before.id))
            self._refuse_foreign_keys(before)
            self._client.delete_team(before.id)
        elif isinstance(before, Key):
            self._refuse_unmanaged("key", before.alias, self._client.find_key(before.id))
            self._client.block_key(before.id)  # a deleted key works on other replicas until their caches expire
            self._client.delete_key(before.id)

    def confirm(self, keys: Sequence[Key]) -> Iterator[tuple[Key, TollgateError]]:
        """Read written keys back and yield those that differ from `keys`, with the reason. Raises TollgateError."""
        # These rows lack the hash, so they are matched by alias. A key without a row was not written: read it alone.
        rows = {row.get("key_alias"): row for row in self._client.find_keys([key.id for key in keys])}
        for key in keys:
            row = rows.get(key.alias) or self._client.find_key(key.id)
            try:
                self._refuse_taken(key, row)
                self._refuse_unmanaged("key", key.alias, row)
                stored = normalize.key({"token": key.id, **row}, datetime.now(UTC)) if row else None
                self._compare(f"key {key.alias}", key, stored)
            except TollgateError as error:
                yield key, error

    def _write_team(self, before: Team | None, after: Team) -> None:
        if before is None:
            row: Row | None = self._create_team(after)
        else:
            self._client.update_team(after.id, team_difference(before, after))
            row = self._client.find_team(after.id)
        self._refuse_unmanaged("team", after.id, row)
        self._compare(f"team {after.id}", after, normalize.team(row) if row else None)

    def _create_team(self, team: Team) -> Row:
        """Create the team and return its row. The answer shows the stored row, so it is not read back.

        The database of a busy gateway drops a transaction now and then, and a second create call fails if the first
        one worked. So after an error in LiteLLM it reads the team, and tries again only if the team does not exist.
        """
        for attempt in range(CREATIONS):
            try:
                return self._client.create_team({"team_id": team.id, **team_fields(team)})
            except LiteLLMError as error:
                if not error.may_pass or attempt == CREATIONS - 1:
                    raise
                row = self._client.find_team(team.id)
                if row is not None:
                    return row
                time.sleep(attempt + 1)
        raise AssertionError("the last attempt returns or raises")

    def _write_key(self, before: Key | None, after: Key) -> None:
        if before is None:
            self._client.create_key(self._secret(after), {**key_fields(after), **self._expiry(after)})
            return
        if after.blocked and not before.blocked:
            self._client.block_key(after.id)  # first, so that a later failure cannot keep the key open
        changed = key_difference(before, after, datetime.now(UTC))
        if after.blocked:
            changed.pop("blocked", None)
        if changed:
            self._client.update_key(after.id, changed)

    @staticmethod
    def _expiry(key: Key) -> Row:
        return expiry_field(key, datetime.now(UTC)) if key.expires else {}

    def _secret(self, key: Key) -> Secret:
        try:
            return self._secrets[key.id]
        except KeyError:
            raise TollgateError(
                f"key {key.alias}: its plain text is missing, so it cannot be created",
                "after the plan was made, it was removed from secrets/ or from the tenant's file; plan again",
            ) from None

    def _refuse_taken(self, key: Key, row: Row | None) -> None:
        """Raise if another team has this key. LiteLLM answers 200 to creating an existing key, and changes nothing."""
        if row is not None and row.get("team_id") != key.team:
            raise TollgateError(
                f"key {key.alias}: LiteLLM has this key already, in team {row.get('team_id') or 'none'}",
                "if Tollgate created it, plan again; otherwise give the tenant another key",
            )

    def _refuse_foreign_keys(self, team: Team) -> None:
        """Raise if the team still has keys. Ours are deleted already; LiteLLM would delete the others with the team."""
        others = [normalize.label(row) or row["token"][:16] for row in self._client.list_keys(team.id)]
        if others:
            raise TollgateError(
                f"team {team.id}: it has {len(others)} key(s) that Tollgate did not make: {', '.join(others[:5])}",
                "LiteLLM deletes a team with all its keys: if you do not need these, delete them there and try again",
            )

    def _refuse_unmanaged(self, kind: str, name: str, row: Row | None) -> None:
        if row is not None and not normalize.is_managed(row):
            raise TollgateError(
                f"{kind} {name}: it has lost Tollgate's mark (metadata.managed_by), so it was not changed",
                "someone changed it by hand; put the mark back or remove the object, then plan again",
            )

    def _compare(self, name: str, wanted: Team | Key, stored: Team | Key | None) -> None:
        if stored == wanted:
            return
        if stored is None:
            raise TollgateError(f"{name}: LiteLLM reported success, but does not have it", _HINT)
        names = [field.name for field in fields(wanted)]
        wrong = [name for name in names if getattr(stored, name) != getattr(wanted, name)]
        values = ", ".join(f"{field} is {_show(stored, field)}, not {_show(wanted, field)}" for field in wrong)
        raise TollgateError(f"{name}: LiteLLM accepted the change but did not make it: {values}", _HINT)


_HINT = "check that LiteLLM has the pinned version, and run this again; if it fails again, report this message"


def _show(value: Any, field: str) -> str:
    return repr(getattr(value, field))
