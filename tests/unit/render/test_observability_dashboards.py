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

ROOT = Path(__file__).resolve().parents[3]
MODELS: dict[str, Any] = {name: json.loads(text) for name, text in dashboards().items()}
each_dashboard = pytest.mark.parametrize("model", MODELS.values(), ids=MODELS.keys())


def rendered(path: str) -> Any:
    [text] = [file.text for file in render_observability(ROOT, 3, "tollgate") if str(file.path) == path]
    return YAML(typ="safe").load(text)


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
        metric, label = re.fullmatch(r"label_values\((\w+)(?:\{.*\})?, (\w+)\)", choice["query"]["query"]).groups()
        assert label in known[metric], choice["name"]


@each_dashboard
def test_a_legend_names_a_label_that_the_query_keeps(model: Any) -> None:
    for title, target in queries(model, "prometheus"):
        assert set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])) <= used(target["expr"]).grouped, title


@each_dashboard
def test_every_variable_used_is_declared(model: Any) -> None:
    declared = {choice["name"] for choice in model["templating"]["list"]} | {"__rate_interval", "__range", "__all"}
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
    for file in ("replicas", "services"):
        for group in rendered(f"prometheus/rules/{file}.yml")["groups"]:
            for rule in group["rules"]:
                assert mistakes(rule["expr"], known) == [], rule["alert"]


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
