"""`python -m tests.bench.tenant_files`: how long reading 10,000 tenant files takes, and how much memory they hold."""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from pathlib import Path

from tollgate.config.gateway.model_names import ModelNames
from tollgate.config.tenant import load as tenants

NAMES = ModelNames(frozenset({"test-model", "large"}), {"big": "large"}, {"coding": ("large",)})
FILE = """\
tenant:
  id: {id}
  name: Team {id}
  owner: {id}@example.org

allowed_models:
  - test-model
  - group:coding

keys:
  - name: alice
    owner: alice@example.org
    expires: 2099-06-30
    budget: {{daily_limit: 1}}

budget:
  daily_limit: 10
  monthly_limit: 200

rate_limits:
  requests_per_minute: 60
  requests_per_hour: 1000

metadata:
  cost_centre: 4711
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tenants", type=int, default=10_000)
    count = parser.parse_args().tenants
    with tempfile.TemporaryDirectory() as scratch:
        for number in range(count):
            name = f"t{number:06}"
            (Path(scratch) / f"{name}.yaml").write_text(FILE.format(id=name))
        wall, cpu = time.perf_counter(), time.process_time()
        loaded = tenants.load(Path(scratch), NAMES)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    held = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"| {len(loaded)} | {wall:.1f} | {cpu:.1f} | {held:.0f} |")


if __name__ == "__main__":
    main()
