"""The watchers as Compose starts them, beside a real Postgres and Redis but with no replica and no nginx to watch."""

from __future__ import annotations

import json
import os
import re
import secrets
import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.contract.observability.conftest import ROOT
from tests.support import plain
from tests.support.eventually import eventually
from tests.support.images import references
from tests.support.metrics import inventory, used
from tests.support.ports import again
from tests.support.stack import WATCHERS, project_name
from tollgate.render.dashboards import dashboards
from tollgate.render.observability import render_observability
from tollgate.render.output import write
from tollgate.render.receivers import Receivers
from tollgate.render.stack import USERS_FILE, render_mounted
from tollgate.render.users import USERS
from tollgate.site import Site
from tollgate.stack.containers.compose import Compose
from tollgate.stack.containers.volumes import settle
from tollgate.stack.host.progress import PlainProgress

pytestmark = pytest.mark.docker

FILES = tuple(ROOT / "compose" / name for name in ("compose.yaml", "observability.yaml"))
STARTED = ("postgres", "redis", "postgres-exporter", "redis-exporter", "node-exporter", "prometheus", "alertmanager")
UNWATCHED = ("nginx-exporter",)  # healthy or not, it has nothing to say without nginx

Query = Callable[[str], list[dict[str, Any]]]


def secret_files() -> dict[str, tuple[int, str]]:
    """Path below var/rendered/secrets -> (owner, content)."""
    monitor, redis = secrets.token_urlsafe(24), secrets.token_urlsafe(24)
    return {
        "postgres/postgres_password": (USERS["postgres"], secrets.token_urlsafe(24)),
        "postgres/monitor_password": (USERS["postgres"], monitor),
        "redis/redis_password": (USERS["redis"], redis),
        "redis/redis_auth.conf": (USERS["redis"], f"requirepass {redis}\n"),
        "postgres-exporter/monitor_password": (USERS["postgres-exporter"], monitor),
        "redis-exporter/redis_password_exporter": (USERS["redis-exporter"], json.dumps({"redis://redis:6379": redis})),
        "prometheus/metrics_key": (USERS["prometheus"], secrets.token_urlsafe(24)),
        "alertmanager/alertmanager_webhook_url": (USERS["alertmanager"], "http://127.0.0.1:9/"),
        "alertmanager/alertmanager_smtp_password": (USERS["alertmanager"], ""),
        "alertmanager/alertmanager_slack_url": (USERS["alertmanager"], ""),
        "alertmanager/alertmanager_watchdog_url": (USERS["alertmanager"], ""),
    }


def publish(directory: Path) -> None:
    for name, (owner, content) in secret_files().items():
        file = directory / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
        os.chown(file, owner, owner)
        file.chmod(0o400)


def compose_env(rendered: Path, images: Mapping[str, str]) -> str:
    """Every variable that the Compose files mention; images of services that are not started need no real name."""
    names = set(re.findall(r"\$\{(\w+)", "".join(file.read_text() for file in FILES)))
    values = {name: "unused" if name.endswith("_IMAGE") else "0" for name in names}
    values |= {"TOLLGATE_RENDERED": str(rendered), "GATEWAY_BIND": "127.0.0.1"}
    values |= {"TOLLGATE_USERS": str(rendered / USERS_FILE), "PROVIDER_UNDER_TEST": "no"}
    values |= {"POSTGRES_MAX_CONNECTIONS": "50", **images}
    # `down` leaves what belongs to a profile that is not here.
    values["COMPOSE_PROFILES"] = ",".join((*STARTED, *UNWATCHED))
    return "".join(f"{name}='{value}'\n" for name, value in sorted(values.items()))


@pytest.fixture(scope="module")
def watchers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Compose]:
    if os.geteuid() != 0:
        pytest.skip("gives secret files to the containers' users, which needs root")
    home = tmp_path_factory.mktemp("watchers")
    for parent in (home, *home.parents):
        if "pytest-" in parent.name:
            parent.chmod(0o711)  # the containers' users must reach what is mounted from here
    wanted = {f"{name.replace('-', '_').upper()}_IMAGE" for name in (*STARTED, *UNWATCHED)}
    images = references(wanted)
    write(home, [*render_observability(ROOT, 3, "tollgate", receivers=Receivers(webhook=True)), *render_mounted(ROOT)])
    publish(home / "secrets")
    (home / "compose.env").write_text(compose_env(home, images))
    compose = Compose(project_name(WATCHERS), FILES, home / "compose.env")
    start = again(run, AssertionError, str)
    try:
        settle(Site(ROOT, home), compose, PlainProgress())
        up = ("up", "--detach", "--no-deps", "--wait", "--wait-timeout", "180")
        for services in (("postgres", "redis"), STARTED):
            start(compose, *up, *services)
        run(compose, "up", "--detach", "--no-deps", *UNWATCHED)
        yield compose
    finally:
        run(compose, "down", "--volumes", "--remove-orphans", "--timeout", "5")


