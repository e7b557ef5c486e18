"""`make bench-tenants`: plan and apply with 10,000 tenants of two keys each, against a whole stack with three replicas.

The first tenant is made through the API; the rows of the others are copies of its rows, with names and hashes of their
own. Writes its table into docs/performance.md; figures are those of one run on the machine named there.
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from tests.support.stack import BENCH, ROOT, Stack, prepare, project_name, take_down
from tests.support.sweep import remember
from tollgate.reconcile.desired import key_hash
from tollgate.stack.secrets.store import generate

PERFORMANCE = ROOT / "docs" / "performance.md"
FIRST = "t00000"
FILE = """\
tenant: {{id: {id}, owner: lead@example.org}}
allowed_models: [test-model]
budget: {{daily_limit: 5, weekly_limit: 20, monthly_limit: 50}}
rate_limits: {{requests_per_minute: 60, requests_per_hour: 500}}
metadata: {{cost-centre: 4711}}
keys:
  - {{name: ci, owner: ci@example.org, budget: {{daily_limit: 1}}}}
"""


@dataclass(frozen=True)
class Run:
    """One command: what it did, how long it took, how much memory it held, how often it asked LiteLLM."""

    what: str
    aim: str
    seconds: float
    mib: float
    requests: int

    @property
    def row(self) -> str:
        return f"| {self.what} | {self.seconds:.1f} | {self.mib:.0f} | {self.requests} | {self.aim} |"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tenants", type=int, default=10_000)
    parser.add_argument("--new", type=int, default=1_000)
    options = parser.parse_args()
    remember()
    with tempfile.TemporaryDirectory() as scratch:
        stack = prepare(Path(scratch) / "home", project_name(BENCH), gateways=0)
        try:
            tenant(stack, FIRST)
            stack.cli("deploy")
            seed(stack, options.tenants)
            runs = measured(stack, options.tenants, options.new)
        finally:
            take_down(stack, ROOT / "var" / "logs" / "bench")
    text = table(runs)
    sys.stdout.write(text + "\n")
    publish(text)
    return 0


def measured(stack: Stack, tenants: int, new: int) -> list[Run]:
    runs = [timed(stack, f"plan, {tenants:,} tenants, nothing to do", "15 s, 300 MiB", 0, "plan")]
    tenant(stack, "t00001", FILE.replace("60,", "61,"))
    runs.append(timed(stack, f"plan, one of {tenants:,} changed", "15 s", 2, "plan"))
    runs.append(timed(stack, f"apply, one of {tenants:,} changed", "15 s", 0, "apply", "--yes"))
    for number in range(new):
        tenant(stack, f"n{number:05}")
    runs.append(timed(stack, f"apply, {new:,} new tenants of two keys", "60 s", 0, "apply", "--yes"))
    runs.append(timed(stack, "plan after it", "15 s", 0, "plan"))
    return runs


def tenant(stack: Stack, name: str, text: str = FILE) -> None:
    (stack.home / "tenants" / f"{name}.yaml").write_text(text.format(id=name))


def seed(stack: Stack, tenants: int) -> None:
    """Files, keys and rows of every tenant after the first."""
    lines = []
    for number in range(1, tenants):
        name = f"t{number:05}"
        tenant(stack, name)
        for key, file in (("default", name), ("ci", f"{name}.ci")):
            secret = generate("sk-")
            path = stack.home / "secrets" / "tenants" / file
            path.write_text(secret.reveal() + "\n")
            path.chmod(0o600)
            digest = key_hash(secret)
            lines.append(f"{name}\t{key}\t{digest}\t{name}/{key}/{digest[:8]}")
    sql(stack, "CREATE TABLE bench (team text, name text, token text, alias text)")
    sql(stack, "COPY bench FROM STDIN", "\n".join(lines) + "\n")
    copy(stack, "LiteLLM_TeamTable", f"a.team_id = '{FIRST}' AND b.name = 'default'", team_id="team", team_alias="team")
    same_key = f"a.team_id = '{FIRST}' AND a.metadata->>'name' = b.name"
    copy(stack, "LiteLLM_VerificationToken", same_key, team_id="team", token="token", key_alias="alias")
    sql(stack, "ANALYZE")


def copy(stack: Stack, table_: str, which: str, **own: str) -> None:
    """Insert copies of API-made rows `a`, joined with `bench` rows `b`; `own` columns come from the latter."""
    columns_of = f"SELECT column_name FROM information_schema.columns WHERE table_name = '{table_}'"  # noqa: S608
    found = sql(stack, columns_of).split()
    values = ", ".join(f"b.{own[column]}" if column in own else f'a."{column}"' for column in found)
    columns = ", ".join(f'"{column}"' for column in found)
    rows = f'SELECT {values} FROM "{table_}" a, bench b WHERE {which}'  # noqa: S608
    sql(stack, f'INSERT INTO "{table_}" ({columns}) {rows}')


def sql(stack: Stack, statement: str, given: str = "") -> str:
    psql = ("exec", "-T", "postgres", "psql", "-U", "litellm", "-d", "litellm", "-v", "ON_ERROR_STOP=1", "-qAtc")
    done = subprocess.run(
        stack.compose.argv(*psql, statement), input=given, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise AssertionError(done.stderr)
    return done.stdout


def timed(stack: Stack, what: str, aim: str, status: int, *arguments: str) -> Run:
    """Run the real command in a process of its own."""
    before, began = requests(stack), time.monotonic()
    command = [sys.executable, "-m", "tollgate", "--home", str(stack.home), *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    printed = process.stdout.read() if process.stdout else ""
    _, code, usage = os.wait4(process.pid, 0)
    seconds = time.monotonic() - began
    process.returncode = os.waitstatus_to_exitcode(code)
    if process.returncode != status:
        raise AssertionError(f"tollgate {' '.join(arguments)} exited {process.returncode}\n{printed[-3000:]}")
    run = Run(what, aim, seconds, usage.ru_maxrss / 1024, requests(stack) - before)
    sys.stderr.write(f"{run.row}\n")
    return run


def requests(stack: Stack) -> int:
    """How many management calls nginx has passed on so far."""
    lines = subprocess.run(
        stack.compose.argv("logs", "--no-color", "nginx"), capture_output=True, text=True, check=True
    ).stdout
    return len(re.findall(r"/(?:v2/team|team|key)/(?:list|new|update|delete|generate|block|info)", lines))


def table(runs: list[Run]) -> str:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1024**3
    system = platform.freedesktop_os_release()["PRETTY_NAME"]
    return "\n".join(
        [
            "## Tenants",
            "",
            "`make bench-tenants`. Everything on one machine: three replicas, Postgres, and the command itself.",
            f"{os.cpu_count()} cores ({platform.machine()}), {memory:.0f} GiB, {system}, "
            f"Python {platform.python_version()}, {time.strftime('%Y-%m-%d')}; one run.",
            "",
            "| command | seconds | memory of the command, MiB | calls to LiteLLM | aim |",
            "|---|---:|---:|---:|---|",
            *(run.row for run in runs),
            "",
            "Each call reads 100 teams or 100 keys, the most LiteLLM returns. Eight calls run at a time, while the",
            "files are read. A call takes about 60 ms of a replica's time, so more cores read faster. A new team is",
            "one call, and so is a new key. One call reads back a hundred keys.",
        ]
    )


def publish(text: str) -> None:
    """Put the table in the place of the one before."""
    whole = PERFORMANCE.read_text()
    found = re.search(r"^## Tenants\n.*?(?=^## |\Z)", whole, re.MULTILINE | re.DOTALL)
    mended = whole[: found.start()] + text + "\n\n" + whole[found.end() :] if found else f"{whole.rstrip()}\n\n{text}\n"
    PERFORMANCE.write_text(mended.rstrip() + "\n")


if __name__ == "__main__":
    sys.exit(main())
