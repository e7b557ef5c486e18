"""The dashboards load, fit, and ask only for what exists."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tests.support.metrics import inventory, mistakes, used
from tollgate.render.dashboards import dashboards
from tollgate.render.observability import render_observability
from tollgate.render.panels import GRID_WIDTH, Query, dashboard, stat
from tollgate.services.gateway.metrics import Metrics

ROOT = Path(__file__).resolve().parents[3]
MODELS: dict[str, Any] = {name: json.loads(text) for name, text in dashboards().items()}
each_dashboard = pytest.mark.parametrize("model", MODELS.values(), ids=MODELS.keys())


def rendered(path: str) -> Any:
    [text] = [file.text for file in render_observability(ROOT, 3, "tollgate") if str(file.path) == path]
    return YAML(typ="safe").load(text)


def rules() -> list[Any]:
    files = [path for file in render_observability(ROOT, 3, "tollgate") if "/rules/" in (path := str(file.path))]
    files = [path for path in files if path.startswith("prometheus/")]
    return [rule for file in files for group in rendered(file)["groups"] for rule in group["rules"]]


def kept_by_alloy() -> list[str]:
    [text] = [file.text for file in render_observability(ROOT, 3, "tollgate") if file.path.name == "config.alloy"]
    [kept] = re.findall(r"stage\.label_keep \{\n\t+values = (\[.*\])", text)
    return list(json.loads(kept))


def provisioned() -> set[str]:
    return {source["uid"] for source in rendered("grafana/datasources/tollgate.yaml")["datasources"]}


def queries(model: Any, source: str) -> Iterator[tuple[str, Any]]:
    for panel in model["panels"]:
        for target in panel["targets"]:
            if target["datasource"]["uid"] == source:
                yield panel["title"], target


def overlaps(panels: list[Any]) -> list[str]:
    taken: dict[tuple[int, int], str] = {}
    found = []
    for panel in panels:
        place = panel["gridPos"]
        if place["x"] + place["w"] > GRID_WIDTH:
            found.append(f"{panel['title']} is wider than the page")
        for cell in [
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        ]:
            other = taken.setdefault(cell, panel["title"])
            if other != panel["title"]:
                found.append(f"{panel['title']} lies on {other}")
                break
    return found


def test_uids_are_unique() -> None:
    uids = [model["uid"] for model in MODELS.values()]
    assert len(set(uids)) == len(uids)


@each_dashboard
def test_panels_are_numbered_and_do_not_overlap(model: Any) -> None:
    numbers = [panel["id"] for panel in model["panels"]]
    assert numbers == list(range(1, len(numbers) + 1))
    assert overlaps(model["panels"]) == []


def test_an_overlap_is_seen() -> None:
    panels = MODELS["overview.json"]["panels"]
    assert overlaps([panels[0], panels[0] | {"title": "on top"}]) == ["on top lies on Replicas up"]
    wide = {"title": "wide", "gridPos": {"x": 20, "y": 0, "w": 5, "h": 1}}
    assert overlaps([wide]) == ["wide is wider than the page"]


@each_dashboard
def test_every_panel_says_what_it_shows_and_in_what_unit(model: Any) -> None:
    for panel in model["panels"]:
        assert panel["title"], panel
        assert len(panel["description"]) > 20, panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        assert panel["targets"], panel["title"]


@each_dashboard
def test_every_data_source_is_provisioned(model: Any) -> None:
    used_sources = {target["datasource"]["uid"] for panel in model["panels"] for target in panel["targets"]}
    used_sources |= {choice["datasource"]["uid"] for choice in model["templating"]["list"]}
    assert used_sources <= provisioned()
    assert "${DS_" not in json.dumps(model), "an import placeholder, which file provisioning does not fill"


@each_dashboard
def test_every_metric_and_label_exists(model: Any) -> None:
    known = inventory()
    found = [(title, mistakes(target["expr"], known)) for title, target in queries(model, "prometheus")]
    assert [entry for entry in found if entry[1]] == []


@each_dashboard
def test_every_choice_asks_for_a_label_that_its_metric_has(model: Any) -> None:
    known = inventory()
    for choice in model["templating"]["list"]:
        if choice["datasource"]["uid"] == "loki":
            [label] = re.fullmatch(r"label_values\((\w+)\)", choice["query"]).groups()
            assert label in kept_by_alloy()
            continue
        metric, label = re.fullmatch(r"label_values\((\w+)(?:\{.*\})?, (\w+)\)", choice["query"]["query"]).groups()
        assert label in known[metric], choice["name"]


@each_dashboard
def test_a_legend_names_a_label_that_the_query_keeps(model: Any) -> None:
    for title, target in queries(model, "prometheus"):
        assert set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])) <= used(target["expr"]).grouped, title


@each_dashboard
def test_every_variable_used_is_declared(model: Any) -> None:
    declared = {choice["name"] for choice in model["templating"]["list"]}
    declared |= {"__rate_interval", "__range", "__auto", "__all"}
    assert set(re.findall(r"\$(\w+)", json.dumps(model))) <= declared


@each_dashboard
def test_all_never_makes_a_log_query_that_loki_refuses(model: Any) -> None:
    """Loki wants one matcher that does not accept the empty string."""
    everything = {choice["name"]: choice["allValue"] for choice in model["templating"]["list"]}
    for title, target in queries(model, "loki"):
        selector = re.sub(r"\$(\w+)", lambda match: everything[match[1]], target["expr"].split("}")[0])
        values = re.findall(r'=~?"([^"]*)"', selector)
        assert any(not re.fullmatch(value, "") for value in values), title


def test_alert_rules_use_metrics_that_exist() -> None:
    known = inventory()
    for rule in rules():
        assert mistakes(rule["expr"], known) == [], rule.get("alert") or rule["record"]


def test_recorded_series_have_the_labels_of_the_inventory() -> None:
    """Panels use them as any other metric."""
    recorded = {rule["record"]: used(rule["expr"]).grouped for rule in rules() if "record" in rule}
    known = {name: labels - {"job", "instance"} for name, labels in inventory().items() if ":" in name}
    assert known == recorded


def test_rules_that_read_health_checks_leave_them_out() -> None:
    """LiteLLM asks every deployment by itself and counts that as a team's requests and spend."""
    texts = [rule["expr"] for rule in rules()]
    texts += [target["expr"] for model in MODELS.values() for _, target in queries(model, "prometheus")]
    assert [text for text in texts if counts_health_checks(text)] == []
    assert counts_health_checks("sum(rate(litellm_spend_metric_total[5m]))")
    assert not counts_health_checks('litellm_spend_metric_total{team_alias!="litellm-internal-health-check"}')


