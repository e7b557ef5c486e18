"""`make bench-panels`: what each query of the dashboards and of the console costs a real Prometheus at 1,000 tenants.

promtool writes the history: hours of made-up series, what the recording rules make of them, and thirty days of what the
objectives add up. Then every query runs alone, over the range that a panel shows. The cost is processor time
of Prometheus, so it does not depend on what else runs on the machine. Exit 1 if a query costs more than 50 ms.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import yaml

from tests.bench import panel_series
from tests.support.eventually import eventually
from tests.support.images import image
from tollgate.render import console, dashboards
from tollgate.render.observability import render_observability
from tollgate.render.output import write

ROOT = Path(__file__).resolve().parents[2]
TENANTS, BOUND_MS, REPEATS = 1000, 50.0, 4
# The one that is chosen where a dashboard shows chosen tenants only.
TENANT = "tenant-0007"
HOUR = 3600
RANGE_S = 6 * HOUR
# A panel of a dashboard is about 700 points wide; Grafana never asks for less than a scrape.
GRAFANA_STEP_S = 30
GRAFANA_RATE_S = max(GRAFANA_STEP_S + panel_series.SCRAPE_S, 4 * panel_series.SCRAPE_S)
CPU = re.compile(r"^process_cpu_seconds_total (\S+)$", re.MULTILINE)


@dataclass(frozen=True)
class Asked:
    """One query as it is sent. `step` is in seconds; 0 asks for one moment."""

    name: str
    expr: str
    step: int


def asked() -> Iterator[Asked]:
    """Every query of Grafana, with "All" chosen where there is that choice, and every query of the console."""
    for text in dashboards.dashboards().values():
        model = json.loads(text)
        choices = model["templating"]["list"]
        values = {each["name"]: str(each["allValue"]) if each["includeAll"] else TENANT for each in choices}
        for panel in model["panels"]:
            for target in panel["targets"]:
                if target["datasource"]["uid"] == console.SOURCE:
                    name = " · ".join(filter(None, (model["title"], panel["title"], target["legendFormat"])))
                    yield Asked(name, _filled(target["expr"], values), 0 if target["instant"] else GRAFANA_STEP_S)
    for panel in console.console(dashboards.panels())["panels"]:
        for query in panel["queries"]:
            step = 0 if query["instant"] else console.STEP_S
            yield Asked(f"Console · {panel['title']} · {query['legend']}", query["expr"], step)


def _filled(expr: str, values: dict[str, str]) -> str:
    values = values | {"__rate_interval": f"{GRAFANA_RATE_S}s", "__range": f"{RANGE_S}s"}
    return re.sub(r"\$(\w+)", lambda found: values[found[1]], expr)


class Prometheus:
    """A server on `data`, and the costs of what it is asked."""

    def __init__(self, url: str, end: int) -> None:
        self.url, self._end, self._last = url, end, 0.0
        self._client = httpx.Client(base_url=url, timeout=300, trust_env=False)

    def cost_ms(self, query: Asked) -> float:
        """Processor time in milliseconds of one query, after a first one that reads the data from the disk.

        Linux counts it in steps of ten milliseconds.
        """
        self._ask(query)
        before = self._cpu()
        for _ in range(REPEATS):
            self._ask(query)
        return (self._cpu() - before) / REPEATS * 1000

    def rests(self) -> bool:
        """Whether it has looked at its blocks once, and has used no processor since the last question."""
        try:
            text = self._client.get("/metrics").text
        except httpx.TransportError:
            return False
        before, self._last = self._last, float(CPU.findall(text)[0])
        return "prometheus_tsdb_compactions_triggered_total 0" not in text and self._last - before < 0.05

    def _ask(self, query: Asked) -> None:
        moments: dict[str, float] = {"time": self._end}
        if query.step:
            moments = {"start": self._end - RANGE_S, "end": self._end, "step": query.step}
        path = "/api/v1/query_range" if query.step else "/api/v1/query"
        answer = self._client.get(path, params={"query": query.expr, **moments})
        if answer.status_code != httpx.codes.OK:
            raise AssertionError(f"{query.name}: {answer.text}")

    def _cpu(self) -> float:
        found = CPU.search(self._client.get("/metrics").text)
        assert found, "every Go program has this metric"
        return float(found[1])


def docker(*words: str) -> str:
    return subprocess.run(["docker", *words], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


@contextmanager
def running(place: Path, end: int) -> Iterator[Prometheus]:
    """A Prometheus that scrapes nothing and keeps everything. It has merged its blocks, and does nothing else."""
    (place / "empty.yml").write_text("global: {}\n")
    options = ["--config.file=/bench/empty.yml", "--storage.tsdb.path=/bench/data", "--storage.tsdb.retention.time=60d"]
    user, volume = f"--user={os.getuid()}:{os.getgid()}", f"--volume={place}:/bench"
    server = docker("run", "--detach", user, volume, "--publish=127.0.0.1::9090", *_program("prometheus"), *options)
    try:
        url = f"http://{docker('port', server, '9090').splitlines()[0]}"
        prometheus = Prometheus(url, end)
        eventually(prometheus.rests, within=900, every=5)
        yield prometheus
    finally:
        docker("rm", "--force", server)


def _program(name: str) -> list[str]:
    return [f"--entrypoint=/bin/{name}", image("PROMETHEUS_IMAGE")]


def promtool(place: Path, *words: str, network: str = "none") -> None:
    user, volume = f"--user={os.getuid()}:{os.getgid()}", f"--volume={place}:/bench"
    docker("run", "--rm", user, volume, f"--network={network}", *_program("promtool"), *words)


def prepare(place: Path, tenants: int, end: int) -> None:
    """Write the blocks of the made-up series. promtool reads a file once for each block, so blocks are long."""
    words = (
        "tsdb",
        "create-blocks-from",
        "openmetrics",
        "--max-block-duration=720h",
        "/bench/series.txt",
        "/bench/data",
    )
    every, samples = panel_series.families(tenants), 0
    for seconds in sorted({family.seconds for family in every}):
        part = [family for family in every if family.seconds == seconds]
        samples += panel_series.write(place / "series.txt", part, end)
        promtool(place, *words)
        (place / "series.txt").unlink()
    sys.stderr.write(f"{samples:,} samples\n")


def record(place: Path, end: int) -> None:
    """Write what Prometheus would have recorded in the range of a panel."""
    write(place / "rendered", render_observability(ROOT, 3, "bench", gateways=2))
    rules = [place / "rendered" / "prometheus" / "rules" / f"{name}.yml" for name in ("recorded", "objectives")]
    groups = [group for file in rules for group in yaml.safe_load(file.read_text())["groups"]]
    made = {family.name for family in panel_series.long()}
    groups = [group for group in groups if made.isdisjoint(str(rule.get("record")) for rule in group["rules"])]
    (place / "rules.yml").write_text(yaml.safe_dump({"groups": groups}))
    with running(place, end) as server:
        words = ["--url", server.url, "--output-dir=/bench/data", f"--start={end - RANGE_S - HOUR}", f"--end={end}"]
        promtool(place, "tsdb", "create-blocks-from", "rules", *words, "/bench/rules.yml", network="host")


def _costs(server: Prometheus, only: str) -> Iterator[tuple[float, str]]:
    """Each query once, although several panels ask it."""
    queries = {(query.expr, query.step): query for query in asked() if only in query.name}
    for query in queries.values():
        cost = server.cost_ms(query)
        sys.stderr.write(f"{cost:6.0f} ms  {query.name}\n")
        yield cost, query.name


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tenants", type=int, default=TENANTS)
    parser.add_argument("--only", default="", help="only queries whose name contains this")
    parser.add_argument("--keep", type=Path, help="write the data here, or use what is here")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=ROOT / "var") as scratch:
        place = given.keep or Path(scratch)
        stamp = place / "end"
        if not stamp.is_file():
            place.mkdir(parents=True, exist_ok=True)
            end = int(time.time()) // 60 * 60
            prepare(place, given.tenants, end)
            record(place, end)
            stamp.write_text(str(end))
        with running(place, int(stamp.read_text())) as server:
            costs = sorted(_costs(server, given.only), reverse=True)
    print("| query | ms |\n|---|---:|")
    for cost, name in costs:
        print(f"| {name} | {cost:.0f} |")
    return int(any(cost > BOUND_MS for cost, _ in costs))


if __name__ == "__main__":
    sys.exit(main())
