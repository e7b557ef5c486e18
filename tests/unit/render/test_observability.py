"""The rendered observability files: targets, thresholds, receivers."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tests.support.receivers import EVERY_WAY, receivers
from tollgate.config.env.alerts import SECRETS
from tollgate.render.observability import render_observability
from tollgate.render.receivers import Receivers
from tollgate.render.watchers import WATCHERS

ROOT = Path(__file__).resolve().parents[3]


def rendered(replicas: int = 3, project: str = "tollgate", **options: Any) -> dict[str, str]:
    return {str(file.path): file.text for file in render_observability(ROOT, replicas, project, **options)}


def loaded(path: str, **options: Any) -> Any:
    return YAML(typ="safe").load(rendered(**options)[path])


def targets(**options: Any) -> dict[str, list[str]]:
    jobs = loaded("prometheus/prometheus.yml", **options)["scrape_configs"]
    return {job["job_name"]: [t for group in job["static_configs"] for t in group["targets"]] for job in jobs}


@pytest.mark.parametrize("replicas", [1, 2, 5])
def test_every_replica_is_a_target_with_its_own_label(replicas: int) -> None:
    jobs = loaded("prometheus/prometheus.yml", replicas=replicas)["scrape_configs"]
    litellm = next(job for job in jobs if job["job_name"] == "litellm")
    names = [f"litellm-{number}" for number in range(1, replicas + 1)]
    assert [group["targets"] for group in litellm["static_configs"]] == [[f"{name}:4000"] for name in names]
    assert [group["labels"]["replica"] for group in litellm["static_configs"]] == names
    assert litellm["metrics_path"] == "/metrics/"


def test_gateway_processes_are_targets_only_if_there_are_any() -> None:
    assert "gateway" not in targets()
    assert targets(gateways=2)["gateway"] == ["gateway-1:4100", "gateway-2:4100"]
    jobs = loaded("prometheus/prometheus.yml", gateways=2)["scrape_configs"]
    replicas, processes = (next(job for job in jobs if job["job_name"] == name) for name in ("litellm", "gateway"))
    assert [group["labels"] for group in processes["static_configs"]] == [{"gateway": f"gateway-{n}"} for n in (1, 2)]
    # Both hand out their metrics for the same key.
    assert processes["authorization"] == replicas["authorization"]


def test_services_that_may_be_left_out_are_targets_only_where_they_run() -> None:
    """Otherwise ExporterDown would fire for ever on a machine without a registry."""
    optional = {"grafana", "loki", "alloy"}
    assert optional & targets().keys() == set()
    assert optional <= targets(watchers=WATCHERS).keys()


@pytest.mark.parametrize(("replicas", "least"), [(1, 1), (2, 2), (3, 2), (9, 2)])
def test_a_page_when_no_spare_is_left(replicas: int, least: int) -> None:
    [group] = loaded("prometheus/rules/replicas.yml", replicas=replicas)["groups"]
    [alert] = [rule for rule in group["rules"] if rule["alert"] == "ReplicasMissing"]
    assert alert["expr"].endswith(f"< {least}")
    assert alert["labels"]["severity"] == "page"


def test_without_an_address_no_receiver_is_configured() -> None:
    config = loaded("alertmanager/alertmanager.yml")
    assert [receiver["name"] for receiver in config["receivers"]] == ["nowhere"]
    assert {config["route"]["receiver"], *(route["receiver"] for route in config["route"]["routes"])} == {"nowhere"}
    assert "alertmanager_webhook_url" in rendered()["alertmanager/alertmanager.yml"].split("route:")[0]


def test_with_an_address_everything_but_the_watchdog_goes_there() -> None:
    config = loaded("alertmanager/alertmanager.yml", receivers=Receivers(webhook=True))
    assert config["route"]["receiver"] == "operators"
    quiet = [route["matchers"] for route in config["route"]["routes"] if route["receiver"] == "nowhere"]
    assert quiet == [['alertname="Watchdog"']]
    [webhook] = [receiver for receiver in config["receivers"] if receiver["name"] == "operators"]
    assert webhook["webhook_configs"] == [{"url_file": "/run/secrets/alertmanager_webhook_url", "send_resolved": True}]


def test_every_way_has_its_receiver_and_the_file_with_its_secret() -> None:
    config = loaded("alertmanager/alertmanager.yml", receivers=receivers())
    named = {receiver["name"]: receiver for receiver in config["receivers"]}
    assert named.keys() == {"nowhere", "operators", "watchdog", "owner"}
    operators = named["operators"]
    assert operators["slack_configs"][0]["api_url_file"] == "/run/secrets/alertmanager_slack_url"
    assert operators["email_configs"][0]["to"] == "ops@example.com,night@example.com"
    assert config["global"]["smtp_auth_password_file"] == "/run/secrets/alertmanager_smtp_password"
    assert named["watchdog"]["webhook_configs"][0]["url_file"] == "/run/secrets/alertmanager_watchdog_url"


@pytest.mark.parametrize(("server", "starttls"), [("mail.example.com:587", True), ("mail.example.com:465", False)])
def test_e_mail_needs_starttls_except_where_the_port_is_encrypted_anyway(server: str, starttls: bool) -> None:
    """Alertmanager looks for STARTTLS on port 465 too, inside the encrypted connection, and finds none."""
    ways = receivers(EVERY_WAY.replace("mail.example.com:587", server))
    config = loaded("alertmanager/alertmanager.yml", receivers=ways)
    assert config["global"]["smtp_require_tls"] is starttls


def test_no_secret_is_in_the_rendered_file() -> None:
    text = rendered(receivers=receivers())["alertmanager/alertmanager.yml"]
    secrets = [line.partition("=")[2] for line in EVERY_WAY.splitlines() if line.partition("=")[0] in SECRETS]
    assert len(secrets) == len(SECRETS)
    assert [secret for secret in secrets if secret in text] == []


def test_alloy_reads_the_containers_of_this_project_only() -> None:
    assert '"com.docker.compose.project=acme-gateway"' in rendered(project="acme-gateway")["alloy/config.alloy"]


def test_the_same_configuration_gives_the_same_bytes() -> None:
    assert rendered(watchers=WATCHERS, receivers=receivers()) == rendered(watchers=WATCHERS, receivers=receivers())


def test_every_file_says_what_it_comes_from_and_that_the_source_exists() -> None:
    for path, text in rendered().items():
        first = text.splitlines()[0]
        assert f"rendered from config/{path}.j2, do not edit" in first, path
        assert (ROOT / "config" / f"{path}.j2").is_file()


def test_every_template_is_rendered() -> None:
    """A template nobody renders is a setting somebody believes in."""
    services = {path.split("/")[0] for path in rendered()}
    templates = {
        str(path.relative_to(ROOT / "config").with_suffix(""))
        for service in services
        for path in (ROOT / "config" / service).rglob("*.j2")
    }
    assert templates == rendered().keys()


def test_grafana_data_sources_are_fixed_and_where_the_services_are() -> None:
    sources = loaded("grafana/datasources/tollgate.yaml")["datasources"]
    assert {source["uid"]: source["url"] for source in sources} == {
        "prometheus": "http://prometheus:9090",
        "loki": "http://loki:3100",
        "alertmanager": "http://alertmanager:9093",
    }
    assert not any(source["editable"] for source in sources)


def test_grafana_lists_rules_and_follows_a_request_through_the_logs() -> None:
    sources = {source["uid"]: source for source in loaded("grafana/datasources/tollgate.yaml")["datasources"]}
    assert sources["prometheus"]["jsonData"]["manageAlerts"] is True
    fields = {field["name"]: field for field in sources["loki"]["jsonData"]["derivedFields"]}
    nginx = '{"time":"t","request_id":"0f3a","port":"4000","litellm_call_id":"12345678-1234-1234-1234-123456789abc"}'
    gateway = '{"message": "call", "request_id": "0f3a"}'
    for line in (nginx, gateway):
        assert re.search(fields["request"]["matcherRegex"], line)[1] == "0f3a"  # type: ignore[index]
    assert re.search(fields["LiteLLM call"]["matcherRegex"], nginx)
    # Grafana fills $NAME in provisioning files from its environment; $$ is one dollar.
    assert all("$${__value.raw}" in field["url"] for field in fields.values())


def test_every_directory_that_grafana_looks_for_is_there() -> None:
    """It logs an error for each that is missing."""
    there = {path.split("/")[1] for path in rendered() if path.startswith("grafana/")}
    assert there == {"alerting", "dashboards", "datasources", "plugins"}


def test_loki_answers_with_as_many_lines_as_a_panel_asks_for() -> None:
    """Lines of 32 KiB, as long as Alloy lets them be."""
    server = loaded("loki/loki.yaml")["server"]
    [most] = [
        source["jsonData"]["maxLines"]
        for source in loaded("grafana/datasources/tollgate.yaml")["datasources"]
        if source["uid"] == "loki"
    ]
    for direction in ("send", "recv"):
        assert server[f"grpc_server_max_{direction}_msg_size"] > most * 32 * 1024


def test_alerts_of_loki_lead_to_grafana_and_name_the_deployment() -> None:
    ruler = loaded("loki/loki.yaml", grafana_port=3001)["ruler"]
    assert (ruler["external_url"], ruler["datasource_uid"]) == ("http://localhost:3001/", "loki")
    rules = [rule for group in loaded("loki/rules/fake/logs.yml", project="acme")["groups"] for rule in group["rules"]]
    assert {rule["labels"]["deployment"] for rule in rules} == {"acme"}


def test_loki_runs_no_part_that_nobody_uses() -> None:
    assert loaded("loki/loki.yaml")["pattern_ingester"] == {"enabled": False}


def test_every_alert_has_a_runbook_that_names_it() -> None:
    """A person whom an alert wakes types what its page says. docs/runbooks/README.md links to the page by its name."""
    files = rendered(watchers=WATCHERS)
    rules = [
        rule
        for path in files
        if "/rules/" in path
        for group in loaded(path, watchers=WATCHERS)["groups"]
        for rule in group["rules"]
        if "alert" in rule
    ]
    assert len(rules) >= 13
    overview = (ROOT / "docs" / "runbooks" / "README.md").read_text()
    for rule in rules:
        assert rule["alert"] in overview
        assert rule["alert"] in (ROOT / rule["annotations"]["runbook"]).read_text()
