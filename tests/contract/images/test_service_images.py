"""Redis, Nginx, Prometheus and Alertmanager start from a mounted configuration, read-only and without privileges."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from tests.contract.images.conftest import Container, docker
from tests.support.eventually import eventually

pytestmark = pytest.mark.docker

Started = Callable[..., AbstractContextManager[Container]]
SecretFile = Callable[[str, str], Path]
NGINX = """pid /tmp/nginx.pid;
error_log /dev/stderr notice;
events {}
http {
    client_body_temp_path /tmp/body; proxy_temp_path /tmp/proxy; fastcgi_temp_path /tmp/fastcgi;
    uwsgi_temp_path /tmp/uwsgi; scgi_temp_path /tmp/scgi;
    access_log /dev/stdout;
    include /etc/nginx/mime.types;
    server { listen 4000; location / { return 200 "served\\n"; } }
}
"""
TMP = ("--tmpfs", "/tmp:mode=1777")  # noqa: S108


def test_redis_asks_for_the_password_of_its_file_and_keeps_data(
    started: Started, secret_file: SecretFile, volume: str
) -> None:
    acl = secret_file("auth.conf", "user default on >opensesame ~* &* +@all\n")
    options = ["--user", "999:999", "-v", f"{volume}:/data", "-v", f"{acl}:/run/secrets/users.acl:ro"]
    command = ("redis-server", "--aclfile", "/run/secrets/users.acl", "--appendonly", "yes")
    with started("REDIS_IMAGE", *command, options=options) as redis:
        redis.until("redis-cli", "ping")
        assert "NOAUTH" in redis.run("redis-cli", "get", "spend")
        assert "OK" in redis.run("sh", "-c", "REDISCLI_AUTH=opensesame redis-cli set spend 7")
        docker("restart", redis.name)
        redis.until("redis-cli", "ping")
        assert redis.run("sh", "-c", "REDISCLI_AUTH=opensesame redis-cli get spend") == "7"
        assert "opensesame" not in docker("inspect", redis.name)


def test_nginx_serves_a_mounted_configuration_and_logs_to_its_output(started: Started, secret_file: SecretFile) -> None:
    conf = secret_file("nginx.conf", NGINX)
    options = ["--user", "101:101", "-v", f"{conf.parent}:/etc/nginx/tollgate:ro", *TMP]
    command = ("nginx", "-c", "/etc/nginx/tollgate/nginx.conf", "-g", "daemon off;")
    with started("NGINX_IMAGE", *command, options=options) as nginx:
        assert nginx.until("curl", "-fsS", "http://127.0.0.1:4000/hello") == "served"
        eventually(lambda: "GET /hello" in nginx.logs(), within=20)
        docker("stop", nginx.name)
        assert docker("inspect", "-f", "{{.State.ExitCode}}", nginx.name) == "0"


def test_prometheus_accepts_its_configuration_and_scrapes_itself(
    started: Started, once: Callable[..., str], secret_file: SecretFile
) -> None:
    text = "scrape_configs:\n- {job_name: self, scrape_interval: 1s, static_configs: [{targets: ['127.0.0.1:9090']}]}\n"
    conf = secret_file("prometheus.yml", text)
    mount = ("-v", f"{conf.parent}:/etc/prometheus:ro")
    assert "SUCCESS" in once(
        "PROMETHEUS_IMAGE",
        "check",
        "config",
        "/etc/prometheus/prometheus.yml",
        options=(*mount, "--entrypoint", "/bin/promtool"),
    )
    options = ["--user", "65534:65534", *mount, "--tmpfs", "/prometheus:uid=65534,gid=65534"]
    with started("PROMETHEUS_IMAGE", options=options) as prometheus:
        prometheus.until("wget", "-qO-", "http://127.0.0.1:9090/-/ready")
        query = "http://127.0.0.1:9090/api/v1/query?query=up%20==%201"
        prometheus.until("sh", "-c", f"wget -qO- '{query}' | grep '\"job\":\"self\"'")
        assert "<title>Prometheus" in prometheus.run("wget", "-qO-", "http://127.0.0.1:9090/graph")


def test_promtool_refuses_a_broken_configuration(once: Callable[..., str], secret_file: SecretFile) -> None:
    conf = secret_file("prometheus.yml", "scrape_configs: [{job_name: self, no_such_key: 1}]\n")
    options = ("-v", f"{conf.parent}:/etc/prometheus:ro", "--entrypoint", "/bin/promtool")
    with pytest.raises(AssertionError, match="no_such_key"):
        once("PROMETHEUS_IMAGE", "check", "config", "/etc/prometheus/prometheus.yml", options=options)


def test_alertmanager_starts_and_amtool_reads_it(started: Started, secret_file: SecretFile) -> None:
    conf = secret_file("alertmanager.yml", "route: {receiver: nobody}\nreceivers: [{name: nobody}]\n")
    options = ["--user", "65534:65534", "-v", f"{conf.parent}:/etc/alertmanager:ro"]
    options += ["--tmpfs", "/alertmanager:uid=65534,gid=65534"]
    with started("ALERTMANAGER_IMAGE", options=options) as alertmanager:
        alertmanager.until("wget", "-qO-", "http://127.0.0.1:9093/-/ready")
        assert "nobody" in alertmanager.run("/bin/amtool", "config", "show", "--alertmanager.url=http://127.0.0.1:9093")


@pytest.mark.parametrize(
    ("variable", "command", "address", "metric"),
    [
        ("NODE_EXPORTER_IMAGE", (), ":9100/metrics", "node_load1"),
        ("REDIS_EXPORTER_IMAGE", ("--redis.addr=redis://127.0.0.1:1",), ":9121/metrics", "redis_up 0"),
        ("POSTGRES_EXPORTER_IMAGE", (), ":9187/metrics", "pg_up 0"),
        ("NGINX_EXPORTER_IMAGE", ("--nginx.scrape-uri=http://127.0.0.1:1/",), ":9113/metrics", "nginx_up 0"),
    ],
)
def test_an_exporter_reports_that_its_service_is_down(
    started: Started, variable: str, command: tuple[str, ...], address: str, metric: str
) -> None:
    options = ["--user", "65534:65534"]
    if variable == "POSTGRES_EXPORTER_IMAGE":
        options += ["-e", "DATA_SOURCE_URI=127.0.0.1:1/postgres?sslmode=disable", "-e", "DATA_SOURCE_USER=nobody"]
    with started(variable, *command, options=options) as exporter:
        exporter.until("sh", "-c", f"wget -qO- http://127.0.0.1{address} | grep '{metric}'")
