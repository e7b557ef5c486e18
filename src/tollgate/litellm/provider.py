"""LiteLLM as the reconciler sees it: `observe()` what is there, `apply_change()` one thing at a time.

Only objects whose metadata says `managed_by: tollgate` are ours; others are counted and left alone. What is written is
read back: LiteLLM drops fields it does not know, and answers 200.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tollgate.config.secret import Secret
from tollgate.errors import TollgateError
from tollgate.litellm import normalize
from tollgate.litellm.client import Client, Row
from tollgate.litellm.fields import difference, key_fields, team_fields
from tollgate.litellm.state import Key, State, Team


class Provider:
    """`secrets` holds the plain text of the keys that may have to be created, by sha256."""

    def __init__(self, client: Client, secrets: Mapping[str, Secret]) -> None:
        self._client = client
        self._secrets = secrets

    def observe(self) -> State:
        """Read everything. The number of calls grows with pages of 100 objects, not with objects."""
        teams: dict[str, Team] = {}
        keys: dict[str, Key] = {}
        unmanaged_teams, unmanaged_keys = set(), set()
        for row in self._client.list_teams():
            if normalize.is_managed(row):
                teams[row["team_id"]] = normalize.team(row)
            else:
                unmanaged_teams.add(row["team_id"])
        for row in self._client.list_keys():
            if normalize.is_managed(row):
                keys[row["token"]] = normalize.key(row)
            else:
                unmanaged_keys.add(row["token"])
        return State(teams, keys, frozenset(unmanaged_teams), frozenset(unmanaged_keys))

    def apply_change(self, before: Team | Key | None, after: Team | Key | None) -> None:
        """Make `before` into `after`: nothing before creates, nothing after deletes. Raises TollgateError.

        Sends only the fields that differ: a budget sent again would move its next reset (docs/facts.md 2).
        """
        if isinstance(after, Team):
            self._write_team(before if isinstance(before, Team) else None, after)
        elif isinstance(after, Key):
            self._write_key(before if isinstance(before, Key) else None, after)
        elif isinstance(before, Team):
            self._refuse_unmanaged("team", before.id, self._client.find_team(before.id))
            self._client.delete_team(before.id)
        elif isinstance(before, Key):
            self._refuse_unmanaged("key", before.alias, self._client.find_key(before.id))
            self._client.block_key(before.id)  # a deleted key works on other replicas until their caches expire
            self._client.delete_key(before.id)

    def _write_team(self, before: Team | None, after: Team) -> None:
        if before is None:
            self._client.create_team({"team_id": after.id, **normalize.MARK, **team_fields(after)})
        else:
            self._client.update_team(after.id, difference(team_fields(before), team_fields(after)))
        row = self._client.find_team(after.id)
        self._refuse_unmanaged("team", after.id, row)
        self._compare(f"team {after.id}", after, normalize.team(row) if row else None)

    def _write_key(self, before: Key | None, after: Key) -> None:
        if before is None:
            self._refuse_taken(after)
            self._client.create_key(self._secret(after), {**normalize.MARK, **key_fields(after)})
        elif after.blocked and not before.blocked:
            self._client.block_key(after.id)  # its own call, because it is the one that reaches all replicas at once
            self._update_key(before, after, besides=frozenset({"blocked"}))
        else:
            self._update_key(before, after)
        row = self._client.find_key(after.id)
        self._refuse_unmanaged("key", after.alias, row)
        self._compare(f"key {after.alias}", after, normalize.key({"token": after.id, **row}) if row else None)

    def _update_key(self, before: Key, after: Key, besides: frozenset[str] = frozenset()) -> None:
        fields = difference(key_fields(before), key_fields(after))
        fields = {name: value for name, value in fields.items() if name not in besides}
        if fields:
            self._client.update_key(after.id, fields)

    def _secret(self, key: Key) -> Secret:
        try:
            return self._secrets[key.id]
        except KeyError:
            raise TollgateError(
                f"key {key.alias}: it is to be created and its plain text is not at hand",
                "it was removed from secrets/ or the tenant's file since the plan was made; plan again",
            ) from None

    def _refuse_taken(self, key: Key) -> None:
        """Creating a key that exists answers 200 and changes nothing, so ask first."""
        row = self._client.find_key(key.id)
        if row is not None:
            raise TollgateError(
                f"key {key.alias}: LiteLLM has this key already, of team {row.get('team_id') or 'none'}",
                "plan again if it is Tollgate's; otherwise give the tenant another key",
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
        kept = [field for field in vars(wanted) if getattr(found, field) != getattr(wanted, field)]
        told = ", ".join(f"{field} is {_show(found, field)}, not {_show(wanted, field)}" for field in kept)
        raise TollgateError(f"{name}: LiteLLM accepted the change and did not make it: {told}", _HINT)


_HINT = "is LiteLLM the pinned version? Run it again; if it stays so, report it with this message"


def _show(value: Any, field: str) -> str:
    return repr(getattr(value, field))
