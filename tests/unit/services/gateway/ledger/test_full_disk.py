"""A disk without room: new calls are refused, those that were let in end, and nothing half-written counts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tollgate.services.gateway.ledger.recover import recover

ROOT = Path(__file__).resolve().parents[5]
# A limit on the size of a file, which the kernel enforces as it does a full disk. The second file gets less room.
PROGRAM = """
import json, resource, sys
from pathlib import Path
from tests.support.gateway_ledger import begun, outcome, request_id
from tollgate.services.gateway.ledger.journal import Journal, JournalUnwritableError

journal = Journal(Path(sys.argv[1]), "gateway-1", segment_bytes=65536)
let_in = []
refused = ""
journal.begin(begun(1))
let_in.append(1)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
for number in range(2, 10_000):
    try:
        journal.begin(begun(number))
    except JournalUnwritableError as error:
        refused = str(error)
        break
    let_in.append(number)
    if len(let_in) > 5:
        journal.end(request_id(let_in.pop(0)), outcome(number))
for one in let_in:
    journal.end(request_id(one), outcome(one))
found = {"refused": refused, "unwritten": journal.unwritten, "waiting": journal.waiting_calls, "number": number}
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
journal.begin(begun(20_000))
journal.end(request_id(20_000), outcome(1))
print(json.dumps({**found, "later": journal.unwritten}), flush=True)
import os, signal
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("room", [0, 30_000, 65_535])
def test_a_full_disk_refuses_new_calls_and_loses_none(tmp_path: Path, room: int) -> None:
    environment = {**os.environ, "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"}
    command = [sys.executable, "-c", PROGRAM, str(tmp_path), str(room)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == -9, done.stderr
    found = json.loads(done.stdout)
    assert "File too large" in found["refused"]
    (left,) = recover(tmp_path)
    calls = []
    while not left.finished:
        batch = left.take(1000)
        calls += batch.calls
        left.done(batch)
    # All that were let in ended; the refused one is nowhere, and the disk took calls again afterwards.
    expected = [*range(1, found["number"]), 20_000]
    assert sorted(int(call.begun.id, 16) for call in calls) == expected and not any(call.failed for call in calls)
    assert found["later"] == 0 and found["waiting"] == found["number"] - 1
    # The room of its file was reserved, so the ends were on the disk at once; unless the disk refused that room too.
    assert (found["unwritten"] == 0) == (room == 65_535)
