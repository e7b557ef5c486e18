"""Names the replicas and gateway processes that a rollout has drained and not put back."""

from __future__ import annotations

from collections.abc import Iterator

from tollgate.stack.containers.compose import Compose
from tollgate.stack.containers.drain import Drain
from tollgate.stack.doctor.finding import Finding
from tollgate.stack.host.progress import PlainProgress


def examine(compose: Compose) -> Iterator[Finding]:
    """One that runs a rollout now sees its replica here too."""
    for name in sorted(Drain(compose, PlainProgress()).drained()):
        hint = f"`make logs S={name}` shows why it did not come up; then `make start` puts it back"
        yield Finding.warn(name, "drained: it gets no requests until a rollout finds it healthy", hint)
