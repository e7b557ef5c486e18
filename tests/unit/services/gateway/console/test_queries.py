"""The questions of the console are Grafana's panels, complete and in valid PromQL."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.unit.services.gateway.console.prometheus import queries
from tollgate.render import console as module
from tollgate.render import dashboards
from tollgate.render.panels import Query, series
from tollgate.services.gateway.console import prometheus

PROMTOOL = shutil.which("promtool")
ROOT = Path(__file__).resolve().parents[5]


def checked(directory: Path, expressions: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """`promtool check rules` parses and type-checks them."""
    assert PROMTOOL is not None
    rules = [{"record": f"console:number:{number}", "expr": text} for number, text in enumerate(expressions)]
    file = directory / "console.yml"
    file.write_text(json.dumps({"groups": [{"name": "console", "rules": rules}]}))
    return subprocess.run([PROMTOOL, "check", "rules", str(file)], capture_output=True, text=True, check=False)


@pytest.mark.skipif(PROMTOOL is None, reason="this machine has no promtool; tests/contract/observability has it")
def test_promtool_accepts_every_question_and_the_twin_it_refuses(tmp_path: Path) -> None:
    done = checked(tmp_path, [query["expr"] for query in queries()])
    assert done.returncode == 0, done.stdout + done.stderr
    assert checked(tmp_path, ["sum(rate(up))"]).returncode != 0


def test_no_variable_of_grafana_is_left() -> None:
    assert [query["expr"] for query in queries() if "$" in query["expr"]] == []
    everything = [query["expr"] for query in queries() if 'replica=~"litellm-.+"' in query["expr"]]
    assert everything and all('team_alias=~".*"' in text for text in everything)


def test_a_variable_that_nothing_fills_in_stops_the_render() -> None:
    with pytest.raises(KeyError, match="nobody"):
        module.console([series("t", "d", [Query("up{x=~'$nobody'}")])])


def test_a_changed_panel_changes_in_grafana_and_in_the_console(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """One place to change a panel, two places that show it."""
    before = dashboards.dashboards()
    added = series("A panel of tomorrow", "It has a description of its own.", [Query("sum(up)", "up")], unit="reqps")
    found = (*dashboards.panels(), added)
    monkeypatch.setattr(dashboards, "panels", lambda: found)
    grafana = json.loads(dashboards.dashboards()["overview.json"])["panels"][-1]
    file = tmp_path / prometheus.FILE
    file.write_text(module.render_console().text)
    console = prometheus.read(file).all[-1]
    assert grafana["title"] == console.shown["title"] == "A panel of tomorrow"
    assert grafana["targets"][0]["expr"] == console.queries[0].expr == "sum(up)"
    assert added.title not in before["overview.json"], "the twin: it was not there before"


def test_every_panel_is_in_the_committed_dashboard() -> None:
    committed = json.loads((ROOT / "grafana" / "dashboards" / "overview.json").read_text())["panels"]
    shown: list[Any] = [panel for panel in committed if panel["datasource"]["type"] == "prometheus"]
    rendered = module.console(dashboards.panels())["panels"]
    assert [panel["title"] for panel in shown] == [panel["title"] for panel in rendered]
    assert [len(panel["targets"]) for panel in shown] == [len(panel["queries"]) for panel in rendered]


def test_without_the_rendered_file_there_are_no_panels(tmp_path: Path) -> None:
    assert prometheus.read(tmp_path / "console.json") == prometheus.Panels()
