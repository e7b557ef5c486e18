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
    assert [query["expr"] for query in queries() if f"[{module.RANGE_S}s]" in query["expr"]]


def test_a_choice_of_grafana_stands_for_everything() -> None:
    chosen = series("t", "d", [Query('sum(rate(x_total{target=~"$target",model=~"$model"}[$__rate_interval]))')])
    (panel,) = module.console([chosen])["panels"]
    assert panel["queries"][0]["expr"] == f'sum(rate(x_total{{target=~".*",model=~".*"}}[{module.RATE_S}s]))'


def test_the_console_shows_no_panel_of_chosen_tenants() -> None:
    """It has no drop-down, and that one has no choice "All"."""
    with pytest.raises(KeyError, match="tenant"):
        module.console([series("t", "d", [Query('x{tenant=~"$tenant"}')])])


def test_a_variable_that_nothing_fills_in_stops_the_render() -> None:
    with pytest.raises(KeyError, match="nobody"):
        module.console([series("t", "d", [Query("up{x=~'$nobody'}")])])


def test_a_changed_panel_changes_in_grafana_and_in_the_console(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """One place to change a panel, two places that show it."""
    before = dashboards.dashboards()
    added = series("A panel of tomorrow", "It has a description of its own.", [Query("sum(up)", "up")], unit="reqps")
    found = (*dashboards.overview_panels(), added)
    monkeypatch.setattr(dashboards, "overview_panels", lambda: found)
    grafana = json.loads(dashboards.dashboards()["overview.json"])["panels"][-1]
    file = tmp_path / prometheus.FILE
    file.write_text(module.render_console().text)
    (console,) = [panel for panel in prometheus.read(file).all if panel.shown["title"] == added.title]
    assert grafana["title"] == "A panel of tomorrow"
    assert grafana["targets"][0]["expr"] == console.queries[0].expr == "sum(up)"
    assert added.title not in before["overview.json"], "the twin: it was not there before"


def committed(file: str) -> list[Any]:
    panels = json.loads((ROOT / "grafana" / "dashboards" / file).read_text())["panels"]
    return [panel for panel in panels if panel["datasource"]["type"] == "prometheus"]


def test_every_panel_of_the_overview_is_on_the_page() -> None:
    rendered = [panel["title"] for panel in module.console(dashboards.panels())["panels"]]
    overview = [panel["title"] for panel in committed("overview.json")]
    assert rendered[: len(overview)] == overview
    assert len(set(rendered)) == len(rendered), "no panel is there twice"


def test_every_panel_of_the_page_is_in_a_committed_dashboard() -> None:
    files = sorted(file.name for file in (ROOT / "grafana" / "dashboards").glob("*.json"))
    grafana = [(panel["title"], len(panel["targets"])) for file in files for panel in committed(file)]
    shown = [(panel["title"], len(panel["queries"])) for panel in module.console(dashboards.panels())["panels"]]
    assert [panel for panel in shown if panel not in grafana] == []
    assert len(shown) < len(grafana), "the twin: the page leaves some out"


# Each purpose of the page, with a part of a query that serves it. Its own tables have money too.
PURPOSES = {
    "requests": "tollgate_gateway_requests_total",
    "errors": 'outcome=~"gateway_failed|upstream_failed"',
    "to the first byte": "histogram_quantile(0.99, (sum by (le) (route_le:tollgate_first_byte:rate5m",
    "to the end": "histogram_quantile(0.95, (sum by (le) (route_le:tollgate_whole:rate5m",
    "tokens": "tollgate_gateway_tokens_total",
    "money by tenant": "sum by (tenant) (max_over_time(tenant:tollgate_spend_usd:max",
    "money by model": "sum by (model) (rate(tollgate_gateway_cost_usd_total",
    "hand-overs": "tollgate_gateway_handovers_total",
    "journal lag": "tollgate_gateway_journal_lag_seconds",
    "age of the certificate": "tollgate_certificate_expiry_timestamp_seconds",
    "age of the backup": "tollgate_backup_last_success_timestamp_seconds",
}


@pytest.mark.parametrize("purpose", PURPOSES)
def test_the_page_has_what_it_is_for(purpose: str) -> None:
    assert [query["expr"] for query in queries() if PURPOSES[purpose] in query["expr"]]


def test_without_the_rendered_file_there_are_no_panels(tmp_path: Path) -> None:
    assert prometheus.read(tmp_path / "console.json") == prometheus.Panels()