def run(compose: Compose, *arguments: str) -> None:
    done = subprocess.run(compose.argv(*arguments), capture_output=True, text=True, timeout=300)
    if done.returncode != 0:
        logs = subprocess.run(compose.argv("logs", "--tail", "15"), capture_output=True, text=True, timeout=60).stdout
        raise AssertionError(f"docker compose {arguments[0]}: {done.stderr[-1500:]}\n{logs[-4000:]}")


@pytest.fixture(scope="module")
def prometheus(watchers: Compose) -> Iterator[httpx.Client]:
    host, port = watchers.address("prometheus", 9090)
    with plain.Client(base_url=f"http://{host}:{port}/api/v1", timeout=10) as client:
        yield client


@pytest.fixture(scope="module")
def query(prometheus: httpx.Client) -> Query:
    def ask(expression: str) -> list[dict[str, Any]]:
        answer = prometheus.get("/query", params={"query": expression}).json()
        assert answer["status"] == "success", answer
        return list(answer["data"]["result"])

    return ask


def test_every_watcher_is_healthy(watchers: Compose) -> None:
    health = {container.service: container.health for container in watchers.containers()}
    assert {service: health[service] for service in STARTED} == dict.fromkeys(STARTED, "healthy")
    # Without a health check it counts as starting for three seconds.
    eventually(lambda: {row.service: row for row in watchers.containers()}["nginx-exporter"].ready, within=10)


def test_every_exporter_is_scraped(query: Query) -> None:
    expected = {"postgres", "redis", "node", "prometheus", "alertmanager"}

    def scraped() -> bool:
        """Prometheus scrapes every exporter that has something to say."""
        states = {result["metric"]["job"]: result["value"][1] for result in query("up")}
        assert {job for job in expected if states.get(job) == "1"} == expected, str(states)
        return True

    eventually(scraped, within=60)


def test_postgres_and_redis_let_their_exporters_in(query: Query) -> None:
    eventually(lambda: [r["value"][1] for r in query("pg_up")] == ["1"], within=60)
    eventually(lambda: [r["value"][1] for r in query("redis_up")] == ["1"], within=60)


def test_nginx_that_is_not_there_is_seen_to_be_down(query: Query) -> None:
    """Whether its exporter says so in time depends on how long the host's resolver takes to say that there is none."""
    eventually(lambda: query('ALERTS{alertname="NginxDown"}'), within=90)


def test_replicas_that_are_not_there_stay_listed(query: Query) -> None:
    def listed() -> dict[str, str]:
        return {r["metric"]["replica"]: r["value"][1] for r in query('up{job="litellm"}')}

    eventually(lambda: listed() == {"litellm-1": "0", "litellm-2": "0", "litellm-3": "0"}, within=60)


def test_alerts_are_evaluated_and_reach_alertmanager(watchers: Compose, query: Query) -> None:
    eventually(lambda: query('ALERTS{alertname="ReplicasMissing"}'), within=60)

    def received() -> bool:
        argv = watchers.argv("exec", "-T", "alertmanager", "/bin/amtool", "alert", "query", "--output=json")
        argv += ["--alertmanager.url=http://127.0.0.1:9093"]
        alerts = json.loads(subprocess.run(argv, capture_output=True, text=True, check=True, timeout=30).stdout)
        return "Watchdog" in {alert["labels"]["alertname"] for alert in alerts}

    eventually(received, within=60, every=1)


def test_the_metrics_that_panels_and_alerts_use_are_really_exported(
    prometheus: httpx.Client, watchers: Compose
) -> None:
    """So the inventory, which the unit tests trust, holds for the exporters that this deployment runs."""
    models = [json.loads(text) for text in dashboards().values()]
    targets = [target for model in models for panel in model["panels"] for target in panel["targets"]]
    names = set().union(*(used(t["expr"]).metrics for t in targets if t["datasource"]["uid"] == "prometheus"))
    # Neither replicas nor gateway processes nor Alloy run here. test_metrics.py and test_tenants.py compare the second
    # with their part of the list. Nobody has made a backup or a certificate here, so our own metrics of the host do not
    # exist yet either. Recorded series are none of an exporter.
    elsewhere = ("litellm_", "nginx_", "tollgate_", "gateway_http_", "loki_")
    ours = {name for name in names & inventory().keys() if ":" not in name and not name.startswith(elsewhere)}
    assert {"pg_up", "redis_up", "node_filesystem_avail_bytes"} <= ours

    def all_exported() -> bool:
        there = set(prometheus.get("/label/__name__/values").json()["data"])
        assert ours <= there, f"not exported: {sorted(ours - there)}"
        return True

    eventually(all_exported, within=60)


def test_the_host_disk_is_among_the_file_systems(query: Query) -> None:
    eventually(lambda: query('node_filesystem_size_bytes{mountpoint="/"} > 0'), within=60)


def test_no_secret_is_in_what_docker_shows(watchers: Compose) -> None:
    rendered = watchers.env_file.parent / "secrets"
    # The file of a receiver that nobody has set up is empty.
    values = [text for file in rendered.rglob("*") if file.is_file() and (text := file.read_text().strip())]
    identifiers = [container.id for container in watchers.containers()]
    shown = subprocess.run(["docker", "inspect", *identifiers], capture_output=True, text=True, check=True).stdout
    assert identifiers and values
    assert not [value for value in values if value in shown]
