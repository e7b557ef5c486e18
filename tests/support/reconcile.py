"""A gateway in memory, for what must hold for every plan; tests/contract/litellm holds it to the real one."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from tollgate.config.gateway.model_names import ModelNames
from tollgate.config.secret import Secret
from tollgate.config.tenant.load import parse
from tollgate.errors import TollgateError
from tollgate.litellm.state import Key, State, Team
from tollgate.reconcile.desired import desired, key_hash

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
NAMES = ModelNames(frozenset({"claude", "qwen-coder", "test-model"}), {"sonnet": "claude"}, {"coding": ("claude",)})


def secret_of(tenant: str, name: str = "default") -> Secret:
    return Secret(f"sk-{tenant}-{name}-0123456789abcdef0123456789")


def wanted(*files: str, now: datetime = NOW, made: bool = True) -> State:
    """The desired state of these tenant files. `made`: whether their keys exist."""
    tenants = [parse(text, Path("tenants/x.yaml"), names=NAMES) for text in files]
    names = [(tenant.id, key.name) for tenant in tenants for key in tenant.all_keys]
    return desired(tenants, {name: secret_of(*name) for name in names} if made else {}, now)


class Memory:
    """A gateway that is a State. `fail_at` makes the n-th change fail as LiteLLM would."""

    def __init__(self, state: State, fail_at: int = 0) -> None:
        self.state, self.fail_at, self.calls = state, fail_at, 0
        self._guard = threading.Lock()

    def write(self, before: Team | Key | None, after: Team | Key | None) -> None:
        with self._guard:
            self.calls += 1
            if self.calls == self.fail_at:
                raise TollgateError("LiteLLM: POST /team/new: 503: database away")
            self._apply(before, after)

    def confirm(self, keys: Sequence[Key]) -> Iterator[tuple[Key, TollgateError]]:
        for key in keys:
            if self.state.keys.get(key.id) != key:
                yield key, TollgateError("LiteLLM accepted the change but did not make it")

    def _apply(self, before: Team | Key | None, after: Team | Key | None) -> None:
        teams, keys = dict(self.state.teams), dict(self.state.keys)
        subject = after or before
        assert subject is not None
        table: dict = teams if isinstance(subject, Team) else keys
        assert table.get(subject.id) == before, "the plan does not start from what is there"
        if isinstance(after, Key):
            assert after.team in teams, "a key was made before its team"
            aliases = {key.alias for key in keys.values() if key.id != after.id}
            assert after.alias not in aliases, "LiteLLM wants aliases unique"
        table.pop(subject.id, None)
        if after is not None:
            table[after.id] = after
        elif isinstance(subject, Team):  # LiteLLM deletes the keys with the team
            keys = {name: key for name, key in keys.items() if key.team != subject.id}
        self.state = replace(self.state, teams=teams, keys=keys)


def hash_of(tenant: str, name: str = "default") -> str:
    return key_hash(secret_of(tenant, name))
