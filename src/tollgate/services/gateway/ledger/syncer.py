"""The thread that brings the journal to the disk, some times a second for all requests together."""

from __future__ import annotations

import threading

from tollgate.services.gateway.ledger.segment import Segment


class Syncer:
    """Syncs every segment that was given to it, and closes those that are not written any more."""

    def __init__(self, every: float) -> None:
        self.failures = 0
        self._every = every
        self._segments: list[Segment] = []
        self._finished: set[Segment] = set()
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="journal-sync", daemon=True)
        self._thread.start()

    def add(self, segment: Segment) -> None:
        with self._lock:
            self._segments.append(segment)

    def finish(self, segment: Segment) -> None:
        """Nothing is written to it any more: it is synced once again and closed."""
        with self._lock:
            self._finished.add(segment)

    def stop(self) -> None:
        """Sync everything and close it."""
        self._stop.set()
        self._thread.join()
        with self._lock:
            self._finished.update(self._segments)
        self.sync()

    def sync(self) -> None:
        with self._lock:
            segments, finished = list(self._segments), set(self._finished)
        for segment in segments:
            try:
                segment.sync()
            except OSError:
                # The kernel may have dropped what it could not write. The journal goes on in another file.
                self.failures += 1
                segment.lost = True
        for segment in finished:
            segment.close()
        with self._lock:
            self._segments = [segment for segment in self._segments if segment not in finished]
            self._finished -= finished

    def _run(self) -> None:
        while not self._stop.wait(self._every):
            self.sync()
