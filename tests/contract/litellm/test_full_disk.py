"""With our layer, LiteLLM's ledger writer keeps its rows while the disk of Postgres is full."""

from __future__ import annotations

import json
import subprocess

import pytest

from tests.support.images import image
from tests.support.stack import ROOT

pytestmark = pytest.mark.docker

# LiteLLM's own writer, and a table that answers like Postgres with a full disk.
WRITE = """
import asyncio, json
from types import SimpleNamespace
import prisma.errors
from litellm.proxy import utils
from tollgate.services.replica.full_disk import retry_spend_when_disk_full

FULL = '''Error occurred during query execution:
ConnectorError(ConnectorError { user_facing_error: None, kind: QueryError(PostgresError { code: "53100", message: "could
not extend file: No space left on device", severity: "ERROR", detail: None }) })'''

class Table:
    async def create_many(self, data, skip_duplicates):
        raise prisma.errors.DataError({"user_facing_error": {"message": FULL, "meta": {}}})

async def write():
    repo = SimpleNamespace(table=Table())
    try:
        await utils._create_spend_logs_with_poison_isolation(repo, [{"request_id": "1"}, {"request_id": "2"}], 256)
    except prisma.errors.DataError as error:
        again = utils.PrismaDBExceptionHandler.is_database_capacity_error(error)
        return {"dropped": False, "written again": again}
    return {"dropped": True}

alone = asyncio.run(write())
retry_spend_when_disk_full()
print("ANSWER " + json.dumps({"alone": alone, "with our layer": asyncio.run(write())}))
"""


@pytest.fixture(scope="module")
def written() -> dict[str, dict[str, bool]]:
    command = ["docker", "run", "--rm", "--network", "none", "--entrypoint", "python"]
    command += ["--volume", f"{ROOT / 'src'}:/opt/tollgate:ro", "--env", "PYTHONPATH=/opt/tollgate"]
    command += ["--env", "LITELLM_LOCAL_MODEL_COST_MAP=True", "--env", "PYTHONDONTWRITEBYTECODE=1"]
    command += [image("LITELLM_IMAGE"), "-c", WRITE]
    done = subprocess.run(command, capture_output=True, text=True, timeout=180, check=False)
    answers = [line for line in done.stdout.splitlines() if line.startswith("ANSWER ")]
    assert answers, done.stderr[-2000:]
    return dict(json.loads(answers[-1].removeprefix("ANSWER ")))


def test_rows_that_did_not_fit_on_the_disk_are_written_again(written: dict[str, dict[str, bool]]) -> None:
    assert written["with our layer"] == {"dropped": False, "written again": True}


def test_twin_litellm_alone_drops_them(written: dict[str, dict[str, bool]]) -> None:
    assert written["alone"] == {"dropped": True}
