"""Any order of begins, notes, ends, shipping and kills: each ended call comes once or again, each other one is
interrupted, and none is invented."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.gateway_ledger import begun, outcome, request_id, used
from tollgate.services.gateway.ledger.journal import Journal, JournalUnwritableError
from tollgate.services.gateway.ledger.recover import recover

STEPS = st.tuples(
    st.sampled_from(["begin"] * 5 + ["end"] * 5 + ["note", "hand over", "book", "sync", "sync"]), st.integers(0, 99)
)
SHIPPING = st.tuples(st.sampled_from(["ship"] * 30 + ["kill"]), st.integers(1, 30))


class World:
    """The journal beside what must be true of it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.number = 0
        self.open: dict[str, int] = {}
        self.ended: set[str] = set()
        self.shipped: set[str] = set()
        self.start()

    def start(self) -> None:
        self.journal = Journal(self.directory, "gateway-1", segment_bytes=40_000, sync_every=3600.0, note_every=0.0)

    def step(self, what: str, chance: int) -> None:
        some = sorted(self.open)[chance % len(self.open)] if self.open else ""
        if what == "begin":
            self.number += 1
            try:
                self.journal.begin(begun(self.number))
            except JournalUnwritableError:
                return
            self.open[request_id(self.number)] = 0
        elif what == "book":
            self.number += 1
            self.journal.book(begun(self.number), outcome())
            self.ended.add(request_id(self.number))
        elif what == "sync":
            self.journal._syncer.sync()
        elif what == "ship":
            self.ship(chance)
        elif what == "kill":
            self.kill()
        elif some:
            self.of_a_call(what, some)

    def of_a_call(self, what: str, some: str) -> None:
        if what == "note":
            self.open[some] += 1
            self.journal.progress(some, lambda: used(self.open[some]))
            return
        del self.open[some]
        if what == "hand over":
            self.journal.hand_over(some)
        else:
            self.journal.end(some, outcome())
            self.ended.add(some)

    def ship(self, most: int) -> None:
        batch = self.journal.take(most)
        ids = [call.begun.id for call in batch.calls]
        assert len(ids) == len(set(ids)) and not self.shipped.intersection(ids) and self.ended.issuperset(ids)
        self.shipped.update(ids)
        self.journal.done(batch)
        assert self.journal.waiting_calls == len(self.ended - self.shipped)

    def kill(self) -> None:
        assert self.journal.unwritten == 0
        self.journal._syncer.stop()
        self.journal._lock.release()
        ended, interrupted = set(), {}
        for left in recover(self.directory):
            while not left.finished:
                batch = left.take(7)
                assert not batch.unreadable
                interrupted |= {call.begun.id: call.outcome.usage for call in batch.calls if call.failed}
                ended |= {call.begun.id for call in batch.calls if not call.failed}
                left.done(batch)
            assert left.torn == 0 and left.waiting_calls == 0
        assert self.ended - self.shipped <= ended <= self.ended
        assert interrupted == {some: used(notes) if notes else begun().estimate for some, notes in self.open.items()}
        assert list(self.directory.iterdir()) == []
        self.open, self.ended, self.shipped = {}, set(), set()
        self.start()


@settings(max_examples=25, deadline=None)
@given(st.lists(STEPS | STEPS | SHIPPING, min_size=100, max_size=400))
def test_no_call_is_lost_or_invented_whatever_happens(steps: list[tuple[str, int]]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        world = World(Path(directory))
        for what, chance in steps:
            world.step(what, chance)
        world.kill()
        world.journal.close()
