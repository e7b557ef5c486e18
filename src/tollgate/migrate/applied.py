"""The result of one run of the migrate job: the job prints it, and the deploy reads it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Migrated:
    """The result of one run. The job prints it as JSON in its last line."""

    applied: int
    already_there: int
    indexes_built: int
    seconds: float

    @classmethod
    def read(cls, output: str) -> Migrated:
        """From what the job printed: the last line that is JSON. Raises ValueError where there is none."""
        lines = [line for line in output.splitlines() if line.startswith("{")]
        if not lines:
            raise ValueError("the migrate job printed no JSON")
        return cls(**json.loads(lines[-1]))

    @property
    def changed(self) -> bool:
        return bool(self.applied or self.indexes_built)

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    def __str__(self) -> str:
        return (
            f"{self.applied} applied, {self.already_there} already there, {self.indexes_built} indexes built, "
            f"{self.seconds:.1f} s"
        )
