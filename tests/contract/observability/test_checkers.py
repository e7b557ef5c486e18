"""Prometheus, Alertmanager, Loki and Alloy check the rendered files themselves."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.contract.observability.conftest import ALERTS, ROOT, Tool
from tests.support.receivers import EVERY_WAY, receivers
from tollgate.render.console import console
from tollgate.render.dashboards import dashboards, panels
from tollgate.render.observability import render_observability
from tollgate.render.output import write
from tollgate.render.receivers import Receivers

pytestmark = pytest.mark.docker

NEARS = ("alertname=TenantNearsBudget", "severity=ticket", "tenant=acme")
ALERT_TESTS = sorted(file.name for file in ALERTS.glob("*.yml"))


def test_prometheus_accepts_its_configuration(promtool: Tool, rendered: Path) -> None:
    done = promtool.run(rendered / "prometheus", "check", "config", "prometheus.yml")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "5 rule files found" in done.stdout


def test_prometheus_refuses_a_misspelt_setting(promtool: Tool, rendered: Path) -> None:
    file = rendered / "prometheus" / "prometheus.yml"
    file.write_text(file.read_text().replace("metrics_path:", "metric_path:"))
    assert promtool.run(rendered / "prometheus", "check", "config", "prometheus.yml").returncode != 0


def test_the_rules_pass_every_lint(promtool: Tool, rendered: Path) -> None:
    rules = sorted(f"rules/{file.name}" for file in (rendered / "prometheus" / "rules").iterdir())
    done = promtool.run(rendered / "prometheus", "check", "rules", "--lint=all", "--lint-fatal", *rules)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("tests", ALERT_TESTS)
def test_alerts_fire_and_stay_silent_as_written(promtool: Tool, three: Path, tests: str) -> None:
    done = promtool.run(three, "test", "rules", tests)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("rules", "tests", "change"),
    [
        ("replicas", "replicas", ('up{job="litellm"} == 0', 'up{job="litellm"} == 2')),  # never fires
        ("replicas", "replicas", (" or vector(0)", "")),  # silent where no replica is known at all
        ("replicas", "replicas", ("< 2", "< 3")),  # pages while two still serve
        ("gateways", "gateways", ('up{job="gateway"} == 0', 'up{job="gateway"} == 2')),  # never fires
        ("gateways", "gateways", ("[15m]", "[5h]")),  # fires long after the last failure
        ("gateways", "gateways", ("> 120", "> 0")),  # fires whenever Postgres restarts
        ("gateways", "gateways", ("journal_set_aside_calls > 0", "journal_set_aside_calls > 9")),  # waits for ten
        ("gateways", "gateways", ("soft_limit_share) >= 1", "soft_limit_share) >= 0.8")),  # before the limit
        ("gateways", "gateways", ("max by (tenant, owner)", "max by (tenant, owner, gateway)")),  # once a process
        ("gateways", "gateways", ("redis_away == 1", "redis_away == 0")),  # always fires
        ("services", "services", ('(pg_up or up{job="postgres"}) == 0', 'up{job="postgres"} == 1')),  # always fires
        ("services", "services", ('(redis_up or up{job="redis"}) == 0', "redis_up == 0")),  # silent while Redis hangs
        ("services", "services", ('job!~"litellm|', 'job!~"')),  # counts replicas as exporters
        # A flood of refusals hides failures; providers' failures count; it pages long after the failures have ended;
        # single failures at night page; one late byte of ten pages; the objective itself is broken.
        ("objectives", "objectives", ('outcome!="refused"', 'outcome=~".+"')),
        ("objectives", "objectives", ('outcome="gateway_failed"', 'outcome=~".*_failed"')),
        ("objectives", "objectives", ("and tollgate:own_failures:ratio_rate5m > 14.4 * 0.001", "")),
        ("objectives", "objectives", ('gateway_failed"}[1h])) > 5', 'gateway_failed"}[1h])) > 0')),
        ("objectives", "objectives", ("> 14.4 * 0.01\n", "> 1 * 0.01\n")),
        ("objectives", "objectives", ("ratio_rate6h > 6 * 0.001", "ratio_rate6h > 60 * 0.001")),
        ("services", "services", (" - node_filesystem_free_bytes + node_filesystem_avail_bytes", "")),  # as df does not
        ("services", "services", ('reason!~"healthcheck|not counted"', 'reason!~"nothing"')),  # fires for what is meant
        ("services", "services", ("notifications_failed_total[15m])) > 0", "notifications_failed_total[15m])) > 99")),
        ("gateways", "gateways", ("> 0.5\n", "> 0.05\n")),  # fires for any failure
        ("gateways", "gateways", (',window="month"', "")),  # fires for a day's budget
        ("replicas", "replicas", ("cooled_down_total[15m])) > 3", "cooled_down_total[15m])) > 0")),  # for one cool-down
        ("replicas", "replicas", ("min_over_time(max", "max_over_time(max")),  # for a moment's queue
        ("services", "days", ("36 * 3600", "48 * 3600")),  # a day late
        ("services", "services", ("expr: vector(1)", "expr: vector(1) == 0")),  # a watchdog that sleeps
    ],
)
def test_a_broken_alert_fails_its_tests(
    promtool: Tool, three: Path, rules: str, tests: str, change: tuple[str, str]
) -> None:
    file = three / "rules" / f"{rules}.yml"
    broken = file.read_text().replace(*change)
    assert broken != file.read_text()
    file.write_text(broken)
    done = promtool.run(three, "test", "rules", f"{tests}.test.yml")
    assert done.returncode != 0
    assert "exp:" in done.stderr, "it failed for another reason than an alert that is not as expected"


def test_every_alert_has_a_firing_and_a_silent_test(three: Path) -> None:
    """The watchdog alone is never silent."""
    alerts = set(re.findall(r"alert: (\w+)", "".join(file.read_text() for file in (three / "rules").iterdir())))
    tests = "".join((ALERTS / name).read_text() for name in ALERT_TESTS)
    fires = set(re.findall(r"alertname: (\w+)\n\s+exp_alerts:\n\s+- ", tests))
    silent = set(re.findall(r"alertname: (\w+), exp_alerts: \[\]", tests))
    assert fires == alerts
    assert silent == alerts - {"Watchdog"}


def as_rules(expressions: list[str]) -> str:
    """Recording rules, because `check rules` parses and type-checks them; Grafana's variables filled in."""
    filled = [re.sub(r"\$__\w+", "5m", expression) for expression in expressions]
    filled = [re.sub(r"\$\w+", ".*", expression) for expression in filled]
    rules = [{"record": f"panel:number:{number}", "expr": expression} for number, expression in enumerate(filled)]
    return json.dumps({"groups": [{"name": "panels", "rules": rules}]})


