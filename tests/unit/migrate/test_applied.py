"""The result of the migrate job, from the job to the deploy that reads it."""

from __future__ import annotations

import pytest

from tollgate.migrate.applied import Migrated


@pytest.mark.parametrize(("applied", "indexes", "changed"), [(0, 0, False), (10, 0, True), (0, 2, True)])
def test_it_comes_back_as_it_was_printed(applied: int, indexes: int, changed: bool) -> None:
    done = Migrated(applied, 220 - applied, indexes, 0.1)
    read = Migrated.read(f"migrate: done: {done}\n{done.to_json()}\n Container t-migrate-run Removed\n")
    assert (read, read.changed) == (done, changed)


@pytest.mark.parametrize("output", ["", "migrate: done: 0 applied\n"])
def test_other_output_is_refused(output: str) -> None:
    with pytest.raises(ValueError, match="printed no JSON"):
        Migrated.read(output)