def counts_health_checks(expression: str) -> bool:
    """Whether it reads a series of a team without leaving that one out. `offset` reads the same series again."""
    known = inventory()
    teams = {name for name in used(expression).metrics if "team_alias" in known.get(name, ()) and ":" not in name}
    return bool(teams) and "litellm-internal-health-check" not in expression


@pytest.mark.parametrize("counter", ["outcomes", "target_calls", "cost_usd", "converter_failures"])
def test_what_panels_count_over_the_time_range_begins_at_zero(counter: str) -> None:
    """`increase` loses the first value of a series, so a series must not begin with its first event."""
    text = Metrics(["fast"], ["fast:1"]).text().decode()
    assert re.search(rf"^tollgate_gateway_{counter}_total(\{{.*\}})? 0\.0$", text, re.MULTILINE)


def test_panels_count_over_the_time_range_only_what_begins_at_zero() -> None:
    born = re.findall(r"^(\w+)(?:\{.*\})? 0\.0$", Metrics(["fast"], ["fast:1"]).text().decode(), re.MULTILINE)
    # Nobody adds these up to a sum that must be exact.
    others = {"litellm_deployment_cooled_down_total", "tollgate_gateway_tokens_total"}
    counted = {
        name
        for model in MODELS.values()
        for _, target in queries(model, "prometheus")
        for name in re.findall(r"increase\((\w+)", target["expr"])
    }
    assert "tollgate_gateway_cost_usd_total" in counted
    assert counted <= {*born, *others, "tollgate_gateway_own_seconds_bucket", "tollgate_gateway_own_seconds_count"}


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("sum by (team_alias) (rate(litellm_spend_metric_total[5m]))", []),
        ("rate(litellm_spend_total[5m])", ["no metric litellm_spend_total"]),
        ('up{jobb="litellm"}', ["up has no label jobb"]),
        ("sum by (tenant) (up)", ["nothing in it has the label tenant"]),
        ("histogram_quantile(0.5, sum by (le) (rate(pg_up[5m])))", ["nothing in it has the label le"]),
        ("pg_up == 0 and on (instance) up == 1", []),
    ],
)
def test_the_inventory_check_sees_what_does_not_exist(expression: str, expected: list[str]) -> None:
    assert mistakes(expression, inventory()) == expected


def test_panels_flow_to_a_new_row_where_one_does_not_fit() -> None:
    panels = [stat(f"s{n}", "d", [Query("up")], width=10, height=3 + n) for n in range(3)]
    model = json.loads(dashboard("u", "t", "d", [], panels))
    assert [(p["gridPos"]["x"], p["gridPos"]["y"]) for p in model["panels"]] == [(0, 0), (10, 0), (0, 4)]