def test_every_panel_asks_in_valid_promql(promtool: Tool, tmp_path: Path) -> None:
    models = [json.loads(text) for text in dashboards().values()]
    targets = [target for model in models for panel in model["panels"] for target in panel["targets"]]
    asked = [target["expr"] for target in targets if target["datasource"]["uid"] == "prometheus"]
    assert asked
    (tmp_path / "panels.yml").write_text(as_rules(asked))
    done = promtool.run(tmp_path, "check", "rules", "panels.yml")
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_console_asks_in_valid_promql(promtool: Tool, tmp_path: Path) -> None:
    """Its questions have no variable left to fill in."""
    asked = [query["expr"] for panel in console(panels())["panels"] for query in panel["queries"]]
    rules = [{"record": f"console:number:{number}", "expr": text} for number, text in enumerate(asked)]
    (tmp_path / "console.yml").write_text(json.dumps({"groups": [{"name": "console", "rules": rules}]}))
    done = promtool.run(tmp_path, "check", "rules", "console.yml")
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_rate_without_a_range_is_refused(promtool: Tool, tmp_path: Path) -> None:
    (tmp_path / "panels.yml").write_text(as_rules(["sum(rate(up))"]))
    assert promtool.run(tmp_path, "check", "rules", "panels.yml").returncode != 0


def test_alertmanager_accepts_its_configuration(amtool: Tool, rendered: Path) -> None:
    done = amtool.run(rendered / "alertmanager", "check-config", "alertmanager.yml")
    assert done.returncode == 0, done.stdout + done.stderr


def test_alertmanager_refuses_a_route_to_a_receiver_that_does_not_exist(amtool: Tool, rendered: Path) -> None:
    file = rendered / "alertmanager" / "alertmanager.yml"
    text = file.read_text()
    file.write_text(re.sub(r"^  receiver: \w+$", "  receiver: somewhere", text, flags=re.MULTILINE))
    assert file.read_text() != text
    assert amtool.run(rendered / "alertmanager", "check-config", "alertmanager.yml").returncode != 0


@pytest.mark.parametrize(
    ("labels", "ways", "receiver"),
    [
        (("alertname=RedisDown", "severity=page"), Receivers(webhook=True), "operators"),
        (("alertname=ReplicaDown", "severity=ticket"), Receivers(webhook=True), "operators"),
        (("alertname=Watchdog", "severity=none"), Receivers(webhook=True), "nowhere"),
        (("alertname=RedisDown", "severity=page"), Receivers(), "nowhere"),
        (("alertname=Watchdog", "severity=none"), receivers(), "watchdog"),
        ((*NEARS, 'owner="lead@example.org"'), receivers(), "owner,operators"),
        ((*NEARS, 'owner=""'), receivers(), "operators"),
        ((*NEARS, 'owner="a@example.org, b@example.org"'), receivers(), "operators"),
        ((*NEARS, "owner=lead@example.org"), receivers(EVERY_WAY + "ALERT_EMAIL_OWNERS=off\n"), "operators"),
    ],
)
def test_alerts_reach_the_receiver_they_should(
    amtool: Tool, tmp_path: Path, labels: tuple[str, ...], ways: Receivers, receiver: str
) -> None:
    write(tmp_path, render_observability(ROOT, 3, "tollgate", receivers=ways))
    arguments = ("config", "routes", "test", "--config.file=alertmanager.yml", *labels)
    done = amtool.run(tmp_path / "alertmanager", *arguments)
    assert done.stdout.strip() == receiver, done.stderr


@pytest.mark.parametrize(
    ("service", "program", "arguments"),
    [
        ("loki", "/usr/bin/loki", ("-config.file=loki.yaml", "-verify-config")),
        ("alloy", "/bin/alloy", ("validate", "config.alloy")),
    ],
)
def test_loki_and_alloy_accept_their_configuration(
    images: Mapping[str, str], rendered: Path, service: str, program: str, arguments: tuple[str, ...]
) -> None:
    image = images.get(f"{service.upper()}_IMAGE")
    if image is None:
        pytest.skip(f"{service}'s image exists in registries only, and none answers here")
    done = Tool(image, program).run(rendered / service, *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
