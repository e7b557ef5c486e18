"""`python -m tollgate.services.gateway.ledger ID …` prints the calls of the journals with these ids, as a JSON list.

An id is a call's own, or nginx's id of its request. `tollgate why` runs it inside a gateway container, because the
journal's volume is mounted there.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict
from pathlib import Path

from tollgate.services.gateway.ledger.find import find

if __name__ == "__main__":
    print(json.dumps([asdict(noted) for noted in find(Path(os.environ["GATEWAY_JOURNAL"]), sys.argv[1:])]))
